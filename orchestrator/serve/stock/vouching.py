"""The root's word on who may have the files of a closed repo, for callers who have no right to it here.

It is asked for the headers of a file, with the token that came with the request, or as somebody without an account. So
who is refused hears what the root itself would say, also whether there is such a repo at all. The token goes nowhere
else; for five minutes, a yes is remembered by a hash that this process alone can make.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from orchestrator.catalogs.refusals import refusal
from orchestrator.core.dialects import DEFAULT
from orchestrator.core.files import RepoTree
from orchestrator.core.plan import ResolvedModel
from orchestrator.core.refs import RepoId
from orchestrator.core.sources import Origin, Source
from orchestrator.errors import ConfigError, NotAllowedError
from orchestrator.net.failures import blaming
from orchestrator.net.session import Net
from orchestrator.serve.http.recent import Recent

KEPT = 300.0
"""Seconds for which the root is not asked again about a token that it accepted for a repo at a commit."""
_MOST = 10_000


class _Vouched(NamedTuple):
    token: str
    repo: RepoId
    commit: str


class Vouching:
    """Asks the root. `net` is the way there. Thread-safe."""

    def __init__(self, root: Source, net: Net, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = root
        self._net = net
        self._clock = clock
        self._salt = secrets.token_bytes(32)
        self._guard = threading.Lock()
        self._known: Recent[_Vouched, float] = Recent(_MOST)

    def key(self, model: ResolvedModel, token: str | None) -> _Vouched:
        """The subject of the root's word, without the token itself."""
        return _Vouched(
            self._hashed(token), RepoId(model.ref.repo.type, model.name_now or model.ref.repo.name), model.commit
        )

    def knows(self, model: ResolvedModel, token: str | None) -> bool:
        """True when the root said yes a short while ago. Does not block."""
        with self._guard:
            return self._clock() < (self._known.get(self.key(model, token)) or 0.0)

    def knows_of(self, repo: RepoId, token: str | None) -> bool:
        """True when the root said yes a short while ago about any commit of the repo. Does not block."""
        made, now = self._hashed(token), self._clock()
        with self._guard:
            return any((one.token, one.repo) == (made, repo) and now < end for one, end in self._known.items())

    def ask(self, model: ResolvedModel, token: str | None) -> None:
        """Return if the root lets who has the token read the model. Raises NotAllowedError and NotFoundError, in the
        root's words, and what a request to it can raise."""
        repo = model.ref.repo
        if model.ref.catalog is not DEFAULT or self._root.kind is not DEFAULT or not model.tree.files:
            raise NotAllowedError(f"{repo.url_path} is gated or private")
        key = self.key(model, token)
        url = self._root.file_url(Origin(key.repo, model.commit, _largest(model.tree)))
        try:
            net = self._net.as_somebody(token)
        except ConfigError as error:
            raise NotAllowedError("the token of the Hub that came with the request is malformed") from error
        with blaming(self._root.name):
            answer = net.head(url)
        if not 200 <= answer.status < 400:
            raise refusal(answer, self._root, repo, model.ref.revision, had_token=token is not None)
        with self._guard:
            self._known.keep(key, self._clock() + KEPT)

    def _hashed(self, token: str | None) -> str:
        return hmac.new(self._salt, (token or "").encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def _largest(tree: RepoTree) -> str:
    """The file that says most about who may read a repo: its README may be open to all."""
    return max(tree.files, key=lambda file: (file.is_lfs, file.size)).path
