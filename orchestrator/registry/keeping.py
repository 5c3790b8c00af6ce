"""The ledger, the trail and the tags of the registry: each change is in all of them, or in none.

A change is planned in the ledger, then its event is added to the trail, then it is made in the ledger. The event
decides: of a plan that a crash left, what the trail has is made; the rest is dropped, and nobody was answered.

The tag of the registry follows. What the ledger says is right: a tag that it does not know was there before the facade,
and is taken in; one that stands for something else was moved past it, or has not followed yet, and is put right.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

from orchestrator.core.refs import RepoId
from orchestrator.errors import GlmAriaError, NotFoundError, ProtocolError, UnsafeError
from orchestrator.events import Emit, Notice, ignore
from orchestrator.registry.aliases import Alias
from orchestrator.registry.audit import Deed, Trail, TrailEvent
from orchestrator.registry.ledger import Ledgers, ModelLedger, PlannedChange
from orchestrator.registry.names import FACADE, is_alias
from orchestrator.registry.storage import Storage
from orchestrator.registry.versions import Version


class Keeper:
    """Keeps ledgers, trail and tags the same. `now` is unix seconds. Thread-safe; raises DiskIOError, and what
    `Storage` does."""

    def __init__(
        self,
        storage: Storage,
        ledgers: Ledgers,
        trail: Trail,
        *,
        emit: Emit = ignore,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._storage = storage
        self._ledgers = ledgers
        self._trail = trail
        self._emit = emit
        self._now = now
        self._told: set[tuple[str, str, str | None]] = set()
        """Tags that are to be put back, and what they stand for: the trail has that already."""

    def ledger(self, model: RepoId) -> ModelLedger:
        """The ledger, with all tags of the registry."""
        tags, ledger = self._storage.tags(model), self.as_written(model)
        if not any(_is_new(ledger, tag) for tag in tags):
            return ledger
        with self._alone(model) as ledger:
            return self._taken_in(model, ledger, tags)

    def as_written(self, model: RepoId) -> ModelLedger:
        """The ledger, without a look at the registry."""
        ledger = self._ledgers.read(model)
        if ledger.planned:
            with contextlib.suppress(GlmAriaError), self._alone(model) as ledger:
                return ledger
        return ledger

    @contextlib.contextmanager
    def alone(self, model: RepoId, tag: str) -> Iterator[ModelLedger]:
        """The ledger, with this tag of the registry, which nobody else changes meanwhile."""
        with self._alone(model) as ledger:
            yield self._taken_in(model, ledger, (tag,))

    def publish(
        self, model: RepoId, ledger: ModelLedger, version: Version, who: str, *, digest: str, size: int
    ) -> None:
        """Add a version, by who has the ledger alone."""
        event = self._event(who, Deed.PUBLISH, model, version, after=digest)
        self._change(model, ledger, PlannedChange(event, size))
        self.point(model, version.tag, digest)

    def sign(self, model: RepoId, version: Version, who: str, digest: str) -> None:
        """Note that a signature was attached to a version."""
        self._trail.add(self._event(who, Deed.SIGN, model, version, after=digest))

    def move(self, model: RepoId, ledger: ModelLedger, name: str, who: str, *, to: str, expected: str) -> ModelLedger:
        """Have an alias stand for a digest, or with an empty one for nothing, by who has the ledger alone; the ledger
        after that. Raises AliasMovedError when it does not stand for what was expected."""
        alias = ledger.aliases.get(name, Alias())
        alias.expect(expected)
        if to == expected:
            return ledger
        deed, version = (Deed.MOVE, ledger.version_of(to)) if to else (Deed.REMOVE, None)
        event = self._event(who, deed, model, name, before=expected, after=to, version=version)
        ledger = self._change(model, ledger, PlannedChange(event))
        if to:
            self.point(model, name, to)
        return ledger

    def hold(self, model: RepoId, name: str | Version, digest: str) -> None:
        """Put back the tag of an alias or a version, if it does not stand for this digest."""
        tag = name.tag if isinstance(name, Version) else name
        if self._storage.digest(model, tag) == digest:
            return
        with self._alone(model) as ledger:
            found, present = self._storage.digest(model, tag), ledger.digest_of(name)
            if present in (found, None):
                return  # it was moved meanwhile
            known = (model.name, tag, found)
            if known not in self._told:
                version = ledger.version_of(present)
                self._trail.add(
                    self._event(FACADE, Deed.RESTORE, model, name, before=found or "", after=present, version=version)
                )
                self._told.add(known)
            if not self.point(model, tag, present):
                return
            self._told.discard(known)
        self._emit(
            Notice(
                "tag-restored",
                f"{name} of {model.name} stood for {found or 'nothing'} in the registry, where only this server may "
                f"move it: it stands for {present} again",
            )
        )

    def point(self, model: RepoId, tag: str, digest: str) -> bool:
        """Have a tag stand for what the ledger says; False where the registry fails to, and it follows later."""
        try:
            self._storage.point(model, tag, digest)
        except GlmAriaError as error:
            self._emit(
                Notice(
                    "tag-behind",
                    f"{tag} of {model.name} stands for {digest}, and the registry does not know it yet: "
                    f"{error.message}",
                )
            )
            return False
        return True

    @contextlib.contextmanager
    def _alone(self, model: RepoId) -> Iterator[ModelLedger]:
        with self._ledgers.alone(model) as found:
            ledger = found
            if found.planned:  # by who crashed
                ledger = found.after(self._trail.has([change.event for change in found.planned]))
                self._ledgers.write(model, ledger)
            yield ledger

    def _change(self, model: RepoId, ledger: ModelLedger, *changes: PlannedChange) -> ModelLedger:
        """The ledger after these changes, in the order above."""
        planned, events = ledger.planning(changes), tuple(change.event for change in changes)
        self._ledgers.write(model, planned)
        try:
            self._trail.add(*events)
        except GlmAriaError:
            if not self._trail.has(events):
                with contextlib.suppress(GlmAriaError):  # else who comes next drops the plan
                    self._ledgers.write(model, ledger)
                raise
        with contextlib.suppress(GlmAriaError):  # else who comes next does it: it is in the trail
            self._ledgers.write(model, planned.after(events))
        return planned.after(events)

    def _taken_in(self, model: RepoId, ledger: ModelLedger, tags: Sequence[str]) -> ModelLedger:
        """The ledger with those of these tags that it did not know, written; for who has it alone. Tags of images, and
        of all else that is no model, are not ours."""
        changes = []
        for tag in tags:
            if not _is_new(ledger, tag) or (digest := self._storage.digest(model, tag)) is None:
                continue
            try:
                size = self._storage.contents(model, digest).size
            except (NotFoundError, ProtocolError, UnsafeError):
                continue
            version = Version.of_tag(tag)
            known = version or ledger.version_of(digest)
            event = self._event(FACADE, Deed.ADOPT, model, version or tag, after=digest, version=known)
            changes.append(PlannedChange(event, size))
        return self._change(model, ledger, *changes) if changes else ledger

    def _event(
        self,
        who: str,
        deed: Deed,
        model: RepoId,
        name: str | Version,
        *,
        before: str = "",
        after: str,
        version: Version | None = None,
    ) -> TrailEvent:
        known = name if isinstance(name, Version) else version
        return TrailEvent(0, self._now(), who, deed, model.name, str(name), before, after, str(known or ""))


def _is_new(ledger: ModelLedger, tag: str) -> bool:
    """True for a tag that should be in the ledger: that of a version, or one that may be an alias."""
    version = Version.of_tag(tag)
    return version not in ledger.versions if version else tag not in ledger.aliases and is_alias(tag)
