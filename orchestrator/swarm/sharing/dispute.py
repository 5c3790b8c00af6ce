"""The dispute over one blob that was wrong as a whole, as a node of a fleet sees it. Pure.

First comes what others have proven: where one has the whole blob, its list of hashes says which pieces are wrong here.
Otherwise one node settles it for all (`settling`), alone with the root: first it fetches again what no word of
the root speaks for, then all that it did not get from the root itself.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from orchestrator.depot.company import OWN_MATTER, Doubt
from orchestrator.swarm.sharing.ledger import PieceLedger
from orchestrator.swarm.sharing.settling import Settlement


@dataclass(frozen=True, slots=True)
class Others:
    """The peers in a dispute: `holders` have the blob proven, by their own word, and `absent` ones do nothing any
    more."""

    holders: Collection[str]
    absent: Collection[str]


@dataclass(slots=True)
class BlobDispute:
    """The state of it. `liars` are nodes whose list of proven hashes is that of what is wrong, or was that from which
    all was mended before."""

    settlement: Settlement
    liars: list[str] = field(default_factory=list)
    _is_distrusted: bool = False
    _mended: set[str] = field(default_factory=set)

    def doubt(self, ledger: PieceLedger, trusted: str, others: Others | None, now: float) -> Doubt | None:
        """See `depot.company.Company`; None for `others` where nobody else is asked."""
        if ledger.to_hash:
            return None
        for holder in sorted(others.holders) if others else ():
            wrong = None if holder in self._mended else ledger.repair(holder, trusted)
            if wrong is not None and wrong.items:
                self._mended.add(holder)
                return Doubt(wrong, is_together=True)
            if wrong is not None or holder in self._mended:
                self.liars.append(holder)
        if others and not self.settlement.is_ours(others.absent, now):
            return None
        if not self._is_distrusted:
            self._is_distrusted = True
            if (doubted := ledger.distrust(trusted)).items:
                return Doubt(doubted)
        doubted = ledger.foreign()
        return Doubt(doubted) if doubted.items else OWN_MATTER
