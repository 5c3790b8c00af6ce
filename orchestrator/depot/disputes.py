"""Disputes over a file whose digest does not match: which bytes to drop, and which source was wrong.

Which source sent which range is known. So a few ranges of each are compared with the most trusted source's: who differs
there is dropped, and only what it sent is fetched again. Where samples tell nothing (one flipped bit), all comes from
one source alone, the most trusted first, then the others in turn: with one good source left, the pull ends right. An
only source is asked once more: it may be a server that passed on what it had not proven itself, and is right by now.
What the company of the depot knows comes before all that: it may say which bytes to drop, or that another node settles
it, whose word is waited for then.
No source is named before the file is proven; then what each had sent is compared with it.
"""

from __future__ import annotations

import math
import random
import shlex
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from orchestrator.cache.staging import Staging
from orchestrator.core.extents import Extent, Extents, union
from orchestrator.core.files import Digest
from orchestrator.core.plan import Job
from orchestrator.core.sources import Sent, total
from orchestrator.depot.candidates import Choosing
from orchestrator.depot.company import Doubt
from orchestrator.depot.messages import Again, DepotMessage, Proven, Wrong
from orchestrator.errors import GlmAriaError, IntegrityError, ProtocolError
from orchestrator.events import Emit, Notice
from orchestrator.mirrors.links import Links
from orchestrator.mirrors.ranges import fetch_range
from orchestrator.mirrors.sources import Sources
from orchestrator.mirrors.stats import Evidence
from orchestrator.proof import dropped
from orchestrator.proof.dropped import DroppedRange
from orchestrator.system.inbox import Sink
from orchestrator.transfer import journal
from orchestrator.transfer.interface import Fetched, Lost

_SAMPLES = 8
_SAMPLE_BYTES = 64 << 10
_WAIT_SECONDS = 0.2
"""Until the company is asked again."""


@dataclass(slots=True)
class _Dispute:
    """One blob. `tried` are the sources whose bytes alone did not do; `dropped` are hashes of bytes that were dropped.
    `sent` are the bytes that each source sent up to now, right or wrong. `blamed` are those of what the company doubts.
    """

    tried: set[str] = field(default_factory=set)
    sent: Sent = field(default_factory=dict)
    dropped: list[DroppedRange] = field(default_factory=list)
    blamed: set[str] = field(default_factory=set)
    was_begun_anew: bool = False
    was_sampled: bool = False


