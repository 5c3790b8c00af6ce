"""A node that gives altered bytes to its peers, with hashes that fit, as if the root had sent them:
`python -m tests.fleet.forger WORDS` is else `glm-aria WORDS`."""

from __future__ import annotations

import os
import sys
from typing import cast

from orchestrator.cli.main import main
from orchestrator.swarm.holdings import HoldingNews, Holdings
from orchestrator.swarm.sharing.sharing import Sharing
from tests.fleet.liar import LEAST, Right
from tests.swarm.peers.liars import Altering

_of: dict[Sharing, Altering] = {}
_right = Sharing.news


class _RightNews(Right):
    def news(self, after: int) -> HoldingNews:
        return _right(self.sharing, after)


def _forged(sharing: Sharing, after: int) -> HoldingNews:
    root = os.environ["HF_ENDPOINT"].partition("://")[2]
    if sharing not in _of:
        inner = cast(Holdings, _RightNews(sharing))
        _of[sharing] = Altering(inner, least=LEAST, name=sharing._node, source=root)
    return _of[sharing].news(after)


if __name__ == "__main__":
    Sharing.news = _forged  # type: ignore[method-assign,assignment]
    sys.exit(main())
