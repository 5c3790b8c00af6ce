"""Bytes over Python: small files that need the token, which aria2 must never have, and ranges to look at."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import BinaryIO

from orchestrator.core.sources import Origin, RangeAnswer, Source
from orchestrator.core.statuses import meaning
from orchestrator.errors import GlmAriaError, IntegrityError, NotAllowedError, ProtocolError
from orchestrator.mirrors.links import file_url
from orchestrator.net import hints
from orchestrator.net.answers import Stream
from orchestrator.net.failures import blaming
from orchestrator.net.session import Net


def fetch(  # noqa: PLR0917 - from where, what, to where, until when
    net: Net, source: Source, origin: Origin, size: int, out: BinaryIO, stop: Callable[[], bool]
) -> int:
    """Write the file's bytes to `out` and return how many: `size`, or fewer only when `stop()` became true.

    The token goes to the source's host if it may, and is dropped on redirects elsewhere. Nothing is proven here: the
    caller hashes. Not resumed: on an error `out` holds a useless beginning. Raises IntegrityError for a body longer or
    shorter than `size` (it is cut there), TemporaryError when the line breaks, NotFoundError, NotAllowedError,
    ProtocolError, TrustError, SourcesDownError; errors of `out` pass unchanged.
    """
    with blaming(source.name, origin.path), net.stream(file_url(source, origin)) as stream:
        _check(stream, source, origin, size, had_token=net.credentials.may_send(file_url(source, origin)))
        done = 0
        for chunk in stream.chunks():
            if stop():
                return done
            if done + len(chunk) > size:
                raise _wrong_size(source, origin, f"more than the {size} bytes of the listing")
            out.write(chunk)
            done += len(chunk)
        if done < size:
            raise _wrong_size(source, origin, f"{done} of {size} bytes")
        return done


_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


def ask_for_range(net: Net, source: Source, url: str, start: int, end: int) -> RangeAnswer:
    """How `source` answers to a question for the bytes `start` up to `end` of `url`; the bytes are not read.

    Raises the errors of `Net` (after its retries and waits, where a server asks for them); each names the source.
    """
    with blaming(source.name), net.stream(url, byte_range=(start, end)) as stream:
        told = _CONTENT_RANGE.fullmatch(stream.headers.get("Content-Range", "").strip())
        length = stream.headers.get("Content-Length", "")
        total = int(told[3]) if told else int(length) if stream.status == 200 and length.isdecimal() else None
        return RangeAnswer(
            stream.status,
            total,
            is_range=stream.status == 206 and told is not None and (int(told[1]), int(told[2]) + 1) == (start, end),
            is_encoded=stream.headers.get("Content-Encoding", "identity") != "identity",
            is_framed=bool(length) or "Transfer-Encoding" in stream.headers,
        )


def fetch_range(net: Net, source: Source, url: str, start: int, end: int) -> bytes:
    """The bytes `start` up to `end` of what `url` serves; for samples, so a few hundred KiB at most.

    Raises ProtocolError when the answer is not just that range, and the errors of `Net`; each names the source.
    """
    with blaming(source.name), net.stream(url, byte_range=(start, end)) as stream:
        told = stream.headers.get("Content-Range", "")
        if stream.status != 206 or not told.startswith(f"bytes {start}-{end - 1}/"):
            raise ProtocolError(
                f"{source.name} answered HTTP {stream.status} ({told[:60]!r}) to a question for a range"
            )
        data = b""
        for chunk in stream.chunks():
            data += chunk
            if len(data) > end - start:
                break
    if len(data) != end - start:
        raise ProtocolError(f"{source.name} sent {len(data)} bytes for a range of {end - start}")
    return data


def _check(stream: Stream, source: Source, origin: Origin, size: int, *, had_token: bool) -> None:
    if stream.status != 200:
        raise _refused(stream.status, source, origin, had_token=had_token)
    coding = stream.headers.get("Content-Encoding", "identity")
    if coding != "identity":
        raise ProtocolError(f"{source.name} sent {origin.path!r} compressed ({coding[:20]!r}), which nobody asked for")
    announced = stream.headers.get("Content-Length")
    if announced is not None and announced != str(size):
        raise _wrong_size(source, origin, f"{announced[:20]} instead of {size} bytes")


def _refused(status: int, source: Source, origin: Origin, *, had_token: bool) -> GlmAriaError:
    kind = meaning(status).error
    hint = hints.licence(source.url, origin.repo.url_path, had_token=had_token) if kind is NotAllowedError else None
    return kind(f"{source.name} answered HTTP {status} for {origin.path!r} of {origin.repo.url_path}", hint=hint)


def _wrong_size(source: Source, origin: Origin, what: str) -> IntegrityError:
    return IntegrityError(f"{source.name} sent {what} for {origin.path!r}; they were dropped")
