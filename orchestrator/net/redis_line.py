"""Lines to a Redis, on which nothing is asked twice and no answer is waited for long. redis is imported here alone."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from orchestrator.errors import ConfigError

# What the client raises over an answer that is no Redis's: not UTF-8, of another shape, a thousand levels deep.
_ODD = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


@dataclass(frozen=True, slots=True)
class RedisLine:
    """A line to the Redis at `place`, which names it without a password.

    `errors` is what the client raises where that does not answer as a Redis: say only of which class one is, since its
    text may quote what was sent.
    """

    client: Any
    place: str
    errors: tuple[type[Exception], ...]

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(*self.errors):
            self.client.close()


def redis_line(url: str, *, setting: str, extra: str, patience: float, is_text: bool = False) -> RedisLine:
    """A line to the Redis that `setting` names. Connects when it is first asked.

    `patience` is the most seconds for an answer; answers are `str` with `is_text`, else `bytes`. Raises ConfigError
    where the client library, which comes with `extra`, is missing, or where the address is none.
    """
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError:
        raise ConfigError(
            f"{setting} is set, and the client for Redis is not installed", hint=f"pip install 'glm-aria[{extra}]'"
        ) from None
    parts = urlsplit(url)
    place = parts.path if parts.scheme == "unix" else f"{parts.hostname}:{parts.port or 6379}"
    try:
        client = redis.Redis.from_url(
            url,
            decode_responses=is_text,
            socket_timeout=patience,
            socket_connect_timeout=patience,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError:
        raise ConfigError(
            f"{setting} is not an address of a Redis server ({place})", hint="redis://host:6379/0"
        ) from None
    return RedisLine(client, place, (redis.RedisError, OSError, *_ODD))
