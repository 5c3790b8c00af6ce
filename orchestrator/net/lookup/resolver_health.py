"""Measurements of resolvers by earlier runs: `resolvers.json` in the state folder, mode 0600.

    {"version": 1, "resolvers": {"1.1.1.1:53": {"seconds": 0.01, "failures": 0.0, "at": 1.0}}}

A file that cannot be read counts as empty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from orchestrator.core.network.resolvers import NameServer, Standing, merged, parse_server
from orchestrator.disk.locks import state_lock
from orchestrator.disk.state_file import read_state, write_state
from orchestrator.system.failures import on_disk

_FILE = "resolvers.json"


def read_standings(state_dir: Path) -> dict[NameServer, Standing]:
    """All that is remembered."""
    return read_state(state_dir / _FILE, _standings) or {}


def keep_standings(state_dir: Path, learned: Mapping[NameServer, Standing]) -> None:
    """Add what a run learned. Errors per `system.failures`."""
    with on_disk("lock", state_dir), state_lock(state_dir / "resolvers.lock"):
        known = merged(read_standings(state_dir), learned)
        kept = {f"[{s.address}]:{s.port}" if ":" in s.address else f"{s.address}:{s.port}": asdict(v)
                for s, v in sorted(known.items())}  # fmt: skip
        write_state(state_dir / _FILE, state_dir / "stage", {"resolvers": kept}, indent=1)


def _standings(data: Mapping[str, Any]) -> dict[NameServer, Standing]:
    return {parse_server(name): _standing(value) for name, value in data["resolvers"].items()}


def _standing(value: Mapping[str, Any]) -> Standing:
    seconds = None if value["seconds"] is None else float(value["seconds"])
    numbers = (seconds or 0.0, float(value["failures"]), float(value["at"]))
    if not all(math.isfinite(number) and number >= 0 for number in numbers):
        raise ValueError("not a measurement")
    return Standing(seconds, numbers[1], numbers[2])