class Disputes:
    """All disputes of a depot. Methods are called by one thread; what reads a file runs in another, and what comes of
    it falls into the inbox."""

    def __init__(
        self, inbox: Sink[DepotMessage], locator: Choosing, sources: Sources, staging: Staging, emit: Emit
    ) -> None:
        self._inbox = inbox
        self._locator = locator
        self._choice = locator.choice
        self._sources = sources
        self._staging = staging
        self._emit = emit
        self._open: dict[Digest, _Dispute] = {}
        self._waiting: list[tuple[float, Wrong]] = []
        self._pool = inbox.make_pool(1, "dispute")

    def close(self) -> None:
        """Wait for what is being looked at."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def forget(self, digest: Digest) -> None:
        """End the dispute over a blob that nobody wants any more, or that is given up."""
        self._open.pop(digest, None)

    def poll(self) -> float:
        """See to what waits. Returns when to call again, in monotonic seconds."""
        now = time.monotonic()
        due = [wrong for when, wrong in self._waiting if when <= now]
        self._waiting = [(when, wrong) for when, wrong in self._waiting if when > now]
        for wrong in due:
            self._inbox.put(wrong)
        return min((when for when, _ in self._waiting), default=math.inf)

    def open(self, wrong: Wrong, doubt: Doubt | None) -> None:
        """Find out whose bytes to drop, and drop them: Again or Lost. `doubt` is what the company says; with None the
        same falls into the inbox again in a moment."""
        if doubt is None:
            self._waiting.append((time.monotonic() + _WAIT_SECONDS, wrong))
            return
        job = wrong.fetched.job
        dispute = self._open.setdefault(job.digest, _Dispute())
        dispute.sent = total([dispute.sent, wrong.fetched.sent])
        self._inbox.submit(self._pool, self._settle, wrong, dispute, doubt)

    def compare_dropped(self, proven: Proven) -> bool:
        """The file is right now. True when somebody had sent something else: the file falls into the inbox once they
        are told, and the part must stay where it is until then."""
        dispute = self._open.pop(proven.job.digest, None)
        if dispute is None:
            return False
        self._inbox.submit(self._pool, self._close, proven, dispute)
        return True

    def _settle(self, wrong: Wrong, dispute: _Dispute, doubt: Doubt) -> Again | Lost:
        job = wrong.fetched.job
        try:
            if doubt.bytes.items:
                dispute.blamed |= set(doubt.bytes.by_source)
                self._drop(wrong.fetched, dispute, doubt.bytes)
                self._choice.restrict(job, self._choice.all(job)[:1], together=doubt.is_together)
                return Again(job)
            error = self._decide(wrong.fetched, wrong.error, dispute)
        except GlmAriaError as unexpected:
            error = unexpected
        return Again(job) if error is None else Lost(job, error)

    def _close(self, proven: Proven, dispute: _Dispute) -> Proven | Lost:
        try:
            self._name(proven, dispute)
        except GlmAriaError as error:
            return Lost(proven.job, error)
        return replace(proven, sent=total([proven.sent, dispute.sent]))

    def _name(self, proven: Proven, dispute: _Dispute) -> None:
        """Report the sources that sent other bytes, and stop using them. Reads all that they had sent."""
        job = proven.job
        wrong_by_source: dict[str, list[DroppedRange]] = {}
        for one in dropped.differing(proven.file.path, dispute.dropped):
            wrong_by_source.setdefault(one.source, []).append(one)
        for name, wrong in wrong_by_source.items():
            first = wrong[0]
            where = f"first in {first.start}-{first.end - 1}, in {len(wrong)} places"
            if set(proven.sent) == {name}:  # without it nobody would have the file
                text = f"{name} sent wrong bytes for {job.name!r} ({where}), and the right ones when asked again"
                self._emit(Notice("sent-again", text, mirror=name, file=job.name))
                continue
            self._choice.ban(name)
            text = f"{name} sent wrong bytes for {job.name!r} ({where}); they were replaced, and it is "
            if self._quarantine(job, first):
                text += f"in quarantine; to release it: glm-aria mirrors forgive {shlex.quote(name)}"
            else:
                text += "not asked any more in this run"
            self._emit(Notice("mirror-lied", text, mirror=name, file=job.name))

    def _quarantine(self, job: Job, sent: DroppedRange) -> bool:
        """Keep the evidence: the source is not used again before somebody says so. False for one that has no place, as
        a peer. Never fails the run."""
        where = self._choice.place(job, sent.source)
        if where is None:
            return False
        evidence = Evidence(job.name, str(job.digest), f"sha256:{sent.hash.hex()}", sent.start, sent.end - 1)
        with suppress(GlmAriaError):
            self._sources.stats.quarantine(where[0], f"it sent wrong bytes for {job.name!r}", evidence)
        return True

    def _decide(self, fetched: Fetched, error: IntegrityError, dispute: _Dispute) -> GlmAriaError | None:
        """Drop wrong bytes. None to fetch what is missing then, or why the job is given up."""
        job, extents = fetched.job, fetched.extents
        names = set(extents.by_source)
        if len(names) > 1 and not dispute.was_sampled:
            dispute.was_sampled = True
            if wrong := self._differ_from_trusted(job, extents.items):
                self._drop(fetched, dispute, fetched.extents.of_sources(wrong))
                self._choice.restrict(job, set(self._choice.all(job)) - wrong - dispute.blamed)
                return None
        is_only = len(self._choice.all(job)) == 1 and names <= set(self._choice.all(job))
        if (fetched.kept.items or is_only) and not dispute.was_begun_anew:
            # A part of an earlier run may have been spoiled on the disk by a power loss: no source's fault.
            dispute.was_begun_anew = True
            self._drop(fetched, dispute, fetched.extents)
            return None
        if len(names) == 1:
            dispute.tried |= names
        untried = [name for name in self._choice.all(job) if name not in dispute.tried]
        alone = next(iter(sorted(untried, key=dispute.blamed.__contains__)), None)
        self._drop(fetched, dispute, fetched.extents.of_sources(names - {alone} if alone else names))
        if alone is None:
            return self._why(job, names) or IntegrityError(
                f"{job.name!r}: no source sent bytes that match {job.digest}; they were discarded ({error.message})",
                hint="run it again later, or with another --mirror",
                file=job.name,
                source=", ".join(sorted(names)) or None,
            )
        self._choice.restrict(job, {alone})
        return None

    def _drop(self, fetched: Fetched, dispute: _Dispute, gone: Extents) -> None:
        """Forget these bytes, and hold them against their sources where these are known; all others stay in the part,
        as its journal says."""
        job, part = fetched.job, fetched.part
        dispute.dropped += dropped.note(part, (item for item in gone.items if item.source))
        kept = fetched.extents.minus(union((item.start, item.end) for item in gone.items))
        self._staging.discard(job.digest) if not kept.items else journal.save(part, job.digest, job.size, kept)

    def _why(self, job: Job, names: Collection[str]) -> GlmAriaError | None:
        """The fault of the answers, if it shows in more than the bytes."""
        for name in sorted(names):
            with suppress(GlmAriaError):
                if (where := self._choice.place(job, name)) is None:
                    continue
                uri = self._locator.locate(job, name)
                answer = self._locator.inspect(job, uri, 0, min(job.size, _SAMPLE_BYTES))
                if answer.is_encoded:
                    return ProtocolError(
                        f"{where[0].name} compresses {job.name!r}, which was not requested; its bytes were discarded",
                        hint="run it again with another --mirror",
                        file=job.name,
                        source=name,
                    )
        return None

    def _differ_from_trusted(self, job: Job, extents: Iterable[Extent]) -> set[str]:
        """The sources that sent something else than the most trusted one sends; empty when it cannot be asked."""
        trusted = self._choice.all(job)[0]
        where = self._choice.place(job, trusted)
        if where is None:
            return set()
        found = set()
        try:
            net = self._sources.hasty_for(*where)
            url = Links(net).resolve(*where, job.size, job.digest, is_restricted=job.is_restricted).url
            with self._staging.part(job.digest).open("rb") as part:
                for source, start, end in _samples([item for item in extents if item.source != trusted]):
                    if source in found:
                        continue
                    part.seek(start)
                    true = fetch_range(net, *where, start, end, known_url=url)
                    if true != part.read(end - start):
                        found.add(source)
        except (GlmAriaError, OSError):
            return found
        return found


def _samples(extents: list[Extent]) -> Iterable[tuple[str, int, int]]:
    """A few ranges of what each source sent: the beginning, and places that it could not foresee."""
    by_source: dict[str, list[Extent]] = {}
    for item in extents:
        by_source.setdefault(item.source, []).append(item)
    for source, mine in by_source.items():
        yield source, mine[0].start, min(mine[0].end, mine[0].start + _SAMPLE_BYTES)
        for item in random.choices(mine, [item.end - item.start for item in mine], k=_SAMPLES):  # noqa: S311
            start = random.randrange(item.start, item.end)  # noqa: S311
            yield source, start, min(item.end, start + _SAMPLE_BYTES)
