"""The spans that are under way: those that aria2 fetches, and those that couriers carry in its place."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from orchestrator.aria2.endpoint import Endpoint
from orchestrator.aria2.launch import CrowdedError, crowded
from orchestrator.aria2.rpc import DownloadStatus, Rpc
from orchestrator.errors import DaemonError
from orchestrator.system.tcp_info import TcpPath, paths_of
from orchestrator.transfer.active import Slot
from orchestrator.transfer.assign import Opened
from orchestrator.transfer.couriers import Couriers, Errand
from orchestrator.transfer.limits import Throttle, TransferLimits, limit_at
from orchestrator.transfer.pace.manners import Manners
from orchestrator.transfer.pace.servers import Server
from orchestrator.transfer.spans import Span

_RESTARTS = 5  # in a row; who goes on for a while after one was not in vain
_WHILE_SECONDS = 600.0
_PROMPT_SECONDS = 0.1  # of an answer


class Downloads:
    """Begins, stops and looks at spans, in one daemon and with couriers. What their ends mean, others judge.

    `connect`, `is_ours` and `way` are those of the transfer. Whatever talks to the daemon raises DaemonError when that
    is lost. `spans` are known by gid; `carried` by errand.
    """

    def __init__(
        self,
        connect: Callable[[], Endpoint],
        couriers: Couriers,
        limits: TransferLimits,
        *,
        is_ours: bool,
        way: Callable[[str], Mapping[str, str]],
    ) -> None:
        self._connect = connect
        self._way = way
        self.is_ours = is_ours
        self._restarts_left = _RESTARTS if is_ours else 0
        self._restarted = 0.0
        self._timeout = 5 if is_ours else 15
        self._rpc: Rpc | None = None
        self._couriers = couriers
        self._limits = limits
        self._turn_to(limit_at(limits.max_speed, time.time()))
        self.spans: dict[str, tuple[Slot, Span]] = {}
        self.carried: dict[Errand, tuple[Slot, Span]] = {}

    @property
    def most(self) -> int | None:
        """Connections that a run with a limit, or a polite one, may have now; None where the budget decides."""
        return self._manners.connections

    @property
    def is_connected(self) -> bool:
        """True once the daemon was needed."""
        return self._rpc is not None

    @property
    def rpc(self) -> Rpc:
        """The daemon, once connected."""
        if self._rpc is None:
            raise AssertionError("nothing was given to the daemon yet")
        return self._rpc

    @property
    def is_crowded(self) -> bool:
        """Any user may hold connections to the port of our daemon; then it can open neither files nor connections."""
        if self._rpc is None or not self.is_ours:
            return False
        listener = self._rpc.endpoint.listener
        return listener is not None and listener.is_crowded

    def paths(self) -> tuple[TcpPath, ...]:
        """The connections of our daemon to sources, as far as the system tells.

        Nothing is known of others' daemons, nor of what is behind a proxy, which acknowledges packets in its place.
        """
        if any(self._is_proxied(span.source) for _, span in self.spans.values()):
            return ()
        listener = self._rpc.endpoint.listener if self._rpc is not None and self.is_ours else None
        return tuple(path for path in paths_of(listener.process.pid) if path.port != listener.port) if listener else ()

    def _is_proxied(self, source: str) -> bool:
        way = self._way(source)
        return bool(way.get("http-proxy") or way.get("https-proxy"))

    def all(self) -> list[tuple[Slot, Span]]:
        """All spans under way, with their jobs."""
        return [*self.spans.values(), *self.carried.values()]

    def connect(self) -> None:
        """Reach the daemon; one of ours is started."""
        self._rpc = Rpc(self._connect(), timeout=self._timeout)
        if self._limit and self.is_ours:
            self._rpc.limit_all(self._limit)

    def reconnect(self, error: DaemonError) -> None:
        """The daemon is lost, and all its spans with it: start it again, or raise DaemonError when it is gone."""
        now = time.monotonic()
        if self.is_ours and now - self._restarted > _WHILE_SECONDS:
            self._restarts_left = _RESTARTS
        self._restarted = now
        if self._restarts_left <= 0 and (isinstance(error, CrowdedError) or self.is_crowded):
            raise crowded() from error
        if self._restarts_left <= 0:
            raise DaemonError(
                "the aria2 daemon stopped answering during the transfer", hint="start it again and run the same command"
            ) from error
        self._restarts_left -= 1
        self.rpc.close()
        self.connect()
        self.spans.clear()

    def evict(self, slots: Sequence[Slot]) -> None:
        """The claims on these parts are ours, so who writes to them is what a killed run left in a daemon that lives
        on."""
        if self.is_ours or not slots:
            return
        self.rpc.remove(self.rpc.writers(slot.part for slot in slots))

    def begin(self, opened: Iterable[Opened]) -> list[tuple[Slot, Span, DaemonError]]:
        """Begin these, in one request to aria2; returns what it refuses."""
        asked = []
        for slot, span, uri in opened:
            if uri is None:
                span.errand = self._couriers.send(
                    slot.job, span.source, slot.part, span.start, span.end, prove=slot.is_small
                )
                self.carried[span.errand] = slot, span
            else:
                asked.append((slot, span, span.download(uri.url, self._way(span.source), is_ours=self.is_ours)))
        if not asked:
            return []
        refused = []
        for (slot, span, _), answer in zip(asked, self.rpc.add([download for _, _, download in asked]), strict=True):
            if isinstance(answer, DaemonError):
                refused.append((slot, span, answer))
            else:
                span.gid = answer
                self.spans[answer] = slot, span
        return refused

    def leave(self, spans: Iterable[Span]) -> None:
        """Stop these; they count as active until aria2 says that they are not."""
        gids = []
        for span in spans:
            span.is_leaving = True
            if span.errand is None:
                gids.append(span.gid)
            else:
                span.errand.stop()
        if gids:
            self.rpc.stop(gids)

    def look(self, servers: Mapping[str, Server]) -> tuple[float, dict[str, DownloadStatus], dict[str, int]]:
        """The time of the answer (monotonic), the status of the spans in aria2, by gid, and the bytes since the last
        look, by source."""
        asked = time.monotonic()
        known = self._ask() if self.spans else {}
        now = time.monotonic()
        # aria2 has one thread: while it does not answer, as when the disk is slow to sync, it takes in nothing either.
        late = max(0.0, now - asked - _PROMPT_SECONDS)
        fresh = dict.fromkeys(servers, 0)
        for errand, (_, span) in self.carried.items():
            fresh[span.source] += span.look(errand, now)
        for gid, status in known.items():
            span = self.spans[gid][1]
            span.excuse(late)
            is_first = not span.has_gain
            fresh[span.source] += span.see(status, now)
            if is_first and span.has_gain:
                servers[span.source].began(now - span.begun)
            if not (status.is_active or status.is_stopped):
                span.begun = now  # it is queued or paused, and its source cannot be blamed for that
        return now, known, fresh

    def _ask(self) -> dict[str, DownloadStatus]:
        is_any_wide = any(span.width > 1 for _, span in self.spans.values())
        return self.rpc.tell(list(self.spans), with_bitfield=is_any_wide)

    def hold_speed(self, now: float, moved: int) -> None:
        """Keep to `most` connections, and hold `max_speed`: with the daemon's own limit where it is ours, else download
        by download. `moved` are all bytes that came so far."""
        limit = limit_at(self._limits.max_speed, time.time())
        if limit != self._limit:
            self._turn_to(limit)
            self._tell_limit(limit or 0)
        self._manners.look(now, moved, used=sum(span.width for _, span in self.all()), budget=self._limits.per_source)
        if self.most is not None:
            staying = [span for _, span in self.spans.values() if not span.is_leaving]
            staying.sort(key=lambda span: span.begun)
            counts = itertools.accumulate(span.width for span in staying)
            self.leave(
                [span for span, count in zip(staying, counts, strict=True) if count > max(self.most, span.width)]
            )
        if self._throttle is None:
            return
        most = self._throttle.limit
        self._couriers.pacer.rate = most / 2 if self.spans else float(most)
        told = self._throttle.next(now, moved)
        if told is None or not self.spans:
            return
        # What couriers take, aria2 has to leave.
        told -= round(min(most / 2, sum(span.rate for _, span in self.carried.values())))
        self._tell_limit(told)

    def _turn_to(self, limit: int | None) -> None:
        """Hold this limit from now on, None for none."""
        self._limit = limit
        self._couriers.pacer.rate = limit
        self._throttle = Throttle(limit) if limit else None
        self._manners = Manners(limit, is_polite=self._limits.is_polite, paths=self.paths)

    def _tell_limit(self, rate: int) -> None:
        """Tell a daemon that is known its limit, 0 for none."""
        if self._rpc is None:
            return
        if self.is_ours:
            self._rpc.limit_all(rate)
        else:
            each = max(1024, rate // max(1, len(self.spans))) if rate else 0
            self._rpc.change_options((gid, {"max-download-limit": str(each)}) for gid in self.spans)

    def end(self, deadline: float) -> None:
        """Stop all and keep what they have, as far as aria2 tells that until `deadline` (monotonic). Couriers are not
        waited for."""
        self._couriers.close()
        self.leave(span for _, span in self.all())
        for errand, (slot, span) in self.carried.items():
            span.look(errand, time.monotonic())
            slot.close_span(span)
        self.carried.clear()
        while self.spans and time.monotonic() < deadline:
            now, known = time.monotonic(), self._ask()
            for gid in [gid for gid in self.spans if gid not in known or known[gid].is_stopped]:
                slot, span = self.spans.pop(gid)
                if gid in known:
                    span.see(known[gid], now)
                else:
                    span.look_up()
                slot.close_span(span)
            self.rpc.forget([gid for gid, status in known.items() if status.is_stopped])

    def close(self) -> None:
        """Talk to the daemon no more."""
        if self._rpc is not None:
            self._rpc.close()
