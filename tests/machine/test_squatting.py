"""The race for the port of our aria2c: another user takes ports while a pull chooses one and starts it.

The long form, 200 pulls each way, is run by `scripts/torture`; `tests/machine/race.py` says what the ways are.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.machine.conditions import needs_root
from tests.machine.machine import REPOSITORY

ISOLATED = ("unshare", "--net", "--pid", "--fork", "--mount-proc", "--kill-child")
FIGURES = {
    "folder": "another user takes ports when the runtime folder is made",
    "aria2c": "another user holds all ports but 200, and takes these when an aria2c appears",
}


def has_namespaces() -> bool:
    done = subprocess.run([*ISOLATED, "ip", "link", "set", "lo", "up"], capture_output=True, check=False)
    return done.returncode == 0


@needs_root
@pytest.mark.parametrize("way", FIGURES)
def test_a_stranger_who_takes_the_port_hears_nothing(
    way: str, is_long: bool, open_place: Path, record_property: Callable[[str, object], None]
) -> None:
    if not has_namespaces():
        pytest.skip("no namespaces may be made here")
    count = 200 if is_long else 2
    words = [*ISOLATED, "--", sys.executable, "-m", "tests.machine.race", way, str(count), str(open_place)]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=60 + 30 * count, check=False)
    assert done.returncode == 0, done.stderr
    tries = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(tries) == count
    seen = [seen for one in tries for seen in one["seen"]]
    secrets = sum("token:" in one["heard"] for one in seen)
    ends = Counter("right" if one["right"] else f"exit {one['code']}" for one in tries)
    told = ", ".join(f"{number} {end}" for end, number in sorted(ends.items(), reverse=True))
    record_property(f"figure:{FIGURES[way]}: {count} pulls", f"{secrets} secrets shown; {told}")
    assert secrets == 0
    assert [one["heard"] for one in seen if one["heard"]] == [], "something was said to a stranger"
    assert all(one["got"] for one in seen), "the squatters took nothing: this was no race"
    assert all(one["right"] or one["code"] == 71 for one in tries), [one["error"] for one in tries if one["error"]]
