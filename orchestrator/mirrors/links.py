"""Links to a blob's bytes without a credential: redirects are resolved here, and tokens end here.

A Hub answers `resolve` for an LFS file with a redirect to a signed, short-lived CDN address. aria2 is given that
address and never the token. `Link.expires_at` tells when to ask again: `Links.resolve` may be called at any time, and
a new address serves the same bytes.
"""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import strptime
from urllib.parse import parse_qsl, urlsplit

from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.sources import Origin, Source
from orchestrator.errors import IntegrityError, NotAllowedError, NotFoundError, ProtocolError
from orchestrator.mirrors.access import access, denied
from orchestrator.net.addresses import MAX_REDIRECTS, next_hop, place, redact
from orchestrator.net.answers import Answer
from orchestrator.net.failures import blaming
from orchestrator.net.session import Net
from orchestrator.net.statuses import Then, meaning

_LENGTH = {Algorithm.SHA256: 64, Algorithm.GIT_SHA1: 40}


@dataclass(frozen=True, slots=True, repr=False)
class Link:
    """An address that serves a blob's bytes.

    `expires_at` is unix seconds by this machine's clock, None when the address says nothing. With `needs_token` the
    bytes come only to someone with the token, so they are for `fetch`, never for aria2.
    """

    source: Source
    url: str
    expires_at: float | None = None
    needs_token: bool = False

    def __repr__(self) -> str:
        return f"Link({self.source.name}, {redact(self.url)}, expires_at={self.expires_at})"


class Links:
    """Resolves files to links. Thread-safe, keeps nothing."""

    def __init__(self, net: Net) -> None:
        self._net = net

    def resolve(
        self, source: Source, origin: Origin, size: int, digest: Digest, *, is_restricted: bool = False
    ) -> Link:
        """Ask `source` where the blob lies, with HEAD and the token if it may go there.

        Redirects within the source's own server are followed (for a restricted repo, those to another host that may
        have the token, too); the first that leaves it is the link. Raises
        IntegrityError when the source announces another digest or size, NotFoundError, NotAllowedError, ProtocolError,
        TrustError, and the errors of `Net` for a source that cannot be asked. Each names the source: drop it.
        """
        with blaming(source.name, origin.path):
            return self._resolve(source, origin, size, digest, is_restricted=is_restricted)

    def _resolve(self, source: Source, origin: Origin, size: int, digest: Digest, *, is_restricted: bool) -> Link:
        url = source.file_url(origin)
        home = place(url)
        # A registry that gave a token wants to see it, also for what is open to all.
        is_closed = is_restricted or source.kind.names_site
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._net.head(url, home=source.url, as_get=source.kind.names_site)
            _check(answer, source, origin, size, digest)
            location = answer.headers.get("Location")
            if meaning(answer.status).then is not Then.FOLLOW or not location:
                _check_status(answer, source, origin, had_token=self._net.credentials.may_send(url))
                return Link(source, url, None, is_closed and self._net.credentials.may_send(url))
            url = next_hop(url, location)
            if place(url) != home and not (is_closed and self._net.credentials.may_send(url)):
                return Link(source, url, _expiry(url, answer.headers, self._net.now()))
        raise ProtocolError(f"{source.name} redirects {origin.path!r} in a loop; it is not used for this file")


def _check(answer: Answer, source: Source, origin: Origin, size: int, digest: Digest) -> None:
    """Compare what the source announces with the listing. Headers that are not there, or say something else, pass.

    `X-Linked-Etag` (LFS) and `ETag` are the digest in the Hub's protocol. Other servers use ETag for what they like,
    so it counts only in the form of this digest.
    """
    if answer.status >= 400:
        return
    if announced_digest(answer.headers, digest) not in (None, digest.hex):
        raise _other(source, origin, "another digest")
    announced = answer.headers.get("X-Linked-Size")
    if announced is None and answer.status == 200 and "Content-Encoding" not in answer.headers:
        announced = answer.headers.get("Content-Length")
    if announced is None and answer.status == 206:
        announced = answer.headers.get("Content-Range", "").rpartition("/")[2].replace("*", "") or None
    if announced is not None and announced != str(size):
        raise _other(source, origin, f"{announced[:20]!r} bytes instead of {size}")


def announced_digest(headers: Mapping[str, str], digest: Digest) -> str | None:
    """The digest that a source announces, if it does so in the form of this one."""
    for name in ("X-Linked-Etag", "ETag"):
        etag = headers.get(name, "").strip().removeprefix("W/").strip('"').lower()
        if re.fullmatch(rf"[0-9a-f]{{{_LENGTH[digest.algorithm]}}}", etag):
            return etag
    return None


def _other(source: Source, origin: Origin, what: str) -> IntegrityError:
    return IntegrityError(f"{source.name} announces {what} for {origin.path!r}; it is not used for this file")


def _check_status(answer: Answer, source: Source, origin: Origin, *, had_token: bool) -> None:
    row = meaning(answer.status)
    if row.then is Then.TAKE or answer.status == 206:
        return
    repo = origin.repo.url_path
    if row.error is NotFoundError:
        raise NotFoundError(f"{source.name} does not have {origin.path!r} of {repo}")
    if row.error is NotAllowedError:
        raise denied(answer.headers)(
            f"{source.name} denies access to {origin.path!r} of {repo}",
            hint=access(source, repo, had_token=had_token),
        )
    raise row.error(f"{source.name} answered HTTP {answer.status} for {origin.path!r}")


def _expiry(url: str, headers: Mapping[str, str], now: float) -> float | None:
    """The expiry of a signed URL: `Expires` (CloudFront, OSS, S3 v2: unix seconds), or `X-Amz-Date` + `X-Amz-Expires`.

    The server's `Date` stands in for its clock, so a wrong clock here does not make a fresh link look old.
    """
    query = {name.lower(): value for name, value in parse_qsl(urlsplit(url).query)}
    try:
        if "x-amz-expires" in query:
            start = timegm(strptime(query["x-amz-date"], "%Y%m%dT%H%M%SZ"))
            ends = float(start + int(query["x-amz-expires"]))
        else:
            ends = float(int(query["expires"]))
    except (KeyError, ValueError, OverflowError):
        return None
    try:
        skew = now - parsedate_to_datetime(headers.get("Date", "")).timestamp()
    except (ValueError, OverflowError):
        skew = 0.0
    return ends + skew
