"""Small ranges of files that are not here, from the root alone: the header of a safetensors file, the end of a parquet.

Programs look into large files without wanting them (`get_safetensors_metadata`, `HfFileSystem`). Nothing proves a few
bytes of a file whose digest is that of the whole. So they come from the site whose word the digest is, over the same
TLS, and from nobody else. Who asks for more than a little of a file gets it proven, when all of it is here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor

from orchestrator.core.files import Digest, RepoFile
from orchestrator.core.plan import ResolvedModel
from orchestrator.core.refs import RepoId
from orchestrator.errors import GlmAriaError
from orchestrator.serve.access.callers import Caller
from orchestrator.serve.delivery.ranges import Excerpt
from orchestrator.serve.http.once import PATIENCE, Once
from orchestrator.serve.http.recent import Recent
from orchestrator.serve.stock.library import Library

LONGEST = 4 << 20
"""Bytes of a range that is small."""
_MOST, _SHARE = 16 << 20, 16
"""Bytes of one blob, and the part of it, that are passed on in an hour: who wants more reads the file."""
_HOUR = 3600.0
_KEPT = 16 << 20
"""Bytes that are kept in memory for the next one who asks."""
_BLOBS = 10_000
"""Blobs that are counted, and ranges that are kept."""

_Key = tuple[RepoId, Digest, int, int]


class Snippets:
    """Fetches small ranges, each once however many ask. For the thread of the event loop; `asking` are threads that ask
    sites, `each` is as for `Once`."""

    def __init__(
        self, library: Library, *, asking: Executor, each: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._library = library
        self._once = Once(asking, each=each)
        self._clock = clock
        self._kept: Recent[_Key, bytes] = Recent(_KEPT, len)
        self._passed: Recent[Digest, tuple[float, int]] = Recent(_BLOBS)

    async def get(self, model: ResolvedModel, file: RepoFile, cut: Excerpt, caller: Caller) -> bytes | None:
        """The bytes of a range with an end, if it is small; None where the file has to be waited for. Raises Refused
        for a client that asks for too much at once."""
        key = model.ref.repo, file.digest, cut.start, cut.end
        if (known := self._kept.get(key)) is not None:
            return known
        length = cut.end - cut.start
        if cut.status != 206 or cut.is_open or length > LONGEST or not self._library.has_word_of_root(model):
            return None
        if not self._may_pass(file, length):
            return None
        try:
            got = await self._once.do(
                key, lambda: self._library.excerpt(model, file, cut.start, cut.end), PATIENCE, client=caller.client
            )
        except (GlmAriaError, TimeoutError):
            return None  # a mirror may have the whole
        self._kept.keep(key, got)
        return got

    def _may_pass(self, file: RepoFile, length: int) -> bool:
        """Count bytes of a blob that are about to be passed on; False when that would be too many for one hour."""
        now = self._clock()
        since, passed = self._passed.get(file.digest) or (now, 0)
        if now - since >= _HOUR:
            since, passed = now, 0
        is_little = passed + length <= min(_MOST, file.size // _SHARE)
        self._passed.keep(file.digest, (since, passed + length * is_little))
        return is_little
