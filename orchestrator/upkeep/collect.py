"""`cache gc` and `cache rm`: take a census, choose what goes, and on demand remove it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.cache import census as census_
from orchestrator.cache.cache import Cache
from orchestrator.cache.census import CachedRepo, Census
from orchestrator.cache.entries import refuse_closed
from orchestrator.cache.retention.pins import Pins, is_named
from orchestrator.cache.staging import Staging
from orchestrator.core.refs import Target, as_word
from orchestrator.errors import NotFoundError, UnsafeError
from orchestrator.upkeep.garbage import Choice, Garbage, Kept, Kind, Rules, choose
from orchestrator.upkeep.sweep import forget_pieces, remove_part, sweep

PART_AGE = 7 * 86400.0
"""Seconds without a write after which a part counts as given up."""


@dataclass(frozen=True, slots=True)
class Collected:
    """The removals, done if `is_done`, with the freed bytes, and what stays although the rules name it."""

    garbage: tuple[Garbage, ...]
    kept: tuple[Kept, ...]
    is_done: bool

    @property
    def bytes_freed(self) -> int:
        """Bytes that the disk gets back, or got."""
        return sum(item.frees for item in self.garbage)


def collect(rules: Rules, cache: Cache, *, act: bool) -> Collected:
    """Choose by the rules, and with `act` remove it.

    Raises NotFoundError for a target of which nothing is in the cache, UnsafeError for one that is pinned as a whole,
    DiskIOError when the pins cannot be read, and the disk's errors.
    """
    pins = cache.pins
    census = census_.take(cache.layout)
    choice = choose(census, pins.load(), rules)
    _refuse(rules, census, choice, pins)
    rest = _parts(cache.staging) + _foreign_parts(census, rules) if rules.litter else ()
    if not act:
        return Collected((*choice.garbage, *rest), choice.kept, False)
    gone: list[Garbage] = []
    kept = list(choice.kept)
    by_folder: dict[str, list[Garbage]] = {}
    for item in choice.garbage:
        by_folder.setdefault(item.folder, []).append(item)
    try:
        for folder, mine in by_folder.items():
            swept = sweep(cache.blobs, cache.records, pins, folder, mine)
            gone += swept.gone
            kept += swept.kept
    finally:
        forget_pieces(cache.blobs, gone)
    gone += [item for item in rest if _remove_part(item, cache)]
    if rules.litter:
        cache.staging.sweep()
    return Collected(tuple(gone), tuple(kept), True)


def _refuse(rules: Rules, census: Census, choice: Choice, pins: Pins) -> None:
    repos = {repo.repo: repo for repo in census.repos}
    pinned = {(item.folder, item.commit) for item in choice.kept if item.reason == "pinned"}
    for target in rules.targets:
        repo, only = repos.get(target.repo), frozenset({target})
        found = [each.commit for each in repo.snapshots if is_named(only, repo, each.commit)] if repo else []
        if repo is None or not (found or target.revision is None):
            refuse_closed(census, target)
            raise NotFoundError(f"{target} is not in the cache", hint="glm-aria cache ls lists the cached models")
        if found and all((repo.folder, commit) in pinned for commit in found):
            raise _pinned(target, repo, found, pins)


def _pinned(target: Target, repo: CachedRepo, commits: Sequence[str], pins: Pins) -> UnsafeError:
    others = [
        user for user, theirs in pins.of_others().items() if any(is_named(theirs, repo, commit) for commit in commits)
    ]
    by, hint = "", f"glm-aria cache unpin {as_word(target)}"
    if others:
        by = f" by {', '.join(others)}"
        hint = "only the user who pinned it can unpin it: glm-aria cache unpin"
    return UnsafeError(f"{target} is pinned{by}, and stays", hint=hint)


def _parts(staging: Staging) -> tuple[Garbage, ...]:
    """Parts of our own that nobody went on with for long."""
    return tuple(
        Garbage(Kind.PART, "", staging.part(digest), _age_of(age), held := staging.held(digest), held)
        for digest, age in staging.parts()
        if age > PART_AGE
    )


def _age_of(seconds: float) -> str:
    return f"a part of a download, untouched for {int(seconds // 86400)} days"


def _foreign_parts(census: Census, rules: Rules) -> tuple[Garbage, ...]:
    """Parts of downloads that huggingface_hub left and cannot resume."""
    found = []
    for repo in census.repos:
        for blob in repo.blobs.values():
            age = rules.now - max(blob.found.st_mtime_ns / 1e9, blob.changed)
            if blob.name.endswith(".incomplete") and age > PART_AGE:
                size = blob.found.st_size
                found.append(Garbage(Kind.PART, repo.folder, blob.path, _age_of(age), size, size))
    return tuple(found)


def _remove_part(item: Garbage, cache: Cache) -> bool:
    if item.folder:
        return remove_part(cache.blobs, item)
    digest = census_.digest_of(item.path.name)
    return digest is not None and cache.staging.remove(digest)
