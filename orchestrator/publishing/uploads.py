"""Blobs into a registry: what is there is left, what is next door is taken over, and the rest is sent.

A blob is sent in chunks. An upload that was stopped between two of them goes on from there, in this run or in the next
one. One that broke within a chunk goes on where the target says how much it has; docker-registry by itself drops it.
The target proves that the whole is the blob.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from orchestrator.core.exponential import backoff
from orchestrator.core.files import Digest
from orchestrator.errors import (
    ConflictError,
    GlmAriaError,
    IntegrityError,
    Interrupted,
    NotFoundError,
    ProtocolError,
    SourcesDownError,
    TemporaryError,
)
from orchestrator.oci.client import Upload
from orchestrator.platform.places import read_at
from orchestrator.proof.hashing import open_to_read
from orchestrator.publishing.folder import LocalFile, changed
from orchestrator.registry.uploads import MOST_CHUNK
from orchestrator.system.failures import on_disk
from orchestrator.system.signals import Stop

_LEAST, _MOST = 1 << 20, MOST_CHUNK
_PARTS = 256
ATTEMPTS = 8
"""Times in a row that a blob is taken up without a byte that the target never had."""
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 15.0
_TICK = 1e-3
_BROKEN = (SourcesDownError, TemporaryError)


class BlobTarget(Protocol):
    """The place that blobs are uploaded to. Thread-safe for different digests; raises what `oci.client.Client` does."""

    def done(self, digest: Digest) -> int | None:
        """The bytes of the blob that an upload has; None when the blob is there."""

    def take_over(self, digest: Digest) -> str | None:
        """The place next door from which the blob was taken over without sending it; None where there is none."""

    def put(self, digest: Digest, data: bytes) -> None:
        """Send the whole of a blob that no upload has any bytes of."""

    def open(self, digest: Digest) -> Upload:
        """The upload of the blob, as far as it is."""

    def send(self, digest: Digest, upload: Upload, chunk: bytes) -> Upload:
        """Send the bytes that follow on `upload.done`."""

    def finish(self, digest: Digest, upload: Upload) -> None:
        """End the upload: what is there has to be the blob."""


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes to upload: `data` of a small blob itself, or a file as it was when it was hashed."""

    digest: Digest
    size: int
    name: str
    data: bytes = b""
    file: LocalFile | None = None

    def read(self, start: int, count: int) -> bytes:
        """The bytes from `start`, `count` of them. Raises IntegrityError for a file that has become shorter."""
        if self.file is None:
            return self.data[start : start + count]
        fd = open_to_read(self.file.place)
        try:
            with on_disk("read", self.file.place):
                chunk = read_at(fd, count, start)
        finally:
            os.close(fd)
        if len(chunk) < count:
            raise changed(self.name)
        return chunk


@dataclass(frozen=True, slots=True)
class Brought:
    """The way in which a blob came to be in the repository: bytes `sent` by this run, or taken over from `mounted`."""

    sent: int = 0
    mounted: str | None = None


