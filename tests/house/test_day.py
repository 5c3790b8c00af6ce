"""A day in a house, compressed: whatever comes together, nobody gets a wrong file, and nothing is left lying about."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random

from tests.crash.readers import litter
from tests.house.day import a_day, models
from tests.machine.fixtures import MakeHub
from tests.machine.machine import Machine


def test_a_day(
    machine: Machine, make_hub: MakeHub, steps: int, seed: int, record_property: Callable[[str, object], None]
) -> None:
    hub = make_hub(*models())
    began = time.monotonic()
    with a_day(machine, hub, Random(f"{seed}/a day")) as day:
        for _ in range(steps):
            day.step()
        day.end()
    print(f"{steps} steps in {time.monotonic() - began:.0f} s: {dict(sorted(day.users.count.items()))}")
    machine.run("verify", "--json").ended(0)
    assert machine.aria2_ended()
    assert litter(machine) == []
    for what, count in sorted(day.users.count.items()):
        record_property(f"figure:a day, {what}", count)
    record_property("figure:a day, steps", steps)
