"""Single ranges of a file from one source: what a repair and a comparison need, and how a source answers to one."""

from __future__ import annotations

import re

from orchestrator.core.sources import Origin, RangeAnswer, Source
from orchestrator.errors import IntegrityError, NotFoundError, ProtocolError
from orchestrator.mirrors.access import access, denied
from orchestrator.net import shapes
from orchestrator.net.answers import Stream
from orchestrator.net.failures import blaming
from orchestrator.net.session import Net

_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)")


def ask_for_range(net: Net, source: Source, url: str, start: int, end: int) -> RangeAnswer:
    """The answer of `source` to a request for the bytes `start` up to `end` of `url`; the bytes are not read.

    Raises the errors of `Net` (after its retries and waits, where a server asks for them); each names the source.
    """
    with blaming(source.name), net.stream(url, byte_range=(start, end), home=source.url) as stream:
        told = _RANGE.fullmatch(stream.headers.get("Content-Range", "").strip())
        length = stream.headers.get("Content-Length", "")
        size = told[3] if told else length if stream.status == 200 else ""
        return RangeAnswer(
            stream.status,
            shapes.whole(size),
            is_range=stream.status == 206 and told is not None and (int(told[1]), int(told[2]) + 1) == (start, end),
            is_encoded=stream.headers.get("Content-Encoding", "identity") != "identity",
            has_length=bool(length) and "Transfer-Encoding" not in stream.headers,
        )


def fetch_range(
    net: Net, source: Source, origin: Origin, start: int, end: int, *, known_url: str | None = None
) -> bytes:
    """The bytes from `start` up to, not including, `end`, as `source` sends them. Nothing is proven here.

    `known_url` is where the source was seen to redirect to, if that is known.

    Redirects are followed, and the token is dropped where it may not go. Raises ProtocolError when the source ignores
    the range, IntegrityError when it sends too few or too many bytes, NotFoundError, NotAllowedError, TemporaryError,
    TrustError, SourcesDownError. Each names the source: ask another one.
    """
    url = known_url or source.file_url(origin)
    with blaming(source.name, origin.path), net.stream(url, byte_range=(start, end), home=source.url) as stream:
        _check(stream, source, origin, start, end, had_token=net.credentials.may_send(url))
        body = bytearray()
        for chunk in stream.chunks():
            body += chunk
            if len(body) > end - start:
                break
        if len(body) != end - start:
            count = "more than" if len(body) > end - start else f"{len(body)} of"
            raise IntegrityError(f"{source.name} sent {count} the {end - start} bytes of {origin.path!r} asked for")
    return bytes(body)


def _check(stream: Stream, source: Source, origin: Origin, start: int, end: int, *, had_token: bool) -> None:
    where = f"{origin.path!r} of {origin.repo.url_path}"
    if stream.status in (401, 403):
        hint = access(source, origin.repo.url_path, had_token=had_token)
        raise denied(stream.headers)(f"{source.name} denies access to {where}", hint=hint)
    if stream.status in (404, 410):
        raise NotFoundError(f"{source.name} does not have {where}")
    if stream.status != 206:
        raise ProtocolError(f"{source.name} answered HTTP {stream.status} when asked for a part of {where}")
    if stream.headers.get("Content-Encoding", "identity") != "identity":
        raise ProtocolError(f"{source.name} sent a part of {where} compressed, which was not requested")
    sent = _RANGE.fullmatch(stream.headers.get("Content-Range", "").strip())
    if not sent or (int(sent[1]), int(sent[2])) != (start, end - 1):
        raise ProtocolError(f"{source.name} sent another part of {where} than requested")
