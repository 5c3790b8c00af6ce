"""text-generation-webui's models, as its README and its downloader have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.layouts.interface import Surroundings
from orchestrator.layouts.text_generation_webui import TextGenerationWebui
from tests.layouts.models import model

WEBUI = TextGenerationWebui()


@pytest.mark.parametrize(
    ("revision", "folder"),
    [
        (None, "Org_M-8B"),
        ("main", "Org_M-8B"),
        ("v1", "Org_M-8B_v1"),
        ("refs/pr/1", "Org_M-8B_refs_pr_1"),
    ],
)
def test_a_model_has_the_folder_that_its_downloader_makes(revision: str | None, folder: str) -> None:
    content = {"config.json": b"{}", "model.safetensors": b"s"}
    arranged = WEBUI.arrange(model(content, "Org/M-8B", revision=revision))
    assert arranged.inside == folder
    assert [place for _, place in arranged.places] == ["config.json", "model.safetensors"]


def test_nothing_says_where_it_is(tmp_path: Path) -> None:
    assert WEBUI.find(Surroundings(tmp_path, {})) is None


def test_repos_are_said_by_notes_or_by_the_folders_name(tmp_path: Path) -> None:
    for name in ("a_b", "Org_name-v1", "plain", "x_y"):
        (tmp_path / name).mkdir()
    (tmp_path / "a_b" / "huggingface-metadata.txt").write_text(
        "url: https://huggingface.co/a/b_c\nbranch: dev\ndownload date: 2026-01-01 00:00:00\nsha256sum:\n"
    )
    (tmp_path / "x_y" / "huggingface-metadata.txt").write_text("url: https://huggingface.co/../etc\nbranch: main\n")
    assert [str(ref) for ref in WEBUI.claims(tmp_path)] == ["Org/name-v1@main", "a/b_c@dev"]
