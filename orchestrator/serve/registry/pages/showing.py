"""The contents of the registry's pages: all that the registry itself tells who asks, and no more."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile

from orchestrator.core.refs import RepoId
from orchestrator.errors import (
    NotFoundError,
    ProtocolError,
    SourcesDownError,
    TemporaryError,
    TrustError,
    UnsafeError,
)
from orchestrator.registry.audit import Deed, TrailEvent
from orchestrator.registry.contents import VersionFacts
from orchestrator.registry.core import Registry
from orchestrator.registry.ledger import ModelLedger
from orchestrator.registry.names import model_named
from orchestrator.rights import Subject
from orchestrator.serve.http.recent import Recent
from orchestrator.serve.registry.pages.rows import (
    AliasRow,
    DifferenceRows,
    ModelRow,
    TrailRow,
    VersionRow,
    alias_rows,
    choices,
    difference_rows,
    model_row,
    newest_versions,
    trail_row,
    version_rows,
)

_MOST_MODELS = 200
_MOST_EVENTS = 50
_BACK = 4_000
"""Changes of all models that are looked through for those of a page; a trail has more in memory."""
_MOST_FACTS = 5_000


@dataclass(frozen=True, slots=True)
class TrailSheet:
    """Changes, the newest first; `older` is the number before which there may be more."""

    rows: Sequence[TrailRow]
    older: int | None


@dataclass(frozen=True, slots=True)
class OverviewSheet:
    """The models that somebody may read, and their changes, as they were after the change of the number `seen`."""

    seen: int
    models: Sequence[ModelRow]
    has_more: bool
    trail: TrailSheet


@dataclass(frozen=True, slots=True)
class ModelSheet:
    """A model after the change of the number `seen`. `more` versions have no row; `choices` can be compared."""

    seen: int
    name: str
    aliases: Sequence[AliasRow]
    versions: Sequence[VersionRow]
    more: int
    choices: Sequence[str]
    trail: TrailSheet


@dataclass(frozen=True, slots=True)
class DifferenceSheet:
    """The differences of two versions of a model after the change of the number `seen`."""

    seen: int
    name: str
    choices: Sequence[str]
    rows: DifferenceRows


@dataclass(frozen=True, slots=True)
class _KnownFacts:
    """Facts of a version, as they were after the change of that number."""

    at: int
    facts: VersionFacts


class RegistryShow:
    """Asks a registry for its pages. Thread-safe; blocks, and raises what `Registry` does."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._guard = threading.Lock()
        self._facts: Recent[tuple[str, str], _KnownFacts] = Recent(_MOST_FACTS)

    def overview(self, who: Subject, part: str, before: int | None) -> OverviewSheet:
        """The models whose names hold a part."""
        seen = self._registry.newest_event(who)
        models = [model for model in self._registry.models(who) if part.casefold() in model.name]
        rows = [model_row(model.name, self._registry.known(who, model)) for model in models[:_MOST_MODELS]]
        return OverviewSheet(seen, rows, len(models) > _MOST_MODELS, self._trail(who, None, seen, before))

    def model(self, who: Subject, model: RepoId, name: str, before: int | None) -> ModelSheet:
        """A model, with the changes of all its versions and aliases, or of the one of this name."""
        seen, ledger = self._registry.newest_event(who, model), self._registry.ledger(who, model)
        trail = tuple(self._events(who, model, seen))
        return ModelSheet(
            seen,
            model.name,
            alias_rows(ledger, trail),
            version_rows(ledger, self._all_facts(who, model, ledger, seen, trail)),
            len(ledger.versions) - len(newest_versions(ledger)),
            choices(ledger),
            self._trail(who, model, seen, before, name),
        )

    def difference(self, who: Subject, model: RepoId, before: str, after: str) -> DifferenceSheet:
        """The differences of two versions."""
        seen = self._registry.newest_event(who, model)
        rows = difference_rows(self._registry.difference(who, model, before, after))
        return DifferenceSheet(seen, model.name, choices(self._registry.ledger(who, model)), rows)

    def _events(self, who: Subject, model: RepoId | None, last: int) -> Iterator[TrailEvent]:
        """The last changes up to that of a number, the oldest first."""
        found = self._registry.events(who, max(0, last - _BACK), model)
        return takewhile(lambda event: event.number <= last, found)

    def _trail(self, who: Subject, model: RepoId | None, seen: int, before: int | None, name: str = "") -> TrailSheet:
        last = seen if before is None else min(seen, before - 1)
        named = (event for event in self._events(who, model, last) if name in ("", event.name))
        events = deque(named, _MOST_EVENTS)
        first = events[0].number if len(events) == _MOST_EVENTS else max(0, last - _BACK) + 1
        ledger = cache(lambda named: self._registry.known(who, model_named(named)))
        rows = [trail_row(event, ledger(event.model)) for event in reversed(events)]
        return TrailSheet(rows, first if first > 1 else None)

    def _all_facts(
        self, who: Subject, model: RepoId, ledger: ModelLedger, seen: int, trail: Iterable[TrailEvent]
    ) -> dict[str, VersionFacts]:
        """The facts of the newest versions; `trail` are the last changes up to that of the number `seen`."""
        signed = {event.after: event.number for event in trail if event.deed is Deed.SIGN}
        found: dict[str, VersionFacts] = {}
        for version in newest_versions(ledger):
            digest = ledger.versions[version].digest
            try:
                found[digest] = self._facts_of(who, model, digest, seen, max(signed.get(digest, 0), seen - _BACK))
            except (NotFoundError, ProtocolError, TrustError, UnsafeError):
                continue  # this one is shown without
            except (SourcesDownError, TemporaryError):
                break  # and so are all that would be asked for next
        return found

    def _facts_of(self, who: Subject, model: RepoId, digest: str, seen: int, changed: int) -> VersionFacts:
        """The facts of a version, which only a signature changes; after the change of the number `changed` there was
        none."""
        key = (model.name, digest)
        with self._guard:
            known = self._facts.get(key)
        if known and (known.facts.is_signed or changed <= known.at):
            return known.facts
        facts = self._registry.facts(who, model, digest)
        with self._guard:
            self._facts.keep(key, _KnownFacts(seen, facts))
        return facts
