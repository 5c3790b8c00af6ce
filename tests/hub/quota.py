"""The Hub's rate limits: a fixed window per caller, told in RateLimit and RateLimit-Policy on every answer.

From the Hub's documentation: `RateLimit: "api";r=0;t=55` (r left, t seconds to the reset) and
`RateLimit-Policy: "fixed window";"api";q=500;w=300`; listing and resolving have quotas of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.hub.access import refusal
from tests.hub.wire import Request


@dataclass
class Quota:
    """Requests per window and caller (token, or anonymous) for the API and for /resolve."""

    clock: Callable[[], float]
    api: int = 500
    resolvers: int = 3000
    window_s: float = 300
    _used: dict[tuple[str | None, str, int], int] = field(default_factory=dict)

    def charge(self, request: Request) -> dict[str, str]:
        """Count the request; return the headers its answer carries, or raise the 429."""
        resolving = "/resolve/" in request.raw_path or request.raw_path.startswith("/api/resolve-cache/")
        kind, limit = ("resolvers", self.resolvers) if resolving else ("api", self.api)
        now = self.clock()
        window = int(now // self.window_s)
        key = (request.token, kind, window)
        used = self._used[key] = self._used.get(key, 0) + 1
        reset_s = math.ceil((window + 1) * self.window_s - now)
        headers = {
            "RateLimit": f'"{kind}";r={max(limit - used, 0)};t={reset_s}',
            "RateLimit-Policy": f'"fixed window";"{kind}";q={limit};w={self.window_s:g}',
        }
        if used > limit:
            raised = refusal(429, f"We had to rate limit you: {limit} requests per {self.window_s:g} s.")
            raised.reply.headers |= headers | {"Retry-After": str(reset_s)}
            raise raised
        return headers
