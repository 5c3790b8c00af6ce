"""The lock of a blob, held for those who wait for it."""

from __future__ import annotations

from pathlib import Path

from orchestrator.cache.cache import HfCache
from orchestrator.cache.layout import CacheLayout
from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.refs import RepoId, RepoType


def test_a_lock_is_held_by_one_and_free_afterwards(tmp_path: Path) -> None:
    cache = HfCache(CacheLayout.at(tmp_path / "hub"), tmp_path / "state")
    (tmp_path / "hub").mkdir()
    repo, digest = RepoId(RepoType.MODEL, "org/m"), Digest(Algorithm.SHA256, "ab" * 32)
    with cache.hold(repo, digest) as held:
        assert held == cache.layout.lock_file(repo, digest)
        assert held is not None
        assert held.stat().st_size == 0
        with cache.hold(repo, digest) as second:
            assert second is None
    with cache.hold(repo, digest) as again:
        assert again == held
