"""The cache as a user looks after it, with the real command, beside the real `hf`."""

from __future__ import annotations

import os
import random
import signal
import time
from typing import Any

import pytest

from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine import conditions
from tests.machine.fixtures import MakeHub, wanted
from tests.machine.machine import Machine, Result, content, until

SHARED = b"base" * 5000


def cache(machine: Machine, command: str, *words: str, **options: Any) -> Result:
    return machine.run("cache", command, "--json", *words, **options)


def data(result: Result) -> Any:
    return result.document["data"]


@pytest.fixture
def repos() -> list[Repo]:
    return [
        Repo("model", f"org/m{number}", {"config.json": b'{"n": %d}' % number, "base.safetensors": SHARED})
        for number in range(3)
    ]


def test_ls_and_du_tell_whose_bytes_are_whose(machine: Machine, make_hub: MakeHub, repos: list[Repo]) -> None:
    hub = make_hub(*repos)
    machine.pull("org/m0").ended(0)
    machine.pull("org/m1").ended(0)
    assert machine.hf("download", "org/m2", HF_ENDPOINT=hub.url).returncode == 0
    cache(machine, "pin", "org/m1@main").ended(0)
    found = {repo["repo"]: repo for repo in data(cache(machine, "ls").ended(0))["repos"]}
    size = len(SHARED) + 8
    assert {name: repo["size"] for name, repo in found.items()} == dict.fromkeys(("org/m0", "org/m1", "org/m2"), size)
    assert [found[name]["size_alone"] for name in sorted(found)] == [8, 8, size]
    (mine,), (theirs,) = found["org/m1"]["revisions"], found["org/m2"]["revisions"]
    assert mine["commit"] == repos[1].head
    assert (mine["refs"], mine["pinned"], mine["trust"]) == (["main"], True, {"level": "root", "source": hub.url})
    assert (theirs["refs"], theirs["pinned"], theirs["trust"]) == (["main"], False, None)
    assert abs(mine["last_use"] - time.time()) < 60
    du = data(cache(machine, "du").ended(0))
    assert du["size"] == 2 * len(SHARED) + 3 * 8
    listed = machine.run("cache", "ls").ended(0)
    assert [line.split()[0] for line in listed.out.splitlines()] == ["MODEL", "org/m0", "org/m1", "org/m2"]
    assert "org/m2" in machine.run("cache", "du").ended(0).out


def test_an_empty_cache_is_no_error(machine: Machine) -> None:
    for command in ("ls", "du", "gc"):
        cache(machine, command).ended(0)
        machine.run("cache", command).ended(0)
    cache(machine, "gc", "--yes").ended(0)
    assert machine.run("verify", "--json").ended(0).document["data"]["files"] == []
    assert not machine.hf_home.exists()
    cache(machine, "rm", "org/nowhere").ended(66)


def test_rm_is_a_dry_run_until_it_is_meant(machine: Machine, make_hub: MakeHub, repos: list[Repo]) -> None:
    hub = make_hub(*repos)
    for repo in repos[:2]:
        machine.pull(repo.name).ended(0)
    before = sorted(machine.files())
    would = data(cache(machine, "rm", "org/m0").ended(0))
    assert (would["removed"], would["bytes_freed"]) == (False, 8)
    assert sorted(machine.files()) == before
    assert "add --yes" in machine.run("cache", "rm", "org/m0").ended(0).err
    done = data(cache(machine, "rm", "org/m0", "--yes").ended(0))
    assert (done["removed"], done["bytes_freed"]) == (True, 8)
    listed = machine.hf("cache", "ls")
    assert "org/m1" in listed.stdout
    assert "org/m0" not in listed.stdout
    assert "warning" not in (listed.stdout + listed.stderr).lower()
    assert machine.hf("cache", "verify", "org/m1", HF_ENDPOINT=hub.url).returncode == 0
    machine.pull("org/m0").ended(0)
    assert content(machine.snapshot("model/org/m0", repos[0].head)) == wanted(repos[0])


def test_a_pinned_model_stays(machine: Machine, make_hub: MakeHub, repos: list[Repo]) -> None:
    make_hub(*repos)
    machine.pull("org/m0").ended(0)
    assert data(cache(machine, "pin", "org/m0").ended(0)) == {"pins": ["org/m0"]}
    refused = cache(machine, "rm", "org/m0", "--yes").ended(80)
    assert refused.error["hint"] == "glm-aria cache unpin org/m0"
    for words in (["--model", "org/m0"], ["--older-than", "0s"], ["--keep-size", "0"]):
        done = cache(machine, "gc", "--yes", *words)
        assert done.code == (80 if words[0] == "--model" else 0)
    assert content(machine.snapshot("model/org/m0", repos[0].head)) == wanted(repos[0])
    assert data(cache(machine, "unpin", "org/m0").ended(0)) == {"pins": []}
    cache(machine, "rm", "org/m0", "--yes").ended(0)
    assert not machine.snapshot("model/org/m0", repos[0].head).exists()


def test_gc_keeps_what_is_young_and_says_so(machine: Machine, make_hub: MakeHub, repos: list[Repo]) -> None:
    make_hub(repos[0])
    machine.pull("org/m0").ended(0)
    old = repos[0].head
    repos[0].commit({"README.md": b"new\n"})
    machine.pull("org/m0").ended(0)
    found = data(cache(machine, "gc", "--yes").ended(0))
    assert found["items"] == []
    assert found["kept"] == [{"repo": "org/m0", "commit": old, "reason": "young"}]
    done = data(cache(machine, "gc", "--yes", "--model", f"org/m0@{old}").ended(0))
    assert [(item["commit"], item["reason"]) for item in done["items"]] == [(old, "named")]
    assert content(machine.snapshot("model/org/m0", repos[0].head)) == wanted(repos[0])


