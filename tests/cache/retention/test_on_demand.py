"""The list of revisions that only a server's clients asked for, and their last use."""

from __future__ import annotations

from pathlib import Path

from orchestrator.cache.retention.on_demand import OnDemand
from tests.plain import ONE, REPO, TWO, Clock


def test_a_use_is_noted_once_a_minute_and_outlives_the_process(tmp_path: Path) -> None:
    clock = Clock()
    listed = OnDemand(tmp_path, clock)
    listed.came(REPO, ONE)
    clock.now = 5000.0
    listed.used(REPO, ONE)
    (note,) = (tmp_path / "on-demand" / REPO.folder).iterdir()
    assert note.stat().st_mtime == 5000.0
    clock.now += 59
    listed.used(REPO, ONE)
    assert note.stat().st_mtime == 5000.0
    clock.now += 2
    listed.used(REPO, ONE)
    assert OnDemand(tmp_path).uses() == {(REPO.folder, ONE): 5061.0}


def test_what_is_not_on_the_list_is_not_put_there_by_a_use(tmp_path: Path) -> None:
    listed = OnDemand(tmp_path)
    listed.used(REPO, ONE)
    listed.drop(REPO.folder, ONE)
    assert listed.uses() == {}
    assert not (tmp_path / "on-demand").exists()


def test_blobs_that_are_lent_to_another_repo_count_as_a_use_of_all(tmp_path: Path) -> None:
    clock = Clock()
    listed = OnDemand(tmp_path, clock)
    listed.came(REPO, ONE)
    listed.came(REPO, TWO)
    clock.now = 9000.0
    listed.lent(REPO.folder)
    assert OnDemand(tmp_path).uses() == {(REPO.folder, ONE): 9000.0, (REPO.folder, TWO): 9000.0}
    listed.drop(REPO.folder, ONE)
    listed.drop(REPO.folder, TWO)
    assert not (tmp_path / "on-demand" / REPO.folder).exists()
