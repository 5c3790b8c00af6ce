"""Which folder is meant, and whose a folder is."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from orchestrator.errors import UsageError
from orchestrator.layouts.finding import folder_of, folder_to_read
from orchestrator.layouts.interface import Surroundings, ToolFolder
from orchestrator.layouts.known import TOOLS, LayoutName, layouts

NAMES = [name for item in get_args(LayoutName) for name in (get_args(item) or (item,))]


def test_each_layout_has_a_name_for_the_option() -> None:
    assert sorted(layouts()) == sorted(NAMES)
    assert all(layout.is_of_program for layout in TOOLS)


def test_a_folder_is_named_or_found(tmp_path: Path) -> None:
    around, studio = Surroundings(tmp_path, {}), layouts()["lm-studio"]
    assert folder_of(studio, None, around).folder == tmp_path / ".lmstudio" / "models"
    assert folder_of(studio, tmp_path, around) == ToolFolder(tmp_path, "")
    with pytest.raises(UsageError, match="nothing says where"):
        folder_of(layouts()["text-generation-webui"], None, around)
    with pytest.raises(UsageError, match="no folder for the model"):
        folder_of(layouts()["flat"], None, around)


def test_the_own_folder_of_a_program_is_known_by_its_place(tmp_path: Path) -> None:
    own = tmp_path / ".lmstudio" / "models"
    own.mkdir(parents=True)
    (tmp_path / "link").symlink_to(own)
    around = Surroundings(tmp_path, {})
    for folder in (own, tmp_path / "link"):
        chosen = folder_to_read(None, folder, around)
        assert chosen.layout is layouts()["lm-studio"]
        assert chosen.at.folder == folder
    assert folder_to_read(None, tmp_path, around).layout is None
    assert folder_to_read("lm-studio", tmp_path, around).layout is layouts()["lm-studio"]
    with pytest.raises(UsageError):
        folder_to_read(None, None, around)
