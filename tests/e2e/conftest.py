"""One machine and hubs for each test, and what must hold after every one of them.

The canary: each machine has a token of its own, and it is in the environment of every command. After the test it must
not have reached any server but the hub, nor any file, output, or aria2c; and no aria2c of ours may be left.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.machine import Machine
from tests.machine.fixtures import foreign, make_foreign, other_user  # noqa: F401 - fixtures
from tests.support.hub import LoopbackHub
from tests.support.models import tiny_model
from tests.support.repos import Repo

MakeHub = Callable[..., LoopbackHub]


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clients that run inside the test process reach the loopback hub and nothing else."""
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    yield from a_machine(tmp_path / "machine")


def a_machine(folder: Path) -> Iterator[Machine]:
    """A machine with a canary token of its own, held after the test to what must be true of every one."""
    made = Machine(folder, "hf_canary" + secrets.token_hex(12))
    try:
        yield made
        made.kill_running()
        left = [] if made.aria2_ended() else made.aria2()
    finally:
        made.stop()
    assert left == [], "an aria2c outlived its run"
    assert_unseen(made)


@pytest.fixture
def make_hub(machine: Machine) -> Iterator[MakeHub]:
    """Makes the hub of a test; `opens` are the closed repos that the machine's token may read."""
    with ExitStack() as stack:
        hubs: list[LoopbackHub] = []

        def make(*repos: Repo, opens: Collection[str] = (), **options: Any) -> LoopbackHub:
            options.setdefault("tokens", {machine.token: frozenset(opens)})
            hub = stack.enter_context(LoopbackHub(repos, **options))
            hubs.append(hub)
            machine.root = hub.url
            return hub

        yield make
        for hub in hubs:
            saw = {seen.face for seen in hub.log.requests() if machine.token in str(seen.headers) + seen.query}
            assert saw <= {"hub"}, "the token reached someone who must not have it"


@pytest.fixture
def repo(request: pytest.FixtureRequest) -> Repo:
    """The model `org/m` that holds the FILES of the test's module."""
    return Repo("model", "org/m", request.module.FILES)


@pytest.fixture
def hub(make_hub: MakeHub, repo: Repo) -> LoopbackHub:
    """A hub that has `repo`."""
    return make_hub(repo)


@pytest.fixture
def tiny() -> Repo:
    """A model that transformers can load, with three shards of 256 KiB or so."""
    return Repo("model", "org/tiny", tiny_model(1, shard_size=1 << 20))


def wanted(repo: Repo, revision: str = "main") -> dict[str, bytes]:
    """What a reader must find."""
    commit = repo.resolve(revision)
    assert commit is not None
    return {path: file.content.read(0, file.size) for path, file in commit.files.items()}


def sent(hub: LoopbackHub) -> list[str]:
    """The files whose content anybody fetched."""
    hub.log.settle()
    answers = [seen for status in (200, 206) for seen in hub.log.requests(method="GET", status=status)]
    return list(dict.fromkeys(seen.file for seen in answers if seen.file is not None))


def assert_unseen(machine: Machine) -> None:
    """The machine's token is in no output and in no file, and no signed URL was printed."""
    token = machine.token
    for result in machine.results:
        assert token not in result.out + result.err, f"the token was printed by {result.words}"
        assert "Signature=" not in result.out + result.err, f"a signed URL was printed by {result.words}"
    for path in machine.files():
        assert token.encode() not in path.read_bytes(), f"the token is in {path}"
