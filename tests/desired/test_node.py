"""`node --follow`: a set as its sources desire it, which readers have from one moment on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.desired.following import WAIT, A, B, C, GitRepository, Site, expected, git_daemon, small, swap
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.machine.fixtures import MakeHub
from tests.machine.machine import Machine, until
from tests.servers.manager import managed


@pytest.fixture
def repos() -> list[Repo]:
    return [small(A, 1), small(B, 2), small(C, 3)]


@pytest.fixture
def hub(repos: list[Repo], make_hub: MakeHub) -> LoopbackHub:
    return make_hub(*repos)


def wish(*refs: str, head: str = "") -> str:
    return head + "".join(f'[[model]]\nref = "{ref}"\n' for ref in refs)


def test_a_set_flips_as_a_whole_and_its_hub_view_with_it(machine: Machine, hub: LoopbackHub, repos: list[Repo]) -> None:
    """Neither a reader of the folder nor one of the cache's names sees a new model beside an old one."""
    state = machine.work / "site"
    swap(state, {"desired.toml": wish(A, B)})
    site = Site(machine, "--follow", str(state))
    document = site.once().ended(0).document
    assert document["data"]["phase"] == "ready"
    assert site.seen() == expected(*repos[:2])
    first = site.current
    assert first is not None
    one, two = repos[0].head, repos[1].head
    repos[0].commit({"config.json": b"{}", "w.safetensors": b"new" * 1000})
    swap(state, {"desired.toml": wish(A, B, C)})
    site.once().ended(0)
    assert site.current != first
    assert site.seen() == expected(*repos)
    assert site.status["generation"] == site.status["observed_generation"] == 2
    # The set of before is still whole for who has it open.
    old = site.sets / first
    assert (old / "models" / A / "config.json").read_bytes() == b'{"n": 1}'
    for folder, head in ((old, one), (site.sets / "current", repos[0].head)):
        env = {"HF_HUB_CACHE": str(folder / "hub"), "HF_HUB_OFFLINE": "1"}
        found = _hf_path(machine, A, env)
        assert found.name == head
        assert _hf_path(machine, B, env).name == two
    # And the refs of the cache itself have followed.
    assert (machine.cache / "models--org--a" / "refs" / "main").read_text() == repos[0].head


