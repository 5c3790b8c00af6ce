"""Killed, and failed with an error, at every system call of a whole command that changes a file.

Readers find nothing wrong at that moment; the exit code and the message say what happened; the next run of the same
command ends with 0 and right bytes, and nothing is left of either. The short form tries a sample, `--torture` all.
"""

from __future__ import annotations

import random
import secrets
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.conftest import Recorded
from tests.crash.scenarios import SCENARIOS, set_up
from tests.crash.trial import Outcome, points, sample, trial

SLICES = 8
SHORT = 2
"""Points of each kind and scenario in the short form."""
SPARE = 3
"""As many are chosen for each of these: a run differs from the recorded one in how often it writes a journal, say."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    slices = SLICES if metafunc.config.getoption("torture") else 1
    metafunc.parametrize(("part", "parts"), [(part, slices) for part in range(slices)])


# One worker records a scenario while another one does; the kinds of one follow each other only much later.
@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("kind", ["kill", "error"])
@pytest.mark.sampled(5)
def test_a_command_recovers_from_a_blow_at_any_call(
    name: str,
    kind: str,
    part: int,
    parts: int,
    seed: int,
    is_long: bool,
    recorded: Recorded,
    tmp_path: Path,
    pytestconfig: pytest.Config,
    record_property: Callable[[str, object], None],
) -> None:
    chance = random.Random(f"{seed} {name} {kind}")
    with set_up(name, tmp_path, "hf_canary" + secrets.token_hex(12)) as stage:
        count = pytestconfig.getoption("points") if is_long else SHORT
        every = points(recorded(name, stage, tmp_path), kind, chance, rare=is_long)
        chosen = sample(every, count if is_long else SPARE * SHORT, chance)[part::parts]
        outcomes: list[Outcome] = []
        for number, injection in enumerate(chosen):
            if is_long or sum(outcome.injection.happened for outcome in outcomes) < SHORT:
                outcomes.append(trial(stage, tmp_path / str(number), injection))
    happened = [outcome for outcome in outcomes if outcome.injection.happened]
    tally = Counter(
        points=len(happened),
        recovered=sum(not outcome.faults for outcome in happened),
        wrong=sum(bool(outcome.wrong) for outcome in happened),
        silent=sum(bool(outcome.silent) for outcome in happened),
        litter=sum(bool(outcome.litter) for outcome in happened),
        unrecovered=sum(bool(outcome.unrecovered) for outcome in happened),
        missed=len(outcomes) - len(happened),
    )
    for key, value in {"scenario": name, "kind": kind, **tally}.items():
        record_property(f"crash:{key}", value)
    faults = [fault for outcome in outcomes for fault in outcome.faults]
    if faults:
        pytest.fail(f"{len(faults)} faults, seed {seed}:\n" + "\n".join(faults), pytrace=False)
    assert len(every) > 25, "so few calls were recorded that the recording must be broken"
    enough = len(happened) * (2 if is_long else SPARE) >= len(outcomes)
    assert enough, f"{tally['missed']} of {len(outcomes)} points were never reached"
