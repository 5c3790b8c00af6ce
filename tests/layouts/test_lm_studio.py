"""LM Studio's models, as its documents and its command line have them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from orchestrator.errors import UsageError
from orchestrator.layouts.interface import Surroundings
from orchestrator.layouts.lm_studio import LmStudio
from tests.layouts.models import model
from tests.machine.conditions import needs_root

STUDIO = LmStudio()


def found(home: Path) -> Path | None:
    folder = STUDIO.find(Surroundings(home, {}))
    return folder.folder if folder else None


def test_files_lie_by_publisher_and_repo() -> None:
    arranged = STUDIO.arrange(model({"m-Q4_K_M.gguf": b"g", "BF16/m-00001-of-00002.gguf": b"s"}, "org/m-GGUF"))
    assert arranged.inside == "org/m-GGUF"
    assert [place for _, place in arranged.places] == ["BF16/m-00001-of-00002.gguf", "m-Q4_K_M.gguf"]
    with pytest.raises(UsageError):
        STUDIO.arrange(model({"m.gguf": b"g"}, "gpt2"))


def test_its_home_is_where_it_says(tmp_path: Path) -> None:
    assert found(tmp_path) == tmp_path / ".lmstudio" / "models"
    (tmp_path / ".cache" / "lm-studio").mkdir(parents=True)
    assert found(tmp_path) == tmp_path / ".cache" / "lm-studio" / "models"
    (tmp_path / ".lmstudio-home-pointer").write_text(f"{tmp_path}/elsewhere\n")
    assert found(tmp_path) == tmp_path / "elsewhere" / "models"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "settings.json").write_text(json.dumps({"downloadsFolder": f"{tmp_path}/big"}))
    assert found(tmp_path) == tmp_path / "big"
    assert STUDIO.find(Surroundings(None, {})) is None


@pytest.mark.parametrize("said", ["", "[]", "{", '{"downloadsFolder": 1}', '{"downloadsFolder": "models"}', "[" * 9999])
def test_settings_that_say_nothing_useful_say_nothing(tmp_path: Path, said: str) -> None:
    (tmp_path / ".lmstudio").mkdir()
    (tmp_path / ".lmstudio" / "settings.json").write_text(said)
    assert found(tmp_path) == tmp_path / ".lmstudio" / "models"


def test_names_of_its_folders_are_repos(tmp_path: Path) -> None:
    for name in ("org/m/m.gguf", "org/two/sub/m.gguf", "org/..odd/x.gguf", ".hidden/m/x.gguf", "loose.gguf"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"g")
    (tmp_path / "org" / "empty").mkdir()
    assert [str(ref) for ref in STUDIO.claims(tmp_path)] == ["org/m@main", "org/two@main"]
    assert list(STUDIO.claims(tmp_path / "nowhere")) == []


@needs_root
def test_a_link_of_others_names_no_repo(tmp_path: Path) -> None:
    private, models = tmp_path / "private", tmp_path / "models"
    (private / "secret-name").mkdir(parents=True)
    (private / "secret-name" / "file").touch()
    models.mkdir()
    (models / "org").symlink_to(private)
    assert [ref.repo.name for ref in LmStudio().claims(models)] == ["org/secret-name"]
    os.lchown(models / "org", 4242, 4242)
    assert list(LmStudio().claims(models)) == []
