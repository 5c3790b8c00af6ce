"""Who answered: a cache of some CDN, or the origin itself, as headers tell. Values only.

X-Cache and Via differ by vendor; CF-Cache-Status is Cloudflare's, X-Amz-Cf-* are CloudFront's.
"""

from __future__ import annotations

from collections.abc import Mapping

_VENDORS = (
    ("x-amz-cf-id", "", "CloudFront"),
    ("cf-cache-status", "", "Cloudflare"),
    ("server", "cloudflare", "Cloudflare"),
    ("server", "tengine", "Alibaba CDN"),
    ("server", "akamai", "Akamai"),
    ("x-served-by", "cache-", "Fastly"),
    ("via", "varnish", "a Varnish cache"),
    ("via", "squid", "a Squid proxy"),
)


def edge(headers: Mapping[str, str]) -> str:
    """In words: `CDN: Cloudflare (HIT)`, `a cache (MISS)`, `origin: nginx`, or `origin` where nothing tells."""
    folded = {name.lower(): value for name, value in headers.items()}
    found = next((name for key, mark, name in _VENDORS if key in folded and mark in folded[key].lower()), None)
    status = folded.get("cf-cache-status") or folded.get("x-cache", "").split(" ")[0]
    suffix = f" ({status.split(',')[0].upper()[:12]})" if status else ""
    if found:
        return f"CDN: {found}{suffix}"
    if status or "via" in folded or "age" in folded:
        return f"a cache{suffix}"
    server = folded.get("server", "").split(" ")[0][:40]
    return f"origin: {server}" if server else "origin"
