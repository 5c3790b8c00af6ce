"""ModelScope's cache: folders of models, as the sources of its package have them."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from orchestrator.errors import UsageError
from orchestrator.layouts.interface import Layout, Surroundings
from orchestrator.layouts.modelscope import ModelScope, OlderModelScope
from tests.layouts.models import model
from tests.plain import ONE

NEW, OLD = ModelScope(), OlderModelScope()
FILES = {"config.json": b"{}", "sub/a.safetensors": b"a"}


@pytest.mark.parametrize(
    ("named", "folder"), [(None, "master"), ("main", "master"), ("master", "master"), ("v1.0", "v1.0"), (ONE, ONE)]
)
def test_files_lie_by_revision(named: str | None, folder: str) -> None:
    found = NEW.arrange(model(FILES, "org/m-1.5", revision=named))
    assert found.places == tuple((path, f"models/org--m-1.5/snapshots/{folder}/{path}") for path in FILES)
    assert found.book == f".glm-aria/models--org--m-1.5@{folder}.json"


def test_before_1_38_they_lie_by_name_with_an_index() -> None:
    found = OLD.arrange(model(FILES, "org/m-1.5"))
    assert found.places == tuple((path, f"models/org/m-1___5/{path}") for path in FILES)
    ((place, index),) = found.beside
    assert place == "models/org/m-1___5/.msc"
    assert pickle.loads(index) == [{"Path": path, "Revision": ONE} for path in FILES]


@pytest.mark.parametrize("layout", [NEW, OLD])
def test_a_model_without_an_owner_is_refused(layout: Layout) -> None:
    with pytest.raises(UsageError):
        layout.arrange(model(FILES, "gpt2"))


def test_its_folder_is_where_it_says(tmp_path: Path) -> None:
    def found(layout: Layout, home: Path | None, **environ: str) -> Path | None:
        folder = layout.find(Surroundings(home, environ))
        return folder.folder if folder else None

    assert found(NEW, tmp_path) == tmp_path / ".cache" / "modelscope"
    assert found(OLD, tmp_path) == tmp_path / ".cache" / "modelscope" / "hub"
    assert {found(layout, tmp_path, MODELSCOPE_CACHE="/big") for layout in (NEW, OLD)} == {Path("/big")}
    assert found(NEW, tmp_path, MODELSCOPE_CACHE="~/big") == tmp_path / "big"
    assert found(NEW, None) is None


def test_names_of_folders_of_any_version_are_models(tmp_path: Path) -> None:
    for name in (
        "models/org--new/snapshots/master/a", "models/org--bare/a", "models/org/old-1___5/a", "hub/models/org/older/a",
        "hub/org/oldest/a", "models/org--..odd/snapshots/master/a", ".lock/org/m/a", "datasets/org/d/a",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"a")
    (tmp_path / "models" / "org--empty" / "snapshots" / "master").mkdir(parents=True)
    names = [ref.repo.name for ref in NEW.claims(tmp_path)]
    assert names == ["org/old-1.5", "org/new", "org/older", "org/oldest"]
    assert list(NEW.claims(tmp_path)) == list(OLD.claims(tmp_path))
    assert list(NEW.claims(tmp_path / "nowhere")) == []
