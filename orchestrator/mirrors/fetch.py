"""One small file over Python, with the token: for restricted repos, whose git files aria2 must never fetch."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from orchestrator.core.sources import Origin, Source
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
