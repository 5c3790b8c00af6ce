"""Probe of a source's speed, latency and freshness: a few requests, and a bounded sample of a file.

Nothing that a probe fetches is kept, and nothing that it finds is proof: it only says whom to ask first.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any

from orchestrator.core.files import Digest
from orchestrator.core.sources import Origin, Source
from orchestrator.errors import GlmAriaError, ProtocolError
from orchestrator.mirrors.links import Links
from orchestrator.mirrors.stats import Observation
from orchestrator.net.answers import Answer
from orchestrator.net.handshake import Handshake
from orchestrator.net.session import Net
from orchestrator.system.threads import try_start

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_LEAST_SECONDS = 1e-4


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of a probe. `seconds` bounds each sample of bytes, `one` and `many` its bytes. `more` are
    further numbers of connections to measure, with `many` bytes for each."""

    seconds: float = 0.5
    one: int = 2 << 20
    many: int = 8 << 20
    connections: int = 1
    pings: int = 3
    more: tuple[int, ...] = ()


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
    `rates` are all bytes/s by number of connections. `clock_offset` is by how many seconds
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
    rates: tuple[tuple[int, float], ...] = ()
    clock_offset: float | None = None
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
        sent, seconds, ranges = self._read(link.url, 0, min(self._bounds.one, target.size), target.size)
        rate = sent / max(seconds, _LEAST_SECONDS)
        self._note(rate_one=rate, rates=((1, rate),), ranges=ranges)
        if self._bounds.connections > 1 and ranges:
            rate = self._read_many(link.url, target.size, self._bounds.connections)
            self._note(rate_many=rate, connections=self._bounds.connections)
            self._note(rates=(*self._found.rates, (self._bounds.connections, rate)))
            for count in self._bounds.more:
                self._note(rates=(*self._found.rates, (count, self._read_many(link.url, target.size, count))))

    def _read(self, url: str, first: int, end: int, size: int) -> tuple[int, float, bool]:
        """Read bytes from `first` to before `end`, until the time is over: how many came, in how many seconds, and
        whether the range was honoured."""
        with self._net.stream(url, byte_range=(first, end), home=self._source.url) as stream:
            if stream.status not in (200, 206):
                raise ProtocolError(f"{self._source.name} answered HTTP {stream.status} for a range")
            found = _CONTENT_RANGE.fullmatch(stream.headers.get("Content-Range", ""))
            ranges = stream.status == 206
            if ranges and (found is None or int(found[1]) != first or found[3] not in ("*", str(size))):
                raise ProtocolError(f"{self._source.name} sent another range than requested")
            begun, sent = time.monotonic(), 0
            for chunk in stream.chunks():
                sent += len(chunk)
                if sent >= end - first or time.monotonic() - begun > self._bounds.seconds:
                    break
            return sent, time.monotonic() - begun, ranges

    def _read_many(self, url: str, size: int, count: int) -> float:
        """Bytes/s over several connections, each with a range of its own."""
        each = max(1, min(self._bounds.many, size) // count)
        sent: list[int] = []

        def one(number: int) -> None:
            first = min(number * (size // count), size - 1)
            # A connection more than the server grants is no error: the others tell what it gives.
            with suppress(GlmAriaError):
                sent.append(self._read(url, first, min(first + each, size), size)[0])

        threads = [threading.Thread(target=one, args=(number,), daemon=True) for number in range(count)]
        begun = time.monotonic()
        for thread in [thread for thread in threads if try_start(thread)]:
            thread.join()
        return sum(sent) / max(time.monotonic() - begun, _LEAST_SECONDS)

    def _clock_offset(self, headers: Mapping[str, str]) -> float | None:
        try:
            return parsedate_to_datetime(headers.get("Date", "")).timestamp() - self._net.now()
        except (ValueError, TypeError, OverflowError):
            return None


def _announces(answer: Answer, digest: Digest) -> bool:
    headers: Mapping[str, str] = answer.headers
    tags = (headers.get(name, "").removeprefix("W/").strip('"').lower() for name in ("X-Linked-Etag", "ETag"))
    return digest.hex in tags
