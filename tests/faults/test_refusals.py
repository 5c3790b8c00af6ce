"""Rows 21 to 42: what is refused before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.listings import HUGGINGFACE, MODELSCOPE, TABLE, Dialect, Lie, fault
from tests.faults.world import NAME, World
from tests.support.certificates import make_certificate, server_context
from tests.support.faults import Fault
from tests.support.hub import LoopbackHub
from tests.support.repos import Repo

MEMORY_KIB = 400 << 10
"""A listing of 32 MiB, the most that is read, as text and as values."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    torture = metafunc.config.option.torture
    if "lie" in metafunc.fixturenames:
        dialects = (HUGGINGFACE, MODELSCOPE) if torture else (None,)
        drawn = [(lie, dialect, n) for lie in TABLE for dialect in dialects for n in range(3 if torture else 1)]
        names = [f"{lie.row} {lie.name}" + (f" - {d.path}{n}" if d else "") for lie, d, n in drawn]
        metafunc.parametrize(("lie", "dialect"), [pair[:2] for pair in drawn], ids=names)
    elif "again" in metafunc.fixturenames:
        metafunc.parametrize("again", range(3 if torture else 1))


def test_a_listing_that_must_not_be_followed(world: World, lie: Lie, dialect: Dialect | None) -> None:
    dialect = dialect or world.random.choice([HUGGINGFACE, MODELSCOPE])
    name, words, face = NAME, [], "hub"
    if dialect is MODELSCOPE:
        face = "modelscope"
        name, words = f"ms://{NAME}", ["--mirror", f"modelscope+{world.hub.modelscope(face).url}"]
    world.hub.fault(fault(lie, dialect, world.random), face=face)
    done = world.pull(*words, *world.random.choice([(), ("--local-dir", str(world.machine.work / "out"))]), name=name)
    world.ended(done, lie.code)
    world.check_nothing_placed()
    assert world.peak_kib < MEMORY_KIB
    # The same in words for people, who are shown what the listing held.
    world.check_words(world.machine.run("plan", "--root", world.machine.root, name, *words).ended(lie.code))
