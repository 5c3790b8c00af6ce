"""A server whose settings name itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.app.serving import refuse_itself
from orchestrator.errors import UsageError
from orchestrator.settings import Settings, load

URL = "http://127.0.0.1:8090"


def settings_of(folder: Path, root: str, *mirrors: str) -> Settings:
    environ = {"HF_HOME": str(folder), "HF_ENDPOINT": root, "GLM_ARIA_MIRRORS": " ".join(mirrors)}
    return load(environ=environ, folder=folder, personal=folder / "none.toml")


@pytest.mark.parametrize("root", [URL, f"{URL}/hub", "http://localhost:8090", "http://LOCALHOST:8090/hub"])
def test_one_that_would_ask_itself_is_refused(tmp_path: Path, root: str) -> None:
    with pytest.raises(UsageError) as refused:
        refuse_itself(settings_of(tmp_path, root), URL)
    assert "HF_ENDPOINT" in refused.value.message


@pytest.mark.parametrize("root", ["http://127.0.0.1:8091", "http://127.0.0.2:8090", "https://localhost:8090"])
def test_its_neighbours_are_not(tmp_path: Path, root: str) -> None:
    refuse_itself(settings_of(tmp_path, root, "http://localhost"), URL)


def test_a_mirror_is_told_as_one(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "http://127.0.0.1:8091", "http://localhost:8090")
    with pytest.raises(UsageError) as refused:
        refuse_itself(settings, URL)
    assert "GLM_ARIA_MIRRORS" in refused.value.message
