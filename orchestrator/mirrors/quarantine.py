"""Sources in their order, without those that sent wrong bytes before."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from orchestrator.core.sources import Source
from orchestrator.events import Emit, Notice
from orchestrator.mirrors.measurements import Memory
from orchestrator.mirrors.rank import rank


def usable(sources: Sequence[Source], memory: Memory, emit: Emit) -> tuple[Source, ...]:
    """`mirrors.rank.rank`, with a warning for each source that is left out, or is kept only because it is the root."""
    for source in sources:
        if warning := _warning(source, memory):
            emit(warning)
    return rank(sources, memory)


def warnings(sources: Iterable[Source], memory: Memory) -> tuple[Notice, ...]:
    """One notice for each source in quarantine."""
    return tuple(warning for source in sources if (warning := _warning(source, memory)))


def _warning(source: Source, memory: Memory) -> Notice | None:
    found = memory.quarantine_of(source)
    if found is None:
        return None
    what = "is the last that is asked" if source.is_root else "is left out"
    command = f"glm-aria mirrors forgive {shlex.quote(source.name)}"
    message = f"{source.name} {what}: {found.reason}; to use it again: {command}"
    return Notice("mirror-quarantined", message, source.name, found.evidence.file if found.evidence else None)
