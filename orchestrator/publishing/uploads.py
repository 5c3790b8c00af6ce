"""Blobs into a registry: what is there is left, what is next door is taken over, and the rest is sent.

A blob is sent in chunks. An upload that was stopped between two of them goes on from there, in this run or in the next
one. One that broke within a chunk goes on where the target says how much it has; docker-registry by itself drops it.
The target proves that the whole is the blob.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from orchestrator.core.exponential import backoff
from orchestrator.core.files import Digest
from orchestrator.errors import (
    GlmAriaError,
    Interrupted,
    NotFoundError,
    ProtocolError,
    SourcesDownError,
    TemporaryError,
)
from orchestrator.oci.client import Upload
from orchestrator.proof.hashing import open_to_read
from orchestrator.publishing.folder import LocalFile, changed
from orchestrator.registry.uploads import MOST_CHUNK
from orchestrator.system.failures import on_disk
from orchestrator.system.signals import Stop

_LEAST, _MOST = 1 << 20, MOST_CHUNK
_PARTS = 256
ATTEMPTS = 8
"""Times in a row that an upload is taken up again without another byte that arrives."""
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 15.0
_BROKEN = (SourcesDownError, TemporaryError)


class BlobTarget(Protocol):
    """The place that blobs are uploaded to. Thread-safe for different digests; raises what `oci.client.Client` does."""

    def has(self, digest: Digest) -> bool:
        """True when the blob is there."""

    def take_over(self, digest: Digest) -> str | None:
        """The place next door from which the blob was taken over without sending it; None where there is none."""

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
                chunk = os.pread(fd, count, start)
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


class BlobUploads:
    """Brings blobs to a target. Thread-safe.

    `on_bytes` gets the number of bytes that arrived; less than none where some have to be sent again.
    """

    def __init__(self, target: BlobTarget, *, chunk: int, stop: Stop, on_bytes: Callable[[Content, int], None]) -> None:
        self._target = target
        self._chunk = chunk
        self._stop = stop
        self._on_bytes = on_bytes

    def has(self, digest: Digest) -> bool:
        """True when the target has the blob."""
        return self._target.has(digest)

    def bring(self, content: Content) -> Brought:
        """Have a blob at the target that it lacks.

        Raises IntegrityError when the file is not what it was, Interrupted when `stop` is set, and what a target does.
        """
        donor = self._target.take_over(content.digest)
        return Brought(mounted=donor) if donor else self._sent(content, self._opened(content))

    def _opened(self, content: Content) -> Upload:
        upload = self._target.open(content.digest)
        if upload.done > content.size:
            raise ProtocolError(f"the upload of {content.name!r} has more bytes than the file", file=content.name)
        return upload

    def _sent(self, content: Content, upload: Upload) -> Brought:
        sent = failures = 0
        if upload.done:
            self._on_bytes(content, upload.done)
        while True:
            try:
                while upload.done < content.size:
                    before = upload.done
                    upload = self._send_chunk(content, upload)
                    sent += upload.done - before
                    failures = 0
                self._target.finish(content.digest, upload)
                break
            except _BROKEN:
                failures += 1
                if failures == ATTEMPTS:
                    raise
                self._stop.wait(backoff(failures, _FIRST_WAIT, _LONGEST_WAIT, random.random()))  # noqa: S311 - no secret
                if upload.done == content.size and self.has(content.digest):
                    break  # only the last answer was lost
                upload = self._again(content, upload)
            except GlmAriaError:
                # The registry hashed other bytes than were hashed here.
                if content.file is not None:
                    content.file.refuse_change()
                raise
        return Brought(sent)

    def _send_chunk(self, content: Content, upload: Upload) -> Upload:
        """Send the next chunk. An upload that the registry does not know any more is one that broke."""
        if self._stop.is_set():
            raise Interrupted(self._stop.signal_number)
        chunk = content.read(upload.done, min(self._chunk, content.size - upload.done))
        try:
            upload = self._target.send(content.digest, upload, chunk)
        except (NotFoundError, ProtocolError) as error:
            raise TemporaryError(error.message, hint=error.hint, source=error.source) from error
        self._on_bytes(content, len(chunk))
        return upload

    def _again(self, content: Content, broken: Upload) -> Upload:
        """The upload as the target has it now; from the start if it was dropped."""
        try:
            upload = self._opened(content)
        except _BROKEN:
            return broken
        self._on_bytes(content, upload.done - broken.done)
        return upload
