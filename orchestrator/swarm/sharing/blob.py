"""A blob of the depot, as it is shared: how it arrives, its pieces, and the dispute over it."""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.core.extents import Range
from orchestrator.depot.watch import Watch
from orchestrator.swarm.sharing.dispute import BlobDispute
from orchestrator.swarm.sharing.ledger import PieceLedger
from orchestrator.swarm.units import Bits


@dataclass(slots=True, eq=False)
class SharedBlob:
    """`epoch` is that of the watch, up to which the ledger knows what was taken back; `dropped` is to be taken back in
    that epoch. Not thread-safe."""

    watch: Watch
    ledger: PieceLedger
    dispute: BlobDispute
    epoch: int
    dropped: Bits = field(default_factory=lambda: Bits(0))
    is_noted: bool = False
    is_over: bool = False

    def catch_up(self) -> None:
        """Forget what was taken back meanwhile."""
        epoch = self.watch.epoch
        if epoch != self.epoch:
            self.ledger.replace(self.watch.replaced(self.epoch))
            self.epoch, self.dropped = epoch, Bits(0)

    def is_untouched(self, epoch: int, span: Range) -> bool:
        """True when nothing of these bytes was taken back since that epoch. For any thread."""
        taken = () if self.watch.epoch == epoch else self.watch.replaced(epoch)
        return all(end <= span[0] or start >= span[1] for start, end in taken)
