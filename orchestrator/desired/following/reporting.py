"""The status of a set from what a follower knows. Each phase keeps the time at which it began."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator import __version__
from orchestrator.core.sizes import format_size
from orchestrator.core.text import redacted
from orchestrator.desired.following.aim import Aim
from orchestrator.desired.following.looking import Looker
from orchestrator.desired.following.work import Errors, Lacking
from orchestrator.desired.plan import Wait
from orchestrator.desired.sets import SCHEMA, SetStore, StoredSet
from orchestrator.desired.status import ALIVE, ModelStage, ModelStatus, SetPhase, SetStatus
from orchestrator.desired.wish.labels import Labels
from orchestrator.errors import GlmAriaError, NoSpaceError, TemporaryError
from orchestrator.events import Event, FileProgress, Phase


@dataclass(frozen=True, slots=True)
class SetFacts:
    """Knowledge of a follower at a moment. `lacking` and `lost`: what the desired set and that of readers lack, None
    while nobody has looked; `at` are the models that are being fetched."""

    current: StoredSet | None = None
    lacking: Lacking | None = None
    lost: Lacking | None = None
    errors: Errors = field(default_factory=dict)
    error: GlmAriaError | None = None
    wait: Wait | None = None
    at: frozenset[str] = frozenset()


class Reporter:
    """Makes the status of one set. Listens to the events of transfers, in any thread."""

    def __init__(self, node: str, labels: Labels, store: SetStore) -> None:
        self._node, self._labels, self._store = node, dict(labels), store
        self._since: dict[str, tuple[str, float]] = {}
        self._done: dict[str, tuple[Phase, int]] = {}

    def hear(self, event: Event) -> None:
        """Take the progress of a file."""
        if isinstance(event, FileProgress):
            self._done[str(event.digest)] = (event.phase, event.done)

    def forget_progress(self) -> None:
        """A transfer has ended: what it brought is looked at on the disk."""
        self._done = {}

    def status(self, aim: Aim, looker: Looker, facts: SetFacts, *, is_last: bool = False) -> SetStatus:
        """The status now. `is_last`: nobody follows any more, and that is as it should be."""
        now, desired = time.time(), aim.set
        models = self._models(aim, facts, now)
        is_flipped = desired is not None and facts.current is not None and facts.current.digest == desired.digest
        phase, reason = _phase(aim, looker, facts, is_flipped=is_flipped)
        generation = aim.memory.generation
        observed = generation if is_flipped else facts.current.generation if facts.current else 0
        return SetStatus(
            schema=SCHEMA,
            set=self._store.name,
            node=self._node,
            version=__version__,
            labels=self._labels,
            generation=generation,
            observed_generation=observed,
            phase=phase,
            reason=redacted(reason) if reason else None,
            since=self._began("", phase, now),
            digest=desired.digest if desired else None,
            current=facts.current.digest if facts.current else None,
            path=str(self._store.folder / facts.current.folder) if facts.current else None,
            bytes_to_go=sum(model.bytes_to_go for model in models),
            drift=aim.memory.drift,
            flips=aim.memory.flips,
            updated=now,
            expires=None if is_last else now + ALIVE,
            sources=tuple(one.status(time.monotonic()) for one in looker.sources),
            models=models,
        )

    def _models(self, aim: Aim, facts: SetFacts, now: float) -> tuple[ModelStatus, ...]:
        desired = aim.set
        sizes = {model.name: model.size for model in desired.models} if desired else {}
        counted: set[str] = set()
        found = []
        for wanted in aim.wanted.models if aim.wanted else ():
            name, locked = wanted.name, wanted.item.locked or aim.memory.locks.get(wanted.key)
            missing = {**(facts.lacking or {}).get(name, {}), **(facts.lost or {}).get(name, {})}
            # A blob that several models share is fetched once.
            left = sum(self._left(digest, size) for digest, size in missing.items() if digest not in counted)
            counted.update(missing)
            stage, reason = self._stage(name, missing, facts, is_known=locked is not None)
            found.append(
                ModelStatus(
                    name=name,
                    ref=str(wanted.item.ref),
                    commit=locked.commit if locked else None,
                    phase=stage,
                    reason=redacted(reason) if reason else None,
                    since=self._began(f"model {name}", stage, now),
                    bytes=sizes.get(name, 0),
                    bytes_to_go=left,
                )
            )
        return tuple(found)

    def _stage(
        self, name: str, missing: Mapping[str, int], facts: SetFacts, *, is_known: bool
    ) -> tuple[ModelStage, str | None]:
        if name in facts.at and missing:
            phases = {self._done[digest][0] for digest in missing if digest in self._done}
            is_verifying = bool(phases) and phases <= {Phase.VERIFYING, Phase.PLACING, Phase.DONE}
            return (ModelStage.VERIFYING if is_verifying else ModelStage.FETCHING), None
        if (error := facts.errors.get(name)) is not None:
            # What is here stays good: that nobody can be asked whether it moved is said, and is no failure.
            is_here = is_known and facts.lacking is not None and not missing
            return (ModelStage.READY if is_here else ModelStage.FAILED), f"{error.code}: {error.message}"
        if not is_known or facts.lacking is None or missing:
            return ModelStage.WAITING, None
        return ModelStage.READY, None

    def _left(self, digest: str, size: int) -> int:
        return max(0, size - self._done.get(digest, (Phase.WAITING, 0))[1])

    def _began(self, what: str, phase: str, now: float) -> float:
        before = self._since.get(what)
        if before is None or before[0] != phase:
            self._since[what] = before = (phase, now)
        return before[1]


def _phase(aim: Aim, looker: Looker, facts: SetFacts, *, is_flipped: bool) -> tuple[SetPhase, str | None]:
    if facts.current is not None and facts.lost:
        return SetPhase.DEGRADED, f"{len(facts.lost)} model(s) lack files, which are fetched again"
    if aim.wanted is None:
        why = next((f": {error.message}" for error in (aim.error, *looker.errors) if error is not None), "")
        if facts.current is None and why:
            return SetPhase.FAILED, f"no source has given a state that can be used{why}"
        return SetPhase.WAITING, f"for a state of its sources{why}"
    if is_flipped:
        if facts.lost is None:
            return SetPhase.STAGING, "the files are looked at"
        return SetPhase.READY, f"{aim.error.message}; the last good state stays in use" if aim.error else None
    return _on_the_way(facts)


def _on_the_way(facts: SetFacts) -> tuple[SetPhase, str | None]:
    if facts.error is not None:
        return SetPhase.FAILED, f"{facts.error.code}: {facts.error.message}"
    if facts.errors:
        name, error = next(iter(facts.errors.items()))
        return SetPhase.FAILED, f"{name}: {error.code}: {error.message}"
    if facts.wait is not None:
        if facts.wait.needs:
            return SetPhase.FAILED, f"disk-budget: {_beyond(facts.wait)}"
        return SetPhase.WAITING, "for the hours in which new models may be fetched"
    return SetPhase.STAGING, None


def held(wait: Wait | None) -> GlmAriaError | None:
    """The error for who waits no longer."""
    if wait is None:
        return None
    if wait.needs:
        return NoSpaceError(f"the set was not fetched: {_beyond(wait)}", hint="raise the budget, or desire less")
    return TemporaryError(
        "the set was not fetched: new models may be fetched only in the hours of its window",
        hint="run it again then, or leave out --once",
    )


def _beyond(wait: Wait) -> str:
    return f"it needs {format_size(wait.needs)} more than the budget of the disk allows"
