"""One file, or the rest of it, over Python: with the token where it may go, and with bounds from the listing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.core.sources import Body, Source
from orchestrator.errors import GlmAriaError, IntegrityError, NotAllowedError, ProtocolError
from orchestrator.mirrors.access import access, denied
from orchestrator.net.answers import Stream
from orchestrator.net.failures import blaming
from orchestrator.net.session import Net
from orchestrator.net.statuses import meaning

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(frozen=True, slots=True)
class FileRange:
    """The bytes from `start` to before `end` of the file `path` of `repo`, which has `size` bytes."""

    path: str
    repo: str
    size: int
    start: int
    end: int


def open_body(net: Net, source: Source, url: str, wanted: FileRange) -> tuple[Body, Stream]:
    """Ask `source` for bytes by `url`, of which it may be another one's. The body is the caller's to close.

    Redirects are followed by the rules of `Net`, and the token is dropped where it may not go. Nothing is proven here:
    the caller hashes. Raises IntegrityError where another size is announced, NotFoundError, NotAllowedError,
    ProtocolError, TrustError, TemporaryError and SourcesDownError, each naming the source; so do the chunks, for a body
    that is longer or shorter than it should be, and for a line that breaks.
    """
    is_part = (wanted.start, wanted.end) != (0, wanted.size)
    byte_range = (wanted.start, wanted.end) if is_part else None
    with blaming(source.name, wanted.path):
        stream = net.stream(url, byte_range=byte_range, home=source.url)
        try:
            if stream.status not in (200, 206):
                raise _refused(stream, source, wanted, had_token=net.credentials.may_send(url))
            start, end = _span_of(stream, source, wanted)
        except BaseException:
            stream.close()
            raise
    return Body(start, _bounded(stream, source, wanted, end - start), stream.abort, stream.close), stream


def _bounded(stream: Stream, source: Source, wanted: FileRange, count: int) -> Iterator[bytes]:
    with blaming(source.name, wanted.path):
        done = 0
        for chunk in stream.chunks():
            done += len(chunk)
            if done > count:
                raise _wrong_size(source, wanted, f"more than the {count} requested bytes")
            yield chunk
        if done < count:
            raise _wrong_size(source, wanted, f"{done} of {count} bytes")


def _span_of(stream: Stream, source: Source, wanted: FileRange) -> tuple[int, int]:
    """The bytes of the file in the answer: the requested ones, or all."""
    coding = stream.headers.get("Content-Encoding", "identity")
    if coding != "identity":
        raise ProtocolError(f"{source.name} sent {wanted.path!r} compressed ({coding[:20]!r}), which was not requested")
    start, end = 0, wanted.size
    if stream.status == 206:
        told = _RANGE.fullmatch(stream.headers.get("Content-Range", "").strip())
        start, end = wanted.start, wanted.end
        if told is None or (int(told[1]), int(told[2]) + 1) != (start, end):
            raise ProtocolError(f"{source.name} sent another part of {wanted.path!r} than requested")
        if told[3] not in ("*", str(wanted.size)):
            raise _wrong_size(source, wanted, f"a file of {told[3][:20]} instead of {wanted.size} bytes")
    announced = stream.headers.get("Content-Length")
    if announced is not None and announced != str(end - start):
        raise _wrong_size(source, wanted, f"{announced[:20]} instead of {end - start} bytes")
    return start, end


def _refused(stream: Stream, source: Source, wanted: FileRange, *, had_token: bool) -> GlmAriaError:
    kind, hint = meaning(stream.status).error, None
    if kind is NotAllowedError:
        kind, hint = denied(stream.headers), access(source, wanted.repo, had_token=had_token)
    return kind(f"{source.name} answered HTTP {stream.status} for {wanted.path!r} of {wanted.repo}", hint=hint)


def _wrong_size(source: Source, wanted: FileRange, what: str) -> IntegrityError:
    return IntegrityError(f"{source.name} sent {what} for {wanted.path!r}; they were discarded")