def _hf_path(machine: Machine, repo: str, env: dict[str, str]) -> Path:
    """Where huggingface_hub finds a model, offline."""
    code = f"import huggingface_hub as h; print(h.snapshot_download({repo!r}))"
    ended = subprocess.run(
        [sys.executable, "-c", code], env={**machine.env, **env}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return Path(ended.stdout.strip())


def test_a_wrong_or_absent_source_leaves_the_last_good_state(
    machine: Machine, hub: LoopbackHub, repos: list[Repo], tmp_path: Path
) -> None:
    absent = Site(machine, "--follow", str(tmp_path / "absent")).once().ended(66)
    assert "it has had no good state yet" in absent.err
    nested = tmp_path / "desired.toml"
    nested.write_text(f'[[model]]\nref = "{A}"\nas = "x"\n[[model]]\nref = "{B}"\nas = "x/y"\n')
    reason = Site(machine, "--follow", str(nested)).once().ended(2).document["data"]["reason"]
    assert "would lie in that of another model" in reason
    repository = GitRepository(tmp_path / "served")
    repository.commit({"edge.toml": wish(A)})
    with git_daemon(tmp_path / "served") as daemon:
        site = Site(machine, "--follow", f"{daemon.url}/fleet.git//edge.toml@main")
        site.start()
        site.is_ready(1)
        repository.commit({"edge.toml": wish(A, B) + "[[model]\n"})
        status = site.becomes(lambda status: status["sources"][0]["state"] == "invalid")
        assert "not valid TOML" in status["sources"][0]["error"]
        assert status["phase"] == "ready"
        assert site.seen() == expected(repos[0])
        daemon.stop()
        site.becomes(lambda status: status["sources"][0]["state"] == "stale")
        # Killed and started again with everything behind it gone: it serves, repairs from what it knows, and says so.
        site.kill()
        hub.stop_face("hub")
        site.start()
        status = site.is_ready(1)
        assert site.seen() == expected(repos[0])
        daemon.start()
        good = repository.commit({"edge.toml": wish(A)})
        site.becomes(lambda status: status["sources"][0]["revision"] == good)
        site.is_ready(1)
        site.stop()


def test_once_looks_at_what_is_there_now(machine: Machine, hub: LoopbackHub, repos: list[Repo], tmp_path: Path) -> None:
    """Also where it knows a good state from before, and would look at a random moment of the interval else."""
    repository = GitRepository(tmp_path / "served")
    site = Site(machine, "--follow", f"git+file://{repository.bare}@main", "--interval", "1h")
    for number, refs in enumerate(((A,), (A, B)), 1):
        commit = repository.commit({"desired.toml": wish(*refs)})
        document = site.once().ended(0).document["data"]
        assert document["sources"][0]["revision"] == commit
        assert document["observed_generation"] == number
    assert site.seen() == expected(*repos[:2])


def test_drift_is_taken_away_and_fetched_again(machine: Machine, hub: LoopbackHub, repos: list[Repo]) -> None:
    state = machine.work / "desired.toml"
    state.write_text(wish(A))
    site = Site(machine, "--follow", str(state), "--verify-every", "2s")
    site.start()
    site.is_ready()
    weights = site.sets / "current" / "models" / A / "w.safetensors"
    blob = Path(os.path.realpath(weights))
    found = blob.stat()
    # Rot: other bytes, and nothing that a look at the file would show.
    content = bytearray(blob.read_bytes())
    content[77] ^= 1
    blob.chmod(0o644)
    blob.write_bytes(content)
    os.utime(blob, ns=(found.st_atime_ns, found.st_mtime_ns))
    site.becomes(lambda status: status["drift"] >= 1)
    site.is_ready()
    assert site.seen() == expected(repos[0])
    drift = site.status["drift"]
    weights.unlink()
    site.becomes(lambda status: status["drift"] > drift)
    site.is_ready()
    assert site.seen() == expected(repos[0])
    site.stop()


@pytest.mark.parametrize("why", ["gone", pytest.param("away", marks=pytest.mark.sampled(0))])
def test_what_is_found_wrong_is_missing_and_no_wrong_answer_until_it_is_right(
    machine: Machine, hub: LoopbackHub, repos: list[Repo], why: str
) -> None:
    """Also while nobody can send it anew: a missing file is an error, a wrong one is a wrong answer. A pull has
    patience with a Hub that is away, half a minute of it, and none where a repo is gone."""
    state = machine.work / "desired.toml"
    state.write_text(wish(A))
    site = Site(machine, "--follow", str(state), "--verify-every", "1s")
    site.start()
    site.is_ready()
    if why == "away":
        hub.stop_face("hub")
    else:
        del hub.shelf.repos["model", A]
    weights = site.sets / "current" / "models" / A / "w.safetensors"
    right = weights.read_bytes()
    blob = Path(os.path.realpath(weights))
    blob.chmod(0o644)
    with blob.open("r+b") as file:
        file.write(bytes([right[0] ^ 1]))
    assert until(lambda: not weights.exists(), WAIT)
    site.becomes(lambda status: status["phase"] == "degraded" and status["models"][0]["phase"] == "failed", 2 * WAIT)
    assert not weights.exists()
    site.stop()


def test_a_set_stays_for_its_grace_and_what_was_pulled_by_hand_stays_for_good(
    machine: Machine, hub: LoopbackHub, repos: list[Repo]
) -> None:
    machine.pull(B).ended(0)
    state = machine.work / "desired.toml"
    state.write_text(wish(A, B))
    site = Site(machine, "--follow", str(state), "--grace", "1h")
    site.once().ended(0)
    state.write_text(wish(C))
    site.once().ended(0)
    assert machine.snapshot(f"model/{A}", repos[0].head).is_dir()
    pins = machine.run("cache", "ls", "--json").ended(0).document
    assert pins["data"]

    def is_alone() -> bool:
        Site(machine, "--follow", str(state), "--grace", "1s").once().ended(0)
        return len([path for path in site.sets.iterdir() if path.name[0].isdigit()]) == 1

    assert until(is_alone)
    assert not machine.snapshot(f"model/{A}", repos[0].head).exists()
    assert machine.snapshot(f"model/{B}", repos[1].head).is_dir()
    assert site.seen() == expected(repos[2])


def test_budgets_hold_new_sets_back(machine: Machine, hub: LoopbackHub, repos: list[Repo]) -> None:
    state = machine.work / "desired.toml"
    state.write_text(wish(A))
    site = Site(machine, "--follow", str(state))
    site.once().ended(0)
    state.write_text(wish(A, B, head='[budget]\ndisk = "150KB"\n'))
    full = site.once().ended(79)
    assert "more than the budget of the disk allows" in full.error["message"]
    status = full.document["data"]
    assert (status["phase"], status["reason"].partition(":")[0]) == ("failed", "disk-budget")
    assert (status["generation"], status["observed_generation"]) == (2, 1)
    assert site.seen() == expected(repos[0])
    state.write_text(wish(A, B, head='[budget]\nwindow = "00:00-00:01,00:01-00:02"\n'))
    closed = site.once("--window", _closed_hours()).ended(75)
    assert "in the hours of its window" in closed.error["message"]
    site.start("--window", _closed_hours())
    site.becomes(lambda status: status["phase"] == "waiting" and status["generation"] == 2)
    assert site.seen() == expected(repos[0])
    site.stop()


def _closed_hours() -> str:
    """Hours that are not now, nor soon."""
    import time

    hour = (time.localtime().tm_hour + 6) % 24
    return f"{hour:02}:00-{hour:02}:30"


def test_the_status_is_told_over_http(machine: Machine, hub: LoopbackHub, repos: list[Repo]) -> None:
    state = machine.work / "desired.toml"
    state.write_text('[[model]]\nref = "org/a"\nnodes = { zone = "edge-*" }\n[[model]]\nref = "org/b"\n')
    site = Site(machine, "--follow", str(state), "--status-listen", "127.0.0.1:0", "--label", "zone=core")
    running = site.start("--progress", "lines")
    site.is_ready()
    ports = _listening(running.pid)
    port = next(port for port in ports if _answers(port))
    status = json.loads(_get(port, "/status"))
    assert status["labels"]["zone"] == "core"
    assert [model["name"] for model in status["models"]] == [B]
    metrics = _get(port, "/metrics")
    assert 'glm_aria_set_ready{set="site"} 1' in metrics
    assert 'glm_aria_set_observed_generation{set="site"} 1' in metrics
    assert 'glm_aria_set_models{set="site",phase="ready"} 1' in metrics
    assert (_get(port, "/healthz"), _get(port, "/readyz")) == ("ok\n", "ok\n")
    assert machine.token not in metrics + json.dumps(status)
    site.stop()


def _listening(pid: int) -> list[int]:
    """The ports of loopback at which a process listens."""
    inodes = {str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()}
    ports = []
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
            ports.append(int(fields[1].partition(":")[2], 16))
    return ports


def _answers(port: int) -> bool:
    try:
        return "phase" in _get(port, "/status")
    except OSError:
        return False


def _get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return str(answer.read().decode())


def test_another_wish_ends_a_fetch_that_is_under_way(machine: Machine, make_hub: MakeHub) -> None:
    from tests.hub.content import MIB, generate
    from tests.hub.shaping import Shape

    big = Repo("model", A, {"config.json": b"{}", "w.safetensors": generate(32 * MIB, 1)})
    other = small(B, 2)
    make_hub(big, other, cdn_shape=Shape(total_rate=2 * MIB))
    state = machine.work / "desired.toml"
    state.write_text(wish(A))
    site = Site(machine, "--follow", str(state))
    site.start()
    site.becomes(lambda status: any(model["phase"] == "fetching" for model in status["models"]))
    assert site.seen() is None
    state.write_text(wish(B))
    site.is_ready(2)
    assert site.seen() == expected(other)
    site.stop()


def test_watch_follows_a_folder_as_a_set_and_a_list_as_before(
    machine: Machine, hub: LoopbackHub, repos: list[Repo]
) -> None:
    told = machine.work / "told"
    state = machine.work / "site"
    swap(state, {"models.txt": f"{A}\n"})
    words = ("--root", machine.root, "--json", "--once", "--on-change", f'echo "$GLM_ARIA_REF" >>{told}')
    document = machine.run("watch", str(state), *words).ended(0).document
    assert document["data"]["set"]["phase"] == "ready"
    assert told.read_text() == "site\n"
    site = Site(machine)
    assert site.seen() == expected(repos[0])
    plain = machine.work / "models.txt"
    plain.write_text(f"{B}\n")
    listed = machine.run("watch", str(plain), *words[:-2]).ended(0).document
    assert listed["data"]["watches"][0]["models"][0]["state"] == "done"
    refused = machine.run("watch", str(plain), "--set", "edge", "--json").ended(2)
    assert "belong to a desired state" in refused.error["message"]
    for unheeded in (
        *(("--revision", "x"), ("--include", "*.json"), ("--exclude", "*"), ("--variant", "fp16"), ("--locked", "l")),
        *(("--allow-outside",), ("--verify-signature", "key"), ("--pin",), ("--status",)),
    ):
        refused = machine.run("watch", str(state), *unheeded, "--json").ended(2)
        assert refused.error["message"].startswith(f"{unheeded[0]} is for lists")


def test_a_service_manager_hears_that_it_is_ready_and_turns(machine: Machine, hub: LoopbackHub, tmp_path: Path) -> None:
    state = machine.work / "site.toml"
    state.write_text(wish(A))
    site = Site(machine, "--follow", str(state))
    with managed(tmp_path / "notify") as manager:
        site.start(env=manager.env)
        manager.until("READY=1", "WATCHDOG=1", "STATUS=site is ready, generation 1 of 1", "WATCHDOG=1")
        site.stop()
        manager.until("STOPPING=1")
