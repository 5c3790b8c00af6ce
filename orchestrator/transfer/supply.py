"""Supply of jobs: addresses that are located in time, and sources that are out of use."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from orchestrator.aria2.control import FINE_PIECE
from orchestrator.core.extents import Ranges, covers, intersect, inward
from orchestrator.core.plan import Job
from orchestrator.core.sources import RangeAnswer
from orchestrator.errors import GlmAriaError, SourcesDownError, TemporaryError
from orchestrator.system.threads import KeyedPools
from orchestrator.transfer.codes import BUSY, REFUSED, UNTOLD, Cause, Remedy, of_answer
from orchestrator.transfer.interface import Locator, Uri
from orchestrator.transfer.limits import START, TransferLimits
from orchestrator.transfer.pace.growth import Line
from orchestrator.transfer.pace.servers import Server
from orchestrator.transfer.spans import SMALL, Span

_USABLE_LIFE = 0.8  # of a signed address: later than that, ask for another before the next request
_RENEWALS = 3
_UNTOLD_WAIT = 5.0
_STARVED_SECONDS = 30.0
_LITTLE = FINE_PIECE  # of bytes: no range that is asked for is shorter, but for the end of a file
_MANY = 4  # where one in so many connections is refused, that is not by chance
ASKERS = 4  # threads that ask one source for addresses


@dataclass(frozen=True, slots=True)
class Failure:
    """A download that failed: the file and source, what aria2 made of it, its words, and if some bytes came before."""

    job: Job
    source: str
    cause: Cause
    detail: str
    has_gain: bool = False

    def error(self, cause: Cause | None = None) -> GlmAriaError:
        """The error for it, where something more is known as `cause`."""
        row = cause or self.cause
        return row.error(
            f"{self.job.name!r} from {self.source}: {row.words} ({self.detail})",
            file=self.job.name,
            source=self.source,
        )


@dataclass(slots=True)
class Supply:
    """One source of one job. `asked_at` is unix time.

    `reach` are the ranges that it may be asked for, None for all, in whole pieces; `told` are those of the locator.
    `is_gone`: it had a reach, and is no candidate now. `out` is why the source is of no use for the job. `is_carried`:
    a courier fetches the file, who needs no address.
    `inspection` finds out why a download of the range from `inspected` on `failed`; `refused` counts those that the
    server refused since then. `untold` are starts of ranges that brought nothing, without a word from aria2, while the
    source was well.
    """

    server: Server
    uri: Uri | None = None
    reach: Ranges | None = None
    told: Ranges | None = None
    is_gone: bool = False
    asked_at: float = 0.0
    future: Future[Uri] | None = None
    out: GlmAriaError | None = None
    is_carried: bool = False
    inspection: Future[RangeAnswer] | None = None
    inspected: int = 0
    refused: int = 0
    failed: Failure | None = None
    untold: set[int] = field(default_factory=set)
    refusals: int = 0

    @property
    def source(self) -> str:
        """The name of the source."""
        return self.server.name

    @property
    def error(self) -> GlmAriaError | None:
        """The reason why it is out of use; None while it may be used."""
        return self.out or self.server.down

    @property
    def is_pending(self) -> bool:
        """True while it is being asked, and may soon be of use."""
        return self.error is None and self.future is not None

    @property
    def is_located(self) -> bool:
        """True when it is known where the bytes are."""
        return self.is_carried or self.uri is not None

    def may_bring(self, told: Ranges | None, size: int) -> None:
        """Ask it for these ranges only, of a blob of `size` bytes, as the locator tells it."""
        if told != self.told:
            self.told, self.reach = told, None if told is None else inward(told, size, FINE_PIECE)

    def has_any(self, ranges: Ranges) -> bool:
        """True when it may be asked for some of these."""
        return self.reach is None or next(intersect(self.reach, ranges), None) is not None

    def has_all(self, ranges: Ranges) -> bool:
        """True when it may be asked for all of these."""
        return self.reach is None or covers(self.reach, ranges)

    def is_usable(self, now: float, clock: float) -> bool:
        """True when the source may be asked for bytes now, by an address that will hold for a moment."""
        if self.error or self.inspection or self.server.not_before > clock:
            return False
        return self.is_carried or (self.uri is not None and not self._is_stale(self.uri, now))

    def refuse(self, error: GlmAriaError) -> None:
        """The address was refused: ask for a new one, unless new ones were refused, too."""
        self.uri = None
        self.refusals += 1
        if self.refusals >= _RENEWALS:
            self.out = error

    def succeed(self, came: int = _LITTLE) -> None:
        """The address worked. A source that broke off after little `came` is no better for that."""
        self.refusals = 0
        if came >= _LITTLE:
            self.server.succeed()

    def needs_address(self, now: float, clock: float) -> bool:
        """True when it is time to get one. Who has nothing is not asked for where that is."""
        is_good = self.is_carried or (self.uri is not None and not self._is_stale(self.uri, now))
        is_idle = self.reach == () or self.server.not_before > clock
        return not (self.error or self.future or self.inspection or is_good or is_idle)

    def _is_stale(self, uri: Uri, now: float) -> bool:
        return uri.expires_at is not None and now > self.asked_at + _USABLE_LIFE * (uri.expires_at - self.asked_at)


Supplies = dict[str, Supply]
"""By source, the most trusted first."""


class Supplier:
    """Keeps the supplies of jobs fresh. Each source is asked in threads of its own: a slow one holds up itself."""

    def __init__(
        self, locator: Locator, limits: TransferLimits, askers: KeyedPools, begin: Callable[[str], int]
    ) -> None:
        self._locator = locator
        self.pick = locator.pick
        self._limits = limits
        self._askers = askers
        self._begin = begin
        self.servers: dict[str, Server] = {}
        self.line = Line()
        self.rangeless: list[tuple[str, str]] = []  # sources that showed to be so, and how, since somebody looked

    def reconnect(self) -> None:
        """Connections that were open until now may be dead."""
        self._locator.reconnect()

    def close(self) -> None:
        """Give up what is still being asked."""
        self._askers.close()

    def refresh(self, job: Job, supplies: Supplies) -> None:
        """Take in the answers that came, and ask for what is missing or getting old."""
        now, clock = time.time(), time.monotonic()
        candidates = self._locator.candidates(job)
        for name in candidates:
            if name not in supplies or supplies[name].is_gone:
                server = self._server(name)
                if name in supplies:
                    server.forgive()  # it may be another process by now, at another address
                supplies[name] = Supply(server, is_carried=job.size < SMALL or server.is_rangeless)
        for name, supply in supplies.items():
            supply.is_gone = supply.reach is not None and name not in candidates
            supply.may_bring(() if supply.is_gone else self._locator.reach(job, name), job.size)
            supply.server.bind(self._locator.terms(name))
            if supply.future is not None and supply.future.done():
                self._take(supply, supply.future, clock, has_others=self.has_others(supplies, supply))
            if supply.inspection is not None and supply.inspection.done():
                self._conclude(job, supplies, supply, supply.inspection)
            if supply.needs_address(now, clock):
                self._ask(job, supply, now)

    def observe(self, now: float, fresh: Mapping[str, int], spans: Collection[Span], most: int) -> None:
        """`fresh` bytes came from each source since the last call; these spans are open, and `most` would be of use."""
        used = Counter[str]()
        for span in spans:
            used[span.source] += span.width
        self.line.look(now, sum(fresh.values()), spare=max(0, most - used.total()))
        # Whose connections bring least is the first that may try more: there losses are the bound, if anywhere.
        for name, server in sorted(self.servers.items(), key=lambda item: item[1].each or math.inf):
            server.observe(now, fresh[name], used[name])

    def failed(self, supplies: Supplies, supply: Supply, failure: Failure, cause: Cause) -> None:
        """Do what the table says about a download that failed as `cause`."""
        error, clock = failure.error(cause), time.monotonic()
        has_others = self.has_others(supplies, supply)
        match cause.remedy:
            case Remedy.OTHER | Remedy.STOP:
                supply.out = error
            case Remedy.WHOLE:
                supply.is_carried = True
                if not supply.server.is_rangeless:
                    supply.server.is_rangeless = True
                    self.rangeless.append((supply.source, cause.words))
            case Remedy.RENEW:
                supply.refuse(error)
            case Remedy.WAIT if supply.server.terms.rest is not None:
                supply.server.leave_alone(clock)
            case Remedy.WAIT:
                supply.uri = None
                self._slow_down(supply.server, clock)
                supply.server.fail(error, clock, has_others=has_others)
                # How long was told to aria2 alone. Asked then, the server tells it to us, if that was too early.
                supply.server.not_before = max(supply.server.not_before, clock + _UNTOLD_WAIT)
            case Remedy.AGAIN:
                supply.server.fail(error, clock, has_others=has_others, has_gain=failure.has_gain)

    def returned(self, supplies: Supplies, supply: Supply, error: GlmAriaError | None) -> None:
        """A courier is back from the source, with all or with an error that is the source's."""
        if error is None:
            supply.succeed()
        elif isinstance(error, TemporaryError) and supply.server.may_be_busy(time.monotonic()):
            return
        elif isinstance(error, TemporaryError | SourcesDownError):
            supply.server.fail(error, time.monotonic(), has_others=self.has_others(supplies, supply))
        else:
            supply.out = error

    def inspect(self, supply: Supply, failure: Failure, start: int, end: int) -> None:
        """Find out why a download of this range failed; until that is known, the source gets no other. One that may
        just be busy is not burdened with that before it refused some in a row."""
        if supply.server.may_be_busy(time.monotonic()):
            return
        if supply.inspection is None and supply.uri is not None:
            supply.failed, supply.inspected, supply.refused = failure, start, 0
            supply.inspection = self._askers.submit(
                supply.source, self._locator.inspect, failure.job, supply.uri, start, end
            )
        supply.refused += failure.cause is REFUSED

    def _conclude(self, job: Job, supplies: Supplies, supply: Supply, inspection: Future[RangeAnswer]) -> None:
        failure, supply.inspection = supply.failed, None
        if failure is None:
            return
        is_refused = failure.cause is REFUSED
        try:
            answer = inspection.result()
        except (TemporaryError, SourcesDownError) as error:
            if is_refused:
                self._slow_down(supply.server, time.monotonic())
            supply.server.fail(error, time.monotonic(), has_others=self.has_others(supplies, supply))
        except GlmAriaError as error:
            supply.out = error
        else:
            found = of_answer(answer, job.size, failure.cause)
            if found is REFUSED and supply.server.terms.rest is not None:
                found = BUSY  # who asks now is answered
            if found is UNTOLD:
                supply.untold.add(supply.inspected)
            # Who asks alone is answered, and many who asked together were not.
            if is_refused and found is failure.cause and supply.refused >= max(2, supply.server.allowed // _MANY):
                self._slow_down(supply.server, time.monotonic())
            self.failed(supplies, supply, failure, found)

    def reason(self, job: Job, supplies: Supplies, starved: float) -> GlmAriaError | None:
        """The reason why no source has the job's bytes, in the words of the most trusted one; None while one may.

        Nor does one where some are out of use, and the others have had nothing to give for long: `starved` seconds."""
        errors = [supply.error for supply in supplies.values() if not supply.is_gone]
        if not all(errors) and (starved < _STARVED_SECONDS or not any(errors)):
            return None
        return next(iter(filter(None, errors)), SourcesDownError(f"no source serves {job.name!r}", file=job.name))

    @staticmethod
    def _slow_down(server: Server, clock: float) -> None:
        """It refuses connections. Several that are refused together count once."""
        if clock >= server.not_before:
            server.slow_down(clock)

    @staticmethod
    def has_others(supplies: Supplies, but: Supply) -> bool:
        """True when another source could stand in, for all that this one may be asked for."""
        if but.reach is None:
            return any(one.reach is None for one in stand_ins(supplies, but, ()))
        return bool(but.reach and stand_ins(supplies, but, but.reach))

    def _ask(self, job: Job, supply: Supply, now: float) -> None:
        supply.asked_at = now
        supply.future = self._askers.submit(supply.source, self._locator.locate, job, supply.source)

    def _take(self, supply: Supply, future: Future[Uri], clock: float, *, has_others: bool) -> None:
        supply.future = None
        try:
            uri = future.result()
            # One that is over when it comes: the clocks do not agree, so it may hold.
            is_odd = uri.expires_at is not None and uri.expires_at <= time.time()
            supply.uri = replace(uri, expires_at=None) if is_odd else uri
        except (TemporaryError, SourcesDownError) as error:
            # `locate` has asked more than once by itself.
            supply.server.fail(error, clock, has_others=has_others)
        except GlmAriaError as error:
            supply.out = error
        else:
            supply.is_carried = supply.is_carried or uri.needs_token
            supply.server.met(uri.latency)

    def _server(self, name: str) -> Server:
        if name not in self.servers:
            # That is for one file: several have more, together.
            each = self._limits.connections_per_mirror
            is_bounded = bool(self._limits.max_speed) or self._limits.is_polite or each < START
            most, losing = self._limits.per_source, self._limits.most
            self.servers[name] = Server(
                name, min(self._begin(name), each), most, self.line, losing=losing, is_bounded=is_bounded
            )
        return self.servers[name]


def stand_ins(supplies: Supplies, but: Supply, ranges: Ranges) -> list[Supply]:
    """The other sources that could bring all of these ranges."""
    return [
        supply
        for supply in supplies.values()
        if supply is not but and not supply.error and supply.is_located and supply.has_all(ranges)
    ]


def rates(supplies: Iterable[Supply]) -> dict[str, float]:
    """Bytes per second that one connection to each source brings; a source that nobody knows yet counts as usual."""
    known = [supply.server.each for supply in supplies if supply.server.each]
    usual = sum(known) / len(known) if known else 1e6
    return {supply.source: supply.server.each or usual for supply in supplies}
