"""A node that gives altered bytes to its peers: `python -m tests.fleet.liar WORDS` is else `glm-aria WORDS`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import cast

from orchestrator.cli.main import main
from orchestrator.core.files import Digest
from orchestrator.swarm.holdings import Holdings, Readable
from orchestrator.swarm.sharing.sharing import Sharing
from tests.swarm.peers.liars import Altering

LEAST = 1 << 20
_right = Sharing.read


@dataclass
class Right:
    """What the node really has."""

    sharing: Sharing

    def read(self, digest: Digest, start: int, end: int) -> Readable | None:
        return _right(self.sharing, digest, start, end)


def _wrong(sharing: Sharing, digest: Digest, start: int, end: int) -> Readable | None:
    return Altering(cast(Holdings, Right(sharing)), least=LEAST).read(digest, start, end)


Sharing.read = _wrong  # type: ignore[method-assign,assignment]

if __name__ == "__main__":
    sys.exit(main())
