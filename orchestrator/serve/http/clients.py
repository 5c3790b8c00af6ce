"""Clients by their User-Agent: who may have bytes before their proof, and how the others are made to wait.

A client gets unproven bytes only if none of them can end as a wrong file: when the proof fails its connection is
closed before the last piece, and what it then asks for must not join what it has. Each row has a test with the real
client. What was seen in their code:

- `hf download` and transformers load through `hf_hub_download`. Since huggingface_hub 1.18 that keeps nothing across
  runs, and starts over when a request for the rest (`bytes=N-`) is answered with the whole. Before, a later run
  continues what an earlier one has left.
- huggingface_hub's file system hands bytes to its caller while they come, takes an answer of any length for the range
  it asked for, and joins whatever follows. Its User-Agent is that of a plain `snapshot_download` in somebody's program,
  so neither gets unproven bytes. Since 1.0 both repeat a request that is answered with 429.
- modelscope-hub (modelscope 1.38 and later downloads with it) keeps a part across runs and continues it. Since 0.5 it
  hashes the whole before it gives it its name, by the listing's sha256, else by `X-Linked-ETag`; starts over when a
  request for the rest is answered with the whole; and asks again after a 429. Where it fetches parts side by side
  (`MODELSCOPE_DOWNLOAD_PARALLELS`), each has its end named, and a caller who gave a size and no sha256 gets them joined
  unhashed. Before 0.5 it hashed by the listing alone, after the file had its name.
- modelscope up to 1.37 names the end in every request, and appends whatever answers: its hash finds that out, and it
  starts over at most twice. It waits.
- glm-aria hashes everything itself; the aria2c that it drives names no version.
- curl, wget, aria2c and the rest continue whatever lies there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache

_PRODUCT = re.compile(r"(?:^|[\s;])([\w.-]+)(?:/(\d+)(?:\.(\d+))?)?")


class Manner(StrEnum):
    """Manners of answering a client while a file arrives."""

    HASHES = "hashes"  # it proves the whole itself: all that is here
    STARTS_OVER = "starts-over"  # all but the last piece, which it gets after the proof
    ASKS_AGAIN = "asks-again"  # nothing before the proof; where it cannot be kept waiting, it obeys a 429
    WAITS = "waits"  # nothing before the proof; where it cannot be kept waiting, its headers and a silent connection


_ROWS: tuple[tuple[dict[str, tuple[int, int]], Manner], ...] = (
    ({"glm-aria": (0, 0)}, Manner.HASHES),
    ({"huggingface-cli": (0, 0), "hf_hub": (1, 18)}, Manner.STARTS_OVER),
    ({"transformers": (0, 0), "hf_hub": (1, 18)}, Manner.STARTS_OVER),
    ({"modelscope_hub": (0, 5)}, Manner.STARTS_OVER),
    ({"hf_hub": (1, 0)}, Manner.ASKS_AGAIN),
)
"""Products that the User-Agent must name, each in this version or a later one; the first row that holds counts."""


_INTERIM = {
    "hf_hub": 100,
    "modelscope_hub": 100,
    "modelscope": 100,
    "glm-aria": 100,
    "curl": 100,
    "Wget": 100,
    "aria2": 100,
    "python-requests": 100,
    "python-urllib3": 100,
    "Python-urllib": 100,
    "python-httpx": 100,
    "node": 102,
    "undici": 102,
}
"""Status of the interim answers of which a product takes any number, by trial. http.client of Python knows 100 alone,
and the fetch of node every other; Go's client takes five."""


@lru_cache(256)
def interim_of(user_agent: str) -> int | None:
    """The status by which a client may be told that its answer is on its way; None for one that is not known."""
    named = _products(user_agent)
    return next((status for name, status in _INTERIM.items() if name in named), None)


@lru_cache(256)
def manner_of(user_agent: str, *, early: bool = True) -> Manner:
    """The manner of a client. Without `early` nobody gets bytes before their proof who could not wait for it."""
    named = _products(user_agent)
    for products, manner in _ROWS:
        if all(name in named and named[name] >= least for name, least in products.items()):
            return Manner.ASKS_AGAIN if manner is Manner.STARTS_OVER and not early else manner
    return Manner.WAITS


@lru_cache(256)
def _products(user_agent: str) -> Mapping[str, tuple[int, int]]:
    """The products that a User-Agent names, each with its version as far as it tells."""
    return {name: (int(major or 0), int(minor or 0)) for name, major, minor in _PRODUCT.findall(user_agent[:1000])}
