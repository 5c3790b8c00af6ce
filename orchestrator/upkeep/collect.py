"""`cache gc` and `cache rm`: take a census, choose what goes, and on demand remove it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.cache import census as census_
from orchestrator.cache.cache import Cache
from orchestrator.cache.census import CachedRepo, Census
from orchestrator.cache.entries import refuse_closed
from orchestrator.cache.pins import Pins, is_pinned, names
from orchestrator.cache.staging import Staging
from orchestrator.core.refs import Target, as_word
from orchestrator.errors import NotFoundError, UnsafeError
from orchestrator.upkeep.garbage import Choice, Garbage, Kept, Kind, Rules, choose
from orchestrator.upkeep.sweep import remove_part, sweep

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
    for folder in dict.fromkeys(item.folder for item in choice.garbage):
        mine = [item for item in choice.garbage if item.folder == folder]
        swept = sweep(cache.blobs, cache.records, pins, folder, mine)
        gone += swept.gone
        kept += swept.kept
    gone += [item for item in rest if _remove_part(item, cache)]
    if rules.litter:
        cache.staging.sweep()
    return Collected(tuple(gone), tuple(kept), True)


def _refuse(rules: Rules, census: Census, choice: Choice, pins: Pins) -> None:
    for target in rules.targets:
        found = [
            (repo, snapshot.commit)
            for repo in census.repos
            for snapshot in repo.snapshots
            if names(target, repo, snapshot.commit)
        ]
        is_there = found or any(repo.repo == target.repo and target.revision is None for repo in census.repos)
        if not is_there:
            refuse_closed(census, target)
            raise NotFoundError(f"{target} is not in the cache", hint="glm-aria cache ls lists the cached models")
        pinned = {(item.folder, item.commit) for item in choice.kept if item.reason == "pinned"}
        if found and all((repo.folder, commit) in pinned for repo, commit in found):
            raise _pinned(target, found, pins)


def _pinned(target: Target, found: Sequence[tuple[CachedRepo, str]], pins: Pins) -> UnsafeError:
    others = [
        user
        for user, theirs in pins.of_others().items()
        if any(is_pinned(theirs, repo, commit) for repo, commit in found)
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
            age = rules.now - max(blob.found.st_mtime, blob.changed)
            if blob.name.endswith(".incomplete") and age > PART_AGE:
                size = blob.found.st_size
                found.append(Garbage(Kind.PART, repo.folder, blob.path, _age_of(age), size, size))
    return tuple(found)


def _remove_part(item: Garbage, cache: Cache) -> bool:
    if item.folder:
        return remove_part(cache.blobs, item)
    digest = census_.digest_of(item.path.name)
    return digest is not None and cache.staging.remove(digest)
