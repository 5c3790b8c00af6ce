"""The host that LFS bytes come from: signed URLs that expire, byte ranges, and an ETag that is not the sha256.

As on the Hub's CDNs the URL carries `Expires` (epoch seconds) and `Signature`; after the expiry or with another
signature the answer is 403 with an XML body. The ETag looks like that of a multipart upload, so a client that takes
it for a digest is wrong.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from urllib.parse import quote

from tests.hub.content import Bytes
from tests.hub.repos import RepoFile
from tests.hub.wire import Reply, Request, file_reply

_DENIED = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code><Message>Access denied</Message></Error>'
)


class Cdn:
    """Signs URLs for files and serves them. `clock` gives epoch seconds; `ttl_s` is how long a URL holds."""

    def __init__(self, clock: Callable[[], float], ttl_s: float, *, tells_digest: bool = False) -> None:
        self._clock, self.ttl_s, self._tells_digest = clock, ttl_s, tells_digest
        self._objects: dict[str, RepoFile] = {}
        self._key = b"loopback"

    def sign(self, base_url: str, repo: str, file: RepoFile) -> str:
        """A URL of `file` under `base_url`, good for `ttl_s` seconds."""
        shelf = hashlib.sha256(repo.encode()).hexdigest()
        path = f"/repos/{shelf[:2]}/{shelf[2:4]}/{shelf}/{file.etag}"
        self._objects[f"{path}:{file.path}"] = file
        expires = int(self._clock() + self.ttl_s)
        name = quote(f"inline; filename*=UTF-8''{quote(file.path.rpartition('/')[2])};", safe="")
        return (
            f"{base_url}{path}?response-content-disposition={name}&Expires={expires}&File={quote(file.path, safe='')}"
            f"&Signature={self._signature(path, expires, file.path)}&Key-Pair-Id=LOOPBACK"
        )

    def handle(self, request: Request) -> Reply:
        query = request.query
        expires, name = query.get("Expires", ""), query.get("File", "")
        file = self._objects.get(f"{request.path}:{name}")
        signature = self._signature(request.path, int(expires) if expires.isdigit() else 0, name)
        genuine = hmac.compare_digest(query.get("Signature", ""), signature)
        if file is None or not genuine or self._clock() >= int(expires):
            return Reply(
                403, {"Content-Type": "application/xml", "X-Cache": "Error"}, Bytes(_DENIED), file=name or None
            )
        headers = {"Content-Disposition": query.get("response-content-disposition", "inline"), "X-Cache": "Hit"}
        if self._tells_digest:
            headers["X-Linked-ETag"] = f'"{file.etag}"'
        etag = hashlib.md5(file.etag.encode(), usedforsecurity=False).hexdigest() + "-7"
        reply = file_reply(request, file.content, etag, headers)
        reply.file, reply.pointer = file.path, file.pointer if file.sha256 else None
        return reply

    def _signature(self, path: str, expires: int, name: str) -> str:
        return hmac.new(self._key, f"{path}\n{expires}\n{name}".encode(), "sha256").hexdigest()
