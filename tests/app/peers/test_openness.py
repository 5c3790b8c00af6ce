"""Words of a fleet about repos: for those who have its key."""

from __future__ import annotations

from pathlib import Path

from orchestrator.app.peers.openness import keep_word, open_to
from orchestrator.cache.records import Records
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.swarm.tickets import FleetKeys

ONE, OTHER = (RepoId(RepoType.MODEL, f"org/{name}") for name in ("one", "other"))
OLD, NEW, STRANGE = ("old-key-0123456789", "new-key-0123456789", "strange-key-0123456789")


def records(tmp_path: Path) -> Records:
    for name in ("stage", "repos"):
        (tmp_path / name).mkdir()
    return Records(tmp_path)


def test_a_word_holds_for_the_keys_of_the_fleet_and_the_repo_that_it_is_about(tmp_path: Path) -> None:
    found = records(tmp_path)
    keep_word(found, FleetKeys.parse(OLD), [ONE], is_restricted=False)
    assert open_to(found, FleetKeys.parse(f"{NEW} {OLD}"))(ONE.folder)
    assert not open_to(found, FleetKeys.parse(STRANGE))(ONE.folder)
    assert not open_to(found, FleetKeys.parse(OLD))(OTHER.folder)
    # Nor when it is moved there.
    (tmp_path / "repos" / OTHER.folder).mkdir()
    (tmp_path / "repos" / ONE.folder / "fleet.json").rename(tmp_path / "repos" / OTHER.folder / "fleet.json")
    assert not open_to(Records(tmp_path), FleetKeys.parse(OLD))(OTHER.folder)


def test_a_closed_one_takes_the_word_back(tmp_path: Path) -> None:
    found, keys = records(tmp_path), FleetKeys.parse(OLD)
    keep_word(found, keys, [ONE], is_restricted=False)
    keep_word(found, keys, [ONE, OTHER], is_restricted=True)
    assert not open_to(found, keys)(ONE.folder)
    assert not open_to(found, keys)(OTHER.folder)


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    keep_word(Records(tmp_path / "absent" / "state"), FleetKeys.parse(OLD), [ONE], is_restricted=False)
