"""Headers of answers that all faces give."""

from __future__ import annotations

from urllib.parse import quote

JSON = {"Content-Type": "application/json; charset=utf-8"}
"""The headers of an answer in JSON."""


def of_content(path: str, etag: str) -> dict[str, str]:
    """The headers of a file at `path` of its repo. `etag` is without quotes."""
    return {
        "ETag": f'"{etag}"',
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(path.rpartition('/')[2])}",
        # A browser must not run what a repo holds.
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
    }


def of_age(*, is_stale: bool) -> dict[str, str]:
    """The header that marks what the root said before, where it cannot be asked now."""
    return {"X-GLM-Aria-Stale": "1"} if is_stale else {}