def test_a_model_at_which_a_pull_works_is_left_alone(machine: Machine, make_hub: MakeHub) -> None:
    big = Repo("model", "org/big", {"a.safetensors": b"a" * (6 << 20), "config.json": b"{}"})
    hub = make_hub(big)
    hub.fault(Fault("stall"), face="cdn")
    running = machine.start_pull("org/big")
    config = machine.snapshot("model/org/big", big.head) / "config.json"
    assert until(config.exists, 30)
    for words in (["gc", "--keep-size", "0", "--model", "org/big", "--yes"], ["rm", "org/big", "--yes"]):
        done = data(cache(machine, *words).ended(0))
        assert done["items"] == []
        assert {kept["reason"] for kept in done["kept"]} == {"a pull is at work with it"}
    assert config.read_bytes() == b"{}"
    running.signal(signal.SIGTERM)
    running.end().ended(143)
    hub.clear_faults()
    machine.pull("org/big").ended(0)
    assert content(machine.snapshot("model/org/big", big.head)) == wanted(big)
    assert machine.hf("cache", "verify", "org/big", HF_ENDPOINT=hub.url).returncode == 0
    cache(machine, "rm", "org/big", "--yes").ended(0)
    assert not config.exists()


@pytest.mark.parametrize(
    "words", [["gc", "--older-than", "long"], ["gc", "--keep-size", "x"], ["rm"], ["pin", "a/b/c"], ["pin"]]
)
def test_wrong_usage_of_cache_ends_with_2(machine: Machine, words: list[str]) -> None:
    cache(machine, *words).ended(2)


def test_a_walk_of_real_commands(
    machine: Machine, make_hub: MakeHub, repos: list[Repo], request: pytest.FixtureRequest
) -> None:
    """Pulls, killed pulls, hf, gc, rm, verify and pins in a random order leave a cache that `hf` reads right."""
    hub = make_hub(*repos, cdn_shape=Shape(total_rate=1 << 20))
    seed = int(os.environ.get("WALK_SEED") or time.time_ns() % 1_000_000)
    print(f"the seed of this walk: WALK_SEED={seed}")
    chance = random.Random(seed)
    pinned: set[str] = set()
    for _ in range(300 if request.config.getoption("--torture") else 8):
        repo = chance.choice(repos)
        step = chance.choice(["pull", "kill", "hf", "rm", "gc", "verify", "pin", "unpin", "move"])
        print(step, repo.name)
        _step(machine, hub, repo, step, chance)
        snapshot = machine.snapshot(f"model/{repo.name}", repo.head)
        if step == "pin" and snapshot.is_dir():
            pinned.add(repo.name)
        elif step in ("unpin", "move"):
            pinned.discard(repo.name)
        for kept in repos:
            if kept.name in pinned:
                assert content(machine.snapshot(f"model/{kept.name}", kept.head)) == wanted(kept)
        for link in machine.cache.glob("models--*/snapshots/*/**/*"):
            assert link.exists(), f"{link} leads to nothing"
    for repo in repos:
        machine.pull(repo.name).ended(0)
        assert content(machine.snapshot(f"model/{repo.name}", repo.head)) == wanted(repo)
        checked = machine.hf("cache", "verify", repo.name, HF_ENDPOINT=hub.url)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    listed = machine.hf("cache", "ls")
    assert "warning" not in (listed.stdout + listed.stderr).lower()


def _step(machine: Machine, hub: LoopbackHub, repo: Repo, step: str, chance: random.Random) -> None:
    if step == "pull":
        machine.pull(repo.name).ended(0)
    elif step == "kill":
        hub.log.reset()
        count = chance.randint(1, 6)
        running = machine.start_pull(repo.name, "--force")
        hub.log.wait_for(lambda log: len(log.requests()) >= count, 5)
        running.signal(signal.SIGKILL)
        running.end()
    elif step == "hf":
        done = machine.hf("download", repo.name, HF_ENDPOINT=hub.url)
        assert done.returncode == 0, done.stderr
    elif step == "rm":
        assert cache(machine, "rm", repo.name, "--yes").code in (0, 66, 80)
    elif step == "gc":
        cache(machine, "gc", "--keep-size", str(chance.choice([0, 30_000])), "--yes").ended(0)
    elif step == "verify":
        machine.run("verify", "--json", *chance.choice([[], ["--fast"]])).ended(0)
    elif step == "pin" and machine.snapshot(f"model/{repo.name}", repo.head).is_dir():
        # Pinned is what is there: make it whole first.
        machine.pull(repo.name).ended(0)
        cache(machine, "pin", repo.name).ended(0)
    elif step == "unpin":
        cache(machine, "unpin", repo.name).ended(0)
    elif step == "move":
        cache(machine, "unpin", repo.name).ended(0)
        repo.commit({"README.md": b"%d\n" % chance.randint(0, 1 << 30)})


@pytest.mark.parametrize("command", [("rm", "org/m0"), ("gc", "--model", "org/m0")])
def test_what_cannot_be_removed_is_told_beforehand(
    machine: Machine, make_hub: MakeHub, repos: list[Repo], command: tuple[str, ...]
) -> None:
    make_hub(*repos)
    machine.pull("org/m0").ended(0)
    closed = conditions.read_only(machine.cache)
    shown = machine.run("cache", *command, **closed.options).ended(0)
    assert "would be freed, but --yes would end with 73" in shown.err
    assert "read-only" in shown.err
    machine.run("cache", *command, "--yes", **closed.options).ended(73)
    assert "add --yes" in machine.run("cache", *command).ended(0).err
