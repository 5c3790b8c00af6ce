"""What the last `doctor` measured of each source: `doctor.json` in the state folder, mode 0600, for `config tune`.

A file that cannot be read counts as empty.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path

from orchestrator.core.findings import SourceFacts
from orchestrator.core.tuning import Figures
from orchestrator.store.writing import write_file

_FILE = "doctor.json"


def keep_figures(state_dir: Path, sources: Iterable[SourceFacts]) -> None:
    """Write them in place of the last ones; sources without a rate stay as they were. Errors as in `oserrors`."""
    kept = {name: [list(rate) for rate in found.rates] for name, found in read_figures(state_dir).items()}
    kept |= {source.name: [list(rate) for rate in source.rates] for source in sources if source.rates}
    text = json.dumps({"version": 1, "rates": kept}, indent=1, sort_keys=True)
    write_file(state_dir / _FILE, text + "\n", state_dir / "stage", mode=0o600)


def read_figures(state_dir: Path) -> dict[str, Figures]:
    """By the source's name."""
    try:
        data = json.loads((state_dir / _FILE).read_bytes())
        if data["version"] != 1:
            return {}
        return {
            str(name): Figures(tuple((int(count), _rate(rate)) for count, rate in rates))
            for name, rates in data["rates"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return {}


def _rate(value: object) -> float:
    number = float(value) if isinstance(value, int | float) else math.nan
    if not math.isfinite(number) or number < 0:
        raise ValueError("not a rate")
    return number
