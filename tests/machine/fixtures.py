"""Fixtures of a machine, of its hubs, and of what else lives on it. The conftest.py of a folder imports them by name.

The canary: each machine has a token of its own, and it is in the environment of every command. After the test it must
not have reached any server but the hub, nor any file, output, or aria2c; and no aria2c of ours may be left.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.hub.loopback import LoopbackHub
from tests.hub.models import tiny_model
from tests.hub.repos import Repo
from tests.machine.conditions import NOBODY_KNOWS, Condition, gbk, open_folder
from tests.machine.foreign import Foreign
from tests.machine.machine import Machine
from tests.machine.users import OtherUser

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


# -- what else lives on a machine


MakeForeign = Callable[..., Foreign]


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that every user can reach."""
    with open_folder() as folder:
        yield folder


@pytest.fixture
def other_user() -> Iterator[OtherUser]:
    """A second user of this machine; skipped where there is no root."""
    if os.geteuid() != 0:
        pytest.skip("only root may become another user")
    with open_folder(NOBODY_KNOWS) as folder:
        user = OtherUser(NOBODY_KNOWS, folder)
        try:
            yield user
        finally:
            user.end()


@pytest.fixture
def make_foreign(tmp_path: Path) -> Iterator[MakeForeign]:
    """Makes an aria2 of the user's: `make_foreign("--header=X: y")`, `make_foreign(conf="max-download-result=0")`."""
    with ExitStack() as stack:

        def make(*words: str, conf: str = "", tls: tuple[Path, Path] | None = None) -> Foreign:
            made = Foreign(tmp_path / f"theirs-{secrets.token_hex(4)}", *words, conf=conf, tls=tls)
            stack.callback(made.end)
            return made

        yield make


@pytest.fixture
def foreign(make_foreign: MakeForeign) -> Foreign:
    """An aria2 of the user's, as people have it."""
    return make_foreign()


@pytest.fixture(scope="session")
def gbk_locale() -> Iterator[Condition]:
    """A locale of the encoding GBK, or of ASCII where none can be made."""
    with open_folder() as folder:
        yield gbk(folder)
