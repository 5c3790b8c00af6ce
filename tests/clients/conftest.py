"""Which clients a test runs with, and what all tests of clients get; while other tests run, clients are installed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random

import pytest

from tests.clients.client import Client
from tests.clients.installs import python_of
from tests.clients.table import PROGRAMS
from tests.hub.models import tiny_model
from tests.hub.repos import Repo, Source
from tests.machine.fixtures import _no_proxies, machine, make_hub  # noqa: F401 - fixtures

_HERE = Path(__file__).parent
_INSTALLING = pytest.StashKey[subprocess.Popen[bytes]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "clients(rows, short=names or count): the clients that a test runs with")
    config.addinivalue_line("markers", "drawn(name, values): all of them in the long form, one in the short")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`@pytest.mark.clients(rows, short=names)`: all rows in the long form, those named in the short one.

    In the place of names stands how many are drawn.
    `@pytest.mark.drawn(name, values)` draws one in the short form, for each case.
    """
    is_long = metafunc.config.option.torture
    if (drawn := metafunc.definition.get_closest_marker("drawn")) is not None:
        name, values = drawn.args
        draw = Random(f"{metafunc.config.option.seed}/{metafunc.definition.name}/{name}")
        metafunc.parametrize(name, list(values) if is_long else [draw.choice(list(values))], ids=str)
    mark = metafunc.definition.get_closest_marker("clients")
    if mark is not None:
        rows: Sequence[Client] = mark.args[0]
        short: Sequence[str] | int | None = mark.kwargs.get("short")
        if short is not None and not is_long:
            if isinstance(short, int):
                draw = Random(f"{metafunc.config.option.seed}/{metafunc.definition.name}")
                short = [row.name for row in draw.sample(rows, short)]
            rows = [row for row in rows if row.name in short]
        metafunc.parametrize("client", rows, ids=str)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin to install what is missing; a test that is sooner waits for what it needs. The short form draws some of the
    clients, and each test installs its own."""
    is_first = os.environ.get("PYTEST_XDIST_WORKER", "gw0") == "gw0" and config.option.torture
    if is_first and not config.option.collectonly and any(_HERE in item.path.parents for item in items):
        config.stash[_INSTALLING] = subprocess.Popen(
            [sys.executable, "-m", "tests.clients"],
            cwd=_HERE.parents[1],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def pytest_unconfigure(config: pytest.Config) -> None:
    installing = config.stash.get(_INSTALLING, None)
    if installing is not None:
        if installing.poll() is None:
            os.killpg(installing.pid, signal.SIGTERM)
        installing.wait()


@pytest.fixture(autouse=True)
def _tell_client(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    """Say in the results which client a test ran."""
    if "client" in request.fixturenames:
        record_property("client", str(request.getfixturevalue("client")))


@pytest.fixture(scope="session")
def model() -> Repo:
    """A model that transformers loads, 5 MB in three shards, with a file in a folder of a folder."""
    odd: dict[str, Source] = {"sub/deep/a note.txt": b"note\n" * 100, "sub/größe.txt": "größe\n".encode()}
    return Repo("model", "org/tiny", tiny_model(1, shard_size=1 << 20) | odd)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> tuple[Repo, Mapping[str, str]]:
    """A dataset of 2 MB in one parquet file, and the digest of its rows."""
    folder = tmp_path_factory.mktemp("rows")
    made = subprocess.run(
        [python_of("datasets"), PROGRAMS / "make_rows.py", folder, "2000"], capture_output=True, text=True, check=True
    )
    files = {"train.parquet": (folder / "train.parquet").read_bytes(), "README.md": b"# Rows\n"}
    return Repo("dataset", "org/rows", files), json.loads(made.stdout)
