"""A daemon that others use, too: what its options and its users do to our downloads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.aria2.endpoint import Remark
from orchestrator.aria2.inherited import refused, warned
from orchestrator.aria2.rpc import DownloadStatus, Rpc
from orchestrator.core.sizes import format_size
from orchestrator.errors import DaemonError

_LOOK_SECONDS = 1.0
_QUIET_SECONDS = 3.0
"""Without a byte for all of our downloads, it is told what they wait for."""


class UnfitDaemonError(DaemonError):
    """The daemon is there, but would do to our downloads what must not be done to them."""


def refuse_unfit(url: str, options: Mapping[str, str]) -> None:
    """Raise UnfitDaemonError when a daemon's global options do harm that no option of a download prevents."""
    if harms := refused(options):
        raise UnfitDaemonError(
            f"the aria2 daemon at {url} cannot be used: its option "
            + "; its option ".join(f"{harm.option!r} {harm.what}" for harm in harms),
            hint=f"take {' and '.join(harm.option for harm in harms)} out of its configuration and restart it, or leave"
            " out --rpc to use a daemon of glm-aria's own",
        )


@dataclass(slots=True)
class DaemonWatch:
    """The effects on our downloads of a daemon that others use, too. Times are monotonic seconds."""

    rpc: Rpc
    _looked: float = float("-inf")
    _moved: float = float("inf")
    _options: Mapping[str, str] = field(default_factory=dict)
    _active: int = 0
    _told: set[Remark] = field(default_factory=set)

    def look(self, now: float) -> Iterator[Remark]:
        """Look, once a second, at what others may change at any time. Raises UnfitDaemonError, or what the RPC does."""
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        self._options, self._active = self.rpc.circumstances()
        refuse_unfit(self.url, self._options)
        for harm in warned(self._options):
            text = f"the aria2 daemon at {self.url} has the option {harm.option!r}, which {harm.what}"
            yield from self._once(Remark("daemon-option", text))

    def holdup(self, statuses: Sequence[DownloadStatus], came: int, now: float) -> Iterator[Remark]:
        """The reason, once, why none of our downloads advances; `came` are bytes since the last time."""
        if came or not statuses:
            self._moved = now
        self._moved = min(self._moved, now)
        if now - self._moved < _QUIET_SECONDS:
            return
        if any(status.status == "paused" for status in statuses):
            why = "was told to pause them: resume them in its front end, or with aria2.unpauseAll"
        elif not any(status.is_active for status in statuses):
            most = self._options.get("max-concurrent-downloads", "?")
            why = f"runs {most} at once (max-concurrent-downloads), and others' come first"
        elif self.rate_each is not None:
            limits = (f"{name}={format_size(limit)}/s" for name, limit in self._limits.items())
            why = f"is slowed down by {', '.join(limits)}, and runs {self._active} downloads"
        else:
            return
        text = f"the aria2 daemon at {self.url} moves none of this run's downloads: it {why}"
        yield from self._once(Remark("daemon-waits", text))

    @property
    def url(self) -> str:
        """The endpoint of the daemon."""
        return self.rpc.endpoint.url

    @property
    def rate_each(self) -> float | None:
        """Bytes per second that its limits leave for each download; None when it has none."""
        shares = {"max-overall-download-limit": max(1, self._active), "max-download-limit": 1}
        return min((limit / shares[name] for name, limit in self._limits.items()), default=None)

    @property
    def _limits(self) -> dict[str, int]:
        names = ("max-overall-download-limit", "max-download-limit")
        limits = {name: int(self._options.get(name) or 0) for name in names}
        return {name: limit for name, limit in limits.items() if limit}

    def _once(self, remark: Remark) -> Iterator[Remark]:
        if remark not in self._told:
            self._told.add(remark)
            yield remark
