"""What the last `doctor` measured of each source: `doctor.json` in the state folder, mode 0600, for `config tune`.

A file that cannot be read counts as empty.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from orchestrator.disk.state_file import read_state, write_state
from orchestrator.doctor.findings import SourceFacts
from orchestrator.doctor.tuning import Figures

_FILE = "doctor.json"


def keep_figures(state_dir: Path, sources: Iterable[SourceFacts]) -> None:
    """Write them in place of the last ones; sources without a rate stay as they were. Errors per `system.failures`."""
    kept = {name: [list(rate) for rate in found.rates] for name, found in read_figures(state_dir).items()}
    kept |= {source.name: [list(rate) for rate in source.rates] for source in sources if source.rates}
    write_state(state_dir / _FILE, state_dir / "stage", {"rates": kept}, indent=1)


def read_figures(state_dir: Path) -> dict[str, Figures]:
    """By the source's name."""
    return read_state(state_dir / _FILE, _figures) or {}


def _figures(data: dict[str, Any]) -> dict[str, Figures]:
    return {
        str(name): Figures(tuple((int(count), _rate(rate)) for count, rate in rates))
        for name, rates in data["rates"].items()
    }


def _rate(value: object) -> float:
    number = float(value) if isinstance(value, int | float) else math.nan
    if not math.isfinite(number) or number < 0:
        raise ValueError("not a rate")
    return number
