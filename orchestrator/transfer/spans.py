"""Spans: one aria2 download moves one byte range of one blob from one source.

aria2 itself knows only whole files. So a span is another name (a hard link) of the blob's part, with a control file
that says that all bytes outside the range are there already, and a metalink document that tells the size. Then aria2
asks for exactly `Range: bytes=start-end`, at once and only once, and keeps the connection for the next span (measured:
1 GiB in 127 spans from a far server took 127 requests over 16 connections, and not a byte twice).
"""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.aria2.control import BLOCK, PIECE, arrived, control_file, piece_length, runs_of
from orchestrator.aria2.endpoint import Download
from orchestrator.aria2.options import download_options
from orchestrator.core.extents import Extent, Range, Ranges, total
from orchestrator.disk.folders import open_fresh

if TYPE_CHECKING:
    from orchestrator.aria2.rpc import DownloadStatus
    from orchestrator.transfer.couriers import Errand

SMALL = 2 * PIECE
"""Bytes: a smaller file is one request, without journal."""

_RATE_SECONDS = 1.0
_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK}


@dataclass(slots=True)
class Span:
    """A download under way. Times are monotonic seconds, positions bytes, `rate` bytes per second.

    `rate` falls while nothing comes; `last_rate` is the rate at the last byte, `moved` when that came.

    `end` may move down while it runs, when another span takes over its tail: the download is then stopped once it got
    there, and may have written up to `limit` meanwhile.

    `path` is the name that aria2 writes to, or with an `errand` the part itself, to which a courier writes in its
    place. `width` is the number of connections: one, so that `position` tells exactly what arrived, unless the daemon
    grants few downloads at once; then `runs` tells it.
    """

    source: str
    path: Path
    start: int
    end: int
    size: int
    begun: float
    errand: Errand | None = None
    width: int = 1
    gid: str = ""
    position: int = 0
    moved: float = 0.0
    connections: int = 0
    is_leaving: bool = False  # told to stop; it counts as active until aria2 has closed the file
    runs: tuple[Range, ...] = ()
    rate: float = 0.0
    last_rate: float = 0.0
    limit: int = 0
    _came: int = 0
    _seen: float = 0.0
    _weight: float = 0.0

    def __post_init__(self) -> None:
        self.position = self.start
        self.moved = self._seen = self.begun
        self.limit = self.end

    @property
    def block(self) -> int:
        """Bytes: aria2 reports progress in steps of this size."""
        return piece_length(self.size, self.end) if self.width > 1 else BLOCK

    @property
    def left(self) -> int:
        """Bytes that are still to come."""
        return max(0, self.end - self.position)

    @property
    def rest(self) -> Ranges:
        """The range that is still to come."""
        return ((self.position, self.end),) if self.left else ()

    def holds(self, ranges: Ranges) -> bool:
        """True when the first byte of some of these is still to come from it."""
        return any(self.position <= start < self.end for start, _ in ranges)

    @property
    def has_gain(self) -> bool:
        """True when it brought something that the next span need not fetch."""
        return self.position > self.start

    @property
    def seconds_left(self) -> float:
        """The seconds left at the present rate; infinite before the first byte."""
        return self.left / self.rate if self.rate else float("inf") if self.left else 0.0

    @property
    def control(self) -> Path:
        """The path of aria2's control file."""
        return self.path.with_name(self.path.name + ".aria2")

    def open(self, part: Path) -> None:
        """Make the name and the control file. Raises OSError."""
        try:
            os.link(part, self.path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            self.path.symlink_to(part.name)
        with os.fdopen(open_fresh(self.control), "wb") as file:
            file.write(control_file(self.size, self.start, self.end))

    def download(self, url: str, way: Mapping[str, str] | None = None, *, is_ours: bool = True) -> Download:
        """The download for aria2, from this address; `way` and `is_ours` are those of `download_options`."""
        options = download_options(self.path.parent, width=self.width, way=way, is_ours=is_ours)
        piece = piece_length(self.size, self.end)
        return Download(self.path.name, self.size, url, options, None if piece == PIECE else piece)

    def close(self) -> None:
        """Remove what `open` made. The bytes stay: they are the part's. Raises OSError."""
        if self.errand is not None:
            return
        self.path.unlink(missing_ok=True)
        self.control.unlink(missing_ok=True)

    def extents(self) -> Iterator[Extent]:
        """The arrived extents."""
        runs = self.runs if self.width > 1 else ((self.start, min(self.position, self.end)),)
        return (Extent(start, end, self.source) for start, end in runs if start < end)

    def look_up(self) -> None:
        """Take in what the disk tells, where aria2 has closed the file and nobody can ask it any more.

        aria2 saves the control file when it stops a download, and removes it when that is complete.
        """
        try:
            size = self.path.stat().st_size
            text = self.control.read_bytes() if self.control.exists() else None
        except OSError:
            return
        if text is None:
            came = [(self.start, self.end)] if size == self.size else []
        else:
            came = list(arrived(text, self.size, self.start, self.end))
        if self.width > 1:
            self.runs = tuple(came) or self.runs
            self.position = max(self.position, self.start + total(self.runs))
        elif came and came[0][0] == self.start:
            self.position = max(self.position, came[0][1])

    def excuse(self, seconds: float) -> None:
        """For so long nothing could come, and nobody is to blame."""
        self.begun += seconds
        self.moved += seconds

    def see(self, status: DownloadStatus, now: float) -> int:
        """Take in what aria2 tells; returns how many bytes arrived since the last time."""
        # aria2 counts as done what is not the span's.
        others = self.size - (self.limit - self.start)
        fresh = self._arrived(self.start + max(0, status.done - others), now)
        if not status.is_active:
            self.rate = 0.0
        self.connections = status.connections
        if self.width > 1 and status.bitfield:
            self.runs = tuple(runs_of(status.bitfield, self.size, self.start, self.end))
        return fresh

    def look(self, errand: Errand, now: float) -> int:
        """The same of a courier."""
        if errand.came > self._came or not errand.is_running:  # one that waits its turn is not silent
            self._came, self.moved = errand.came, now
        self.connections = int(not errand.is_done and errand.latency is not None)
        return self._arrived(errand.position, now)

    def _arrived(self, position: int, now: float) -> int:
        if position < self.end:
            position -= position % BLOCK
        fresh = max(0, position - self.position)
        if fresh:
            self.position, self.moved = position, now
        if self.position > self.start and now > self._seen:
            # An average over the last second or so; over all of it as long as that is less.
            fade = math.exp((self._seen - now) / _RATE_SECONDS)
            self._weight = fade * self._weight + 1 - fade
            self.rate += (1 - fade) / self._weight * (fresh / (now - self._seen) - self.rate)
            if fresh:
                self.last_rate = self.rate
        self._seen = now
        return fresh
