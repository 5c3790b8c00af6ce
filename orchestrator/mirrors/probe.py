"""Probe of a source's speed, latency and freshness: a few requests, and a bounded sample of a file.

Nothing that a probe fetches is kept, and nothing that it finds is proof: it only says whom to ask first.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any, Self

from orchestrator.core.files import Digest
from orchestrator.core.sources import Origin, Source
from orchestrator.errors import GlmAriaError, ProtocolError
from orchestrator.mirrors.crowd import Crowd, Open
from orchestrator.mirrors.links import Links
from orchestrator.mirrors.rates import WORTH, Rates
from orchestrator.mirrors.stats import Observation
from orchestrator.net.answers import Answer, Stream
from orchestrator.net.handshake import Handshake
from orchestrator.net.session import Net
from orchestrator.system.threads import try_start

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_GOLDEN = 0.618034
# A sample takes so many round trips at least, and connections so many to be answered, or this many at most.
_SAMPLE_TRIPS, _ANSWER_TRIPS, _MOST_TRIPS, _MOST_SECONDS = 6, 3, 10, 1.5


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of a probe. `steps` are the numbers of connections to measure after one alone, as long as the rate
    grows and `climb` seconds are not over.

    `seconds` bounds each of these samples, but not below a few round trips; `one` its bytes for each connection, `many`
    for all. They come in ranges of `piece` bytes, in all of them `total`.
    """

    seconds: float = 0.5
    one: int = 2 << 20
    many: int = 8 << 20
    piece: int = 1 << 20
    total: int = 10 << 20
    steps: tuple[int, ...] = ()
    climb: float = 8.0
    pings: int = 3

    @classmethod
    def over(cls, connections: int) -> Self:
        """Those of two samples, over one connection and over so many."""
        return cls(steps=(connections,) if connections > 1 else (), piece=min(1 << 20, (8 << 20) // connections))


class FileRanges:
    """Ranges of the file at an address, each from another place. `are_honoured` once one was asked for."""

    def __init__(self, net: Net, source: Source, url: str, size: int, piece: int) -> None:
        self._net, self._source, self._url, self._size, self._piece = net, source, url, size, piece
        self.are_honoured: bool | None = None

    @contextmanager
    def __call__(self, number: int) -> Iterator[Stream]:
        """Open one. Raises ProtocolError, and what `Net.stream` does."""
        # Spread evenly, however many there will be.
        first = int(number * _GOLDEN % 1 * self._size)
        end = min(first + self._piece, self._size)
        with self._net.stream(self._url, byte_range=(first, end), home=self._source.url) as stream:
            if stream.status not in (200, 206):
                raise ProtocolError(f"{self._source.name} answered HTTP {stream.status} for a range")
            found = _CONTENT_RANGE.fullmatch(stream.headers.get("Content-Range", ""))
            self.are_honoured = stream.status == 206
            if self.are_honoured and (
                found is None or int(found[1]) != first or found[3] not in ("*", str(self._size))
            ):
                raise ProtocolError(f"{self._source.name} sent another range than requested")
            yield stream


@dataclass(frozen=True, slots=True)
class SampleFile:
    """The file that a sample is taken of."""

    origin: Origin
    size: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class Probe:
    """The result of a probe; None for what could not be measured.

    `latencies` are seconds from request to answer over an open connection, `lost` how many such requests had none.
    `rates` are all bytes/s by number of connections, `rate_many` that of the most. `open_range` opens further ranges of
    the sample. `clock_offset` is by how many seconds
    the server's clock is ahead of ours. `announces_digest` is whether the source names the digest by itself. `error`
    ended the probe: what stands beside it was measured before.
    """

    source: Source
    handshake: Handshake | None = None
    first_byte: float | None = None
    latencies: tuple[float, ...] = ()
    lost: int = 0
    rate_one: float | None = None
    rate_many: float | None = None
    connections: int = 1
    ranges: bool | None = None
    announces_digest: bool | None = None
    http: tuple[str, ...] = ()
    rates: Rates = ()
    clock_offset: float | None = None
    open_range: Open | None = field(default=None, compare=False)
    target: SampleFile | None = field(default=None, compare=False)
    error: GlmAriaError | None = field(default=None, compare=False)

    @property
    def latency(self) -> float | None:
        """The median."""
        return sorted(self.latencies)[len(self.latencies) // 2] if self.latencies else None

    @property
    def jitter(self) -> float | None:
        """Mean difference of neighbouring latencies, in seconds (RFC 3550 without its smoothing)."""
        steps = [abs(after - before) for before, after in zip(self.latencies, self.latencies[1:], strict=False)]
        return sum(steps) / len(steps) if steps else None

    @property
    def loss(self) -> float | None:
        """Share of the small requests that were not answered, 0 to 1."""
        asked = len(self.latencies) + self.lost
        return self.lost / asked if asked else None

    @property
    def samples(self) -> tuple[Observation, ...]:
        """The samples to remember."""
        if self.error is not None and not self.latencies:
            return (Observation(failed=True),)
        many = (Observation(None, self.rate_many, self.connections),) if self.rate_many is not None else ()
        return (Observation(self.latency, self.rate_one, rates=self.rates), *many)


def probe(
    net: Net,
    source: Source,
    target: SampleFile | None = None,
    bounds: Bounds | None = None,
    *,
    is_restricted: bool = False,
) -> Probe:
    """Probe one source, with a sample of `target` where there is one. Never raises for what the source does."""
    return _Prober(net, source, target, bounds or Bounds(), is_restricted).run()


class _Prober:
    def __init__(
        self, net: Net, source: Source, target: SampleFile | None, bounds: Bounds, is_restricted: bool
    ) -> None:
        self._net, self._source, self._target, self._bounds = net, source, target, bounds
        self._is_restricted = is_restricted
        self._url = source.file_url(target.origin) if target else f"{source.url}/"
        self._handshake: Handshake | None = None
        self._found = Probe(source, target=target)

    def run(self) -> Probe:
        shaking = threading.Thread(target=self._shake, daemon=True)
        is_shaking = try_start(shaking)
        try:
            self._ping()
            if self._target is not None:
                self._sample(self._target)
        except GlmAriaError as error:
            error.source = self._source.name
            self._note(error=error)
        # The handshake began first and takes less: it is done, or it fails as the requests did.
        if is_shaking:
            shaking.join(self._bounds.seconds)
        if self._handshake is not None:
            offered = ("h2",) if self._handshake.alpn == "h2" else ()
            self._note(handshake=self._handshake, http=(*offered, *self._found.http))
        return self._found

    def _note(self, **found: Any) -> None:
        self._found = replace(self._found, **found)

    def _shake(self) -> None:
        # The requests meet the same errors, and tell them.
        with suppress(GlmAriaError):
            self._handshake = self._net.shake_hands(self._url)

    def _ping(self) -> None:
        """Small requests one after the other: the first opens the connection, the others tell the latency."""
        begun = time.monotonic()
        answer = self._net.head(self._url)
        newest = ("h3",) if "h3" in answer.headers.get("Alt-Svc", "") else ()
        self._note(first_byte=time.monotonic() - begun, http=("http/1.1", *newest))
        self._note(clock_offset=self._clock_offset(answer.headers))
        if self._target is not None and answer.status < 400:
            self._note(announces_digest=_announces(answer, self._target.digest))
        deadline = begun + 2 * self._bounds.seconds
        for _ in range(self._bounds.pings):
            begun = time.monotonic()
            if begun > deadline:
                break
            try:
                self._net.head(self._url)
            except GlmAriaError:
                self._note(lost=self._found.lost + 1)
            else:
                self._note(latencies=(*self._found.latencies, time.monotonic() - begun))

    def _sample(self, target: SampleFile) -> None:
        link = Links(self._net).resolve(
            self._source, target.origin, target.size, target.digest, is_restricted=self._is_restricted
        )
        if not target.size:
            return
        ranges = FileRanges(self._net, self._source, link.url, target.size, self._bounds.piece)
        crowd = Crowd(self._bounds.total // self._bounds.piece)
        try:
            self._climb(crowd, ranges)
        finally:
            crowd.close()

    def _climb(self, crowd: Crowd, ranges: FileRanges) -> None:
        """Measure more and more connections."""
        bounds, latency = self._bounds, self._found.latency or 0.0
        seconds, patience = max(bounds.seconds, _SAMPLE_TRIPS * latency), max(_MOST_SECONDS, _MOST_TRIPS * latency)
        # Where the source is far, the first of the steps are left out: the last one tells the most.
        affordable = max(1, int(bounds.climb / (seconds + _ANSWER_TRIPS * latency)) - 1)
        begun = time.monotonic()
        last, had, best = 0.0, 0, 0.0
        for number in (1, *bounds.steps[-affordable:]):
            at = time.monotonic()
            if had and at + last > begun + bounds.climb:
                return
            crowd.join(ranges, number - had)
            rate = crowd.rate(seconds, bounds.one if number == 1 else min(number * bounds.one, bounds.many), patience)
            if not had and crowd.error is not None:
                raise crowd.error
            if rate is None:
                return
            self._note(rates=(*self._found.rates, (number, rate)), ranges=ranges.are_honoured)
            if number == 1:
                self._note(rate_one=rate, open_range=ranges if ranges.are_honoured else None)
            else:
                self._note(rate_many=rate, connections=number)
            if not ranges.are_honoured or rate < WORTH * best:
                return
            last, had, best = time.monotonic() - at, number, rate

    def _clock_offset(self, headers: Mapping[str, str]) -> float | None:
        try:
            return parsedate_to_datetime(headers.get("Date", "")).timestamp() - self._net.now()
        except (ValueError, TypeError, OverflowError):
            return None


def _announces(answer: Answer, digest: Digest) -> bool:
    headers: Mapping[str, str] = answer.headers
    tags = (headers.get(name, "").removeprefix("W/").strip('"').lower() for name in ("X-Linked-Etag", "ETag"))
    return digest.hex in tags
