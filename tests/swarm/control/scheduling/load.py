"""The load of a scheduler and of a Redis, by a simulated fleet around real cores: a measurement, not a test.

python -m tests.swarm.control.scheduling.load NODES [SCHEDULERS]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from orchestrator.swarm.board.redis import RedisBoard
from orchestrator.swarm.control.scheduling import core
from orchestrator.swarm.plan import plan
from tests.servers.redis import RedisServer
from tests.swarm.board.keys import KEYS
from tests.swarm.control.scheduling.simulated import MB, Fleet

MODEL = (384 * MB, *[8 * MB] * 8, *[100_000] * 60)


def metered(call: Callable[..., Any], took: list[float]) -> Callable[..., Any]:
    """The same call; what it costs in processor seconds is added to a list."""

    def run(*words: Any) -> Any:
        begin = time.process_time()
        try:
            return call(*words)
        finally:
            took.append(time.process_time() - begin)

    return run


def measure(nodes: int, schedulers: int) -> None:
    """Run a fleet until all have the model, and print what it cost."""
    turns: list[float] = []
    plans: list[float] = []
    words: list[float] = []
    with RedisServer(Path(tempfile.mkdtemp())) as server, patch.object(core, "plan", metered(plan, plans)):
        fleet = Fleet(nodes, MODEL, boards=[RedisBoard(server.url, "load", KEYS) for _ in range(schedulers)])
        fleet.submit()
        server.client.config_resetstat()
        before = server.client.info()
        with (
            patch.object(fleet, "turn", metered(fleet.turn, turns)),
            patch.object(fleet, "hear", metered(fleet.hear, words)),
        ):
            seconds = fleet.run()
        after, server_calls = server.client.info(), server.client.info("commandstats")
    calls = sum(found["calls"] for found in server_calls.values())
    spent = {name: after[name] - before[name] for name in after if isinstance(after[name], int | float)}
    each = seconds * schedulers
    print(f"{nodes} nodes, {schedulers} schedulers, {len(words) / seconds / nodes:.2f} messages a node and second")
    print(f"fleet      {seconds / fleet.ideal:.2f} of ideal, egress {fleet.egress:.4f}")
    print(
        f"redis      {calls / seconds:.0f} commands/s, those of the script included, "
        f"{calls / seconds / nodes:.3f} a node and second, "
        f"{spent['total_net_input_bytes'] / seconds / 1e3:.0f} kB/s in, "
        f"{spent['total_net_output_bytes'] / seconds / 1e3:.0f} kB/s out, "
        f"{(spent['used_cpu_user'] + spent['used_cpu_sys']) / seconds:.1%} of a core"
    )
    print(
        f"scheduler  {(sum(turns) + sum(words)) / each:.1%} of a core at 4 turns a second: "
        f"plan {sum(plans) / each:.1%}, the rest of turns {(sum(turns) - sum(plans)) / each:.1%}, "
        f"hearing {sum(words) / each:.1%}; "
        f"a turn of all takes {sorted(turns)[len(turns) // 2] * 1e3:.0f} ms, {max(turns) * 1e3:.0f} at most"
    )


if __name__ == "__main__":
    measure(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