def chunk_of(total: int) -> int:
    """Bytes of a chunk for a push of so many: what a killed push sends again is a chunk for each upload under way."""
    return min(max(total // _PARTS, _LEAST), _MOST)


OnBytes = Callable[[Content, int, int], None]


class BlobUploads:
    """Brings blobs to a target. Thread-safe.

    `on_bytes` gets how many bytes the target has, and the bytes per second at which the last ones went there.
    """

    def __init__(self, target: BlobTarget, *, chunk: int, stop: Stop, on_bytes: OnBytes) -> None:
        self._target = target
        self._chunk = chunk
        self._stop = stop
        self._on_bytes = on_bytes

    def done(self, digest: Digest) -> int | None:
        """The bytes of the blob that an upload has; None when the target has the blob."""
        return self._target.done(digest)

    def bring(self, content: Content, begun: int = 0) -> Brought:
        """Have a blob at the target that it lacks, but for the first `begun` bytes, which an upload has.

        Raises IntegrityError when the file is not what it was, Interrupted when `stop` is set, and what a target does.
        """
        run = _Run(content, begun)
        while True:
            try:
                return self._tried(run)
            except (*_BROKEN, ConflictError) as error:
                run.failures += 1
                if run.failures == ATTEMPTS:
                    raise _given_up(content, error) from error
                run.broken = error
                self._stop.wait(backoff(run.failures, _FIRST_WAIT, _LONGEST_WAIT, random.random()))  # noqa: S311 - no secret
            except GlmAriaError:
                # The registry hashed other bytes than were hashed here.
                if content.file is not None:
                    content.file.refuse_change()
                raise

    def _tried(self, run: _Run) -> Brought:
        """Take the blob over, or send what the target lacks of it. Any step may break; then all begin again."""
        digest = run.content.digest
        self._heed_stop()
        if run.broken is not None and self._target.done(digest) is None:
            return Brought(run.sent)  # only the last answer was lost, or somebody else sent it
        if donor := self._target.take_over(digest):
            return Brought(run.sent, donor)
        if run.broken is None and not run.begun and run.content.size <= self._chunk:
            return self._put(run.content)
        upload = self._target.open(digest)
        if upload.done > run.content.size:
            raise ProtocolError(
                f"the upload of {run.content.name!r} has more bytes than the file", file=run.content.name
            )
        if isinstance(run.broken, ConflictError) and run.is_whole and upload.done < run.content.size:
            run.refuse(run.broken)
        if upload.done != run.done:
            self._on_bytes(run.content, upload.done, 0)
        run.reached(upload)
        while upload.done < run.content.size:
            before = upload.done
            upload = self._send_chunk(run.content, upload)
            run.sent += upload.done - before
            run.reached(upload)
        self._target.finish(digest, upload)
        return Brought(run.sent)

    def _put(self, content: Content) -> Brought:
        """Send a blob that is one chunk at most in as few requests as there can be."""
        begun = time.monotonic()
        with _unknown_is_broken():
            self._target.put(content.digest, content.read(0, content.size))
        self._on_bytes(content, content.size, round(content.size / max(time.monotonic() - begun, _TICK)))
        return Brought(content.size)

    def _send_chunk(self, content: Content, upload: Upload) -> Upload:
        """Send the next chunk."""
        self._heed_stop()
        chunk = content.read(upload.done, min(self._chunk, content.size - upload.done))
        begun = time.monotonic()
        with _unknown_is_broken():
            upload = self._target.send(content.digest, upload, chunk)
        self._on_bytes(content, upload.done, round(len(chunk) / max(time.monotonic() - begun, _TICK)))
        return upload

    def _heed_stop(self) -> None:
        if self._stop.is_set():
            raise Interrupted(self._stop.signal_number)


@dataclass(slots=True)
class _Run:
    """A blob that is brought: the bytes that were there before (`begun`), those that were `sent`, those that the target
    had when it was last heard (`done`), the most that it ever had, and the failures since that grew. `was_refused`: it
    had all, and dropped it."""

    content: Content
    begun: int = 0
    sent: int = 0
    done: int = 0
    most: int = 0
    failures: int = 0
    broken: GlmAriaError | None = None
    was_refused: bool = False

    @property
    def is_whole(self) -> bool:
        """True when the target had all bytes."""
        return self.done == self.content.size

    def reached(self, upload: Upload) -> None:
        """Note how much the target has. Bytes that it lost and got again are no progress."""
        self.done = upload.done
        if self.done > self.most:
            self.most, self.failures = self.done, 0

    def refuse(self, error: GlmAriaError) -> None:
        """Note that the target took what it had for other bytes. It is sent once more, no more than that."""
        if self.was_refused:
            raise IntegrityError(error.message, hint="run it again", file=self.content.name)
        self.was_refused = True


@contextmanager
def _unknown_is_broken() -> Iterator[None]:
    """An upload that the registry does not know any more is one that broke."""
    try:
        yield
    except (NotFoundError, ProtocolError) as error:
        raise TemporaryError(error.message, hint=error.hint, source=error.source) from error


def _given_up(content: Content, error: GlmAriaError) -> GlmAriaError:
    if isinstance(error, ConflictError):
        return TemporaryError(
            f"another push sends {content.name!r} at the same time, and nothing of it arrives",
            hint="run it again once that one has ended",
            file=content.name,
        )
    return error
