"""The ledger and the tags of the registry: what was pushed past the facade is taken in, or put right.

What the ledger says is right. A tag that it does not know was there before the facade, and is taken in; one that stands
for something else was moved past it, and is put back. Both are in the trail.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

from orchestrator.core.refs import RepoId
from orchestrator.errors import NotFoundError, ProtocolError, UnsafeError
from orchestrator.events import Emit, Notice, ignore
from orchestrator.registry.aliases import Alias
from orchestrator.registry.audit import Deed, Trail, TrailEvent
from orchestrator.registry.ledger import Edition, Ledgers, ModelLedger
from orchestrator.registry.names import FACADE
from orchestrator.registry.storage import Storage
from orchestrator.registry.versions import Version


class Keeper:
    """Keeps ledgers and tags the same. `site` names this facade among those that move the same aliases; `now` is unix
    seconds. Thread-safe; raises DiskIOError, and what `Storage` does."""

    def __init__(
        self,
        storage: Storage,
        ledgers: Ledgers,
        trail: Trail,
        *,
        site: str,
        emit: Emit = ignore,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._storage = storage
        self._ledgers = ledgers
        self._trail = trail
        self._site = site
        self._emit = emit
        self._now = now
        self._epoch = int(now())

    def ledger(self, model: RepoId) -> ModelLedger:
        """The ledger, with all tags of the registry."""
        tags, ledger = self._storage.tags(model), self._ledgers.read(model)
        if not any(_is_new(ledger, tag) for tag in tags):
            return ledger
        with self._ledgers.alone(model) as ledger:
            return self._taken_in(model, ledger, tags)

    def as_written(self, model: RepoId) -> ModelLedger:
        """The ledger, without a look at the registry."""
        return self._ledgers.read(model)

    @contextlib.contextmanager
    def alone(self, model: RepoId, tag: str) -> Iterator[ModelLedger]:
        """The ledger, with this tag of the registry, which nobody else changes meanwhile."""
        with self._ledgers.alone(model) as ledger:
            yield self._taken_in(model, ledger, (tag,))

    def publish(
        self, model: RepoId, ledger: ModelLedger, version: Version, who: str, *, digest: str, size: int
    ) -> None:
        """Add a version, by who has the ledger alone."""
        self._ledgers.write(model, ledger.with_version(version, Edition(digest, size, who, self._now())))
        self._note(who, Deed.PUBLISH, model, version, after=digest)

    def sign(self, model: RepoId, version: Version, who: str, digest: str) -> None:
        """Note that a signature was attached to a version."""
        self._note(who, Deed.SIGN, model, version, after=digest)

    def move(
        self, model: RepoId, ledger: ModelLedger, name: str, who: str, *, to: str, expected: Sequence[str]
    ) -> None:
        """Have an alias stand for a digest, or with an empty one for nothing, by who has the ledger alone.

        Raises AliasMovedError when it does not stand for what was expected.
        """
        alias = ledger.aliases.get(name, Alias())
        moved = alias.moved(to, expected, self._site, self._epoch)
        self._ledgers.write(model, ledger.with_alias(name, moved))
        try:
            if to:
                self._storage.point(model, name, to)
        except BaseException:
            # The alias is told as not moved. After a crash here the tag follows the ledger.
            self._ledgers.write(model, ledger)
            raise
        self._note(who, Deed.MOVE if to else Deed.REMOVE, model, name, before=alias.digest, after=to, ledger=ledger)

    def hold(self, model: RepoId, name: str | Version, digest: str) -> None:
        """Put back the tag of an alias or a version, if it does not stand for this digest."""
        tag = name.tag if isinstance(name, Version) else name
        if self._storage.digest(model, tag) == digest:
            return
        with self._ledgers.alone(model) as ledger:
            found, present = self._storage.digest(model, tag), ledger.digest_of(name)
            if present in (found, None):
                return  # it was moved meanwhile
            self._storage.point(model, tag, present)
            self._note(FACADE, Deed.RESTORE, model, name, before=found, after=present, ledger=ledger)
        self._emit(
            Notice(
                "tag-restored",
                f"{name} of {model.name} stood for {found or 'nothing'} in the registry, where only this server may "
                f"move it: it stands for {present} again",
            )
        )

    def _taken_in(self, model: RepoId, ledger: ModelLedger, tags: Sequence[str]) -> ModelLedger:
        """The ledger with those of these tags that it did not know, written; for who has it alone. Tags of images, and
        of all else that is no model, are not ours."""
        known = ledger
        for tag in tags:
            if not _is_new(ledger, tag) or (digest := self._storage.digest(model, tag)) is None:
                continue
            try:
                size = self._storage.contents(model, digest).size
            except (NotFoundError, ProtocolError, UnsafeError):
                continue
            version = Version.of_tag(tag)
            if version is not None:
                ledger = ledger.with_version(version, Edition(digest, size, "", self._now()))
            else:
                ledger = ledger.with_alias(tag, Alias().moved(digest, (), self._site, self._epoch))
            self._note(FACADE, Deed.ADOPT, model, version or tag, after=digest, ledger=ledger)
        if ledger is not known:
            self._ledgers.write(model, ledger)
        return ledger

    def _note(
        self,
        who: str,
        deed: Deed,
        model: RepoId,
        name: str | Version,
        *,
        before: str | None = "",
        after: str = "",
        ledger: ModelLedger | None = None,
    ) -> None:
        version = name if isinstance(name, Version) else ledger.version_of(after) if ledger and after else None
        event = TrailEvent(0, self._now(), who, deed, model.name, str(name), before or "", after, str(version or ""))
        self._trail.add(event)


def _is_new(ledger: ModelLedger, tag: str) -> bool:
    """True for a tag that should be in the ledger: not one that stands in for the referrers of a manifest."""
    version = Version.of_tag(tag)
    return version not in ledger.versions if version else tag not in ledger.aliases and not tag.startswith("sha256-")
