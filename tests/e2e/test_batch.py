"""Several models in one run: one queue, one report, shared blobs once."""

from __future__ import annotations

import pytest

from tests.hub.content import generate
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.machine.fixtures import MakeHub, wanted
from tests.machine.machine import Machine, content

SHARED = generate(1 << 20, 3)  # small enough for one connection, so that the bytes can be counted
ONE = Repo("model", "org/one", {"config.json": b'{"n": 1}', "shared.safetensors": SHARED})
TWO = Repo("model", "org/two", {"config.json": b'{"n": 2}', "sub/again.safetensors": SHARED, "own.txt": b"two"})


@pytest.fixture
def hub(make_hub: MakeHub) -> LoopbackHub:
    return make_hub(ONE, TWO)


def both_are_there(machine: Machine) -> None:
    for repo in (ONE, TWO):
        assert content(machine.snapshot(f"model/{repo.name}", repo.head)) == wanted(repo)


def test_two_and_one_that_is_missing(machine: Machine, hub: LoopbackHub) -> None:
    done = machine.pull("org/one", "org/missing", "org/two").ended(3)
    assert done.document["status"] == "partial"
    assert [model["ref"].partition("@")[0] for model in done.document["data"]["models"]] == [
        "org/one",
        "org/missing",
        "org/two",
    ]
    assert [model["snapshot"] is None for model in done.document["data"]["models"]] == [False, True, False]
    assert done.error["exit_code"] == 66
    assert "org/missing" in done.error["message"]
    both_are_there(machine)
    hub.log.settle()
    assert hub.log.bytes_sent(face="cdn") == len(SHARED), "the shared blob was fetched twice"


def test_all_missing_keeps_its_own_code(machine: Machine, hub: LoopbackHub) -> None:
    done = machine.pull("org/a", "org/b").ended(66)
    assert done.document["status"] == "error"
    assert len(done.document["errors"]) == 2


def test_a_blob_of_another_repo_is_linked(machine: Machine, hub: LoopbackHub) -> None:
    machine.pull("org/one").ended(0)
    hub.log.reset()
    done = machine.pull("org/two").ended(0)
    assert {file["path"]: file["state"] for file in done.model["files"]}["sub/again.safetensors"] == "linked"
    assert hub.log.bytes_sent(face="cdn") == 0
    assert done.model["bytes_reused"] == len(SHARED)
    both_are_there(machine)


def test_a_list_is_pulled_with_its_options(machine: Machine, hub: LoopbackHub) -> None:
    lists = machine.work / "lists"
    lists.mkdir()
    (lists / "models.txt").write_text("# two of them\norg/one\n\norg/two  exclude=own.*  local-dir=plain  # here\n")
    done = machine.pull("-f", "lists/models.txt").ended(0)
    assert [len(model["files"]) for model in done.document["data"]["models"]] == [2, 2]
    assert content(lists / "plain") == {path: data for path, data in wanted(TWO).items() if path != "own.txt"}


def test_a_toml_list_is_pulled_with_its_options(machine: Machine, hub: LoopbackHub) -> None:
    text = '[[model]]\nref = "org/one"\ninclude = ["*.json"]\n[[model]]\nref = "org/two@main"\npriority = 5\n'
    (machine.work / "models.toml").write_text(text)
    done = machine.pull("-f", "models.toml").ended(0)
    assert sorted(len(model["files"]) for model in done.document["data"]["models"]) == [1, 3]


def test_a_list_on_stdin(machine: Machine, hub: LoopbackHub) -> None:
    machine.pull("-f", "-", stdin="org/one\norg/two\n").ended(0)
    both_are_there(machine)


def test_two_runs_at_once_share_the_work(machine: Machine, hub: LoopbackHub) -> None:
    runs = [machine.start_pull("org/one") for _ in range(4)]
    for run in runs:
        run.end().ended(0)
    hub.log.settle()
    assert hub.log.bytes_sent(face="cdn") == len(SHARED)
    assert content(machine.snapshot("model/org/one", ONE.head)) == wanted(ONE)
