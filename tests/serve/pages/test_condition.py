"""The condition of a server: when it is not ready, and what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.disk import space
from orchestrator.serve.pages.condition import Condition, Examination


def examine(folder: Path, **given: Any) -> Condition:
    hooks: Any = {"fetches": lambda: True, "root_error": lambda: None} | given
    return Examination(folder, folder, **hooks)()


def wrong(found: Condition) -> list[str]:
    return [check.name for check in found.checks if not check.is_ok]


def test_a_server_that_can_write_and_fetch_is_ready(tmp_path: Path) -> None:
    found = examine(tmp_path)
    assert found.is_ready
    assert wrong(found) == []
    assert 0 < (found.free or 0) <= (found.total or 0)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    found = examine(tmp_path / "gone")
    assert not found.is_ready
    assert wrong(found) == ["cache"]
    assert "gone" in found.checks[0].message


def test_a_depot_that_has_ended_fetches_nothing(tmp_path: Path) -> None:
    found = examine(tmp_path, fetches=lambda: False)
    assert not found.is_ready
    assert wrong(found) == ["depot"]


def test_a_full_disk_takes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "space", lambda _: space.Space(5, None))
    found = examine(tmp_path)
    assert not found.is_ready
    assert wrong(found) == ["disk"]


def test_a_root_that_is_down_is_told_and_what_is_cached_is_served(tmp_path: Path) -> None:
    found = examine(tmp_path, root_error=lambda: "no answer")
    assert found.is_ready
    assert wrong(found) == ["root"]


def test_words_about_a_closed_repo_are_for_those_who_may_know_it(tmp_path: Path) -> None:
    found = examine(tmp_path, root_error=lambda: "https://root.test/api/models/team/private answered HTTP 503")
    assert any("team/private" in check.message for check in found.told(is_whole=True))
    told = found.told(is_whole=False)
    assert not any("team/private" in check.message for check in told)
    assert [(check.name, check.is_ok) for check in told] == [(check.name, check.is_ok) for check in found.checks]
