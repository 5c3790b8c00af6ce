"""`glm-aria mirrors`: measured on real sockets, remembered between runs; quarantine and its release."""

from __future__ import annotations

import os
import pty
import socket
import stat
import subprocess
import sys
import time
from typing import Any

import pytest

from orchestrator.core.sources import Source
from orchestrator.mirrors.stats import Evidence, SourceStats
from tests.hub.content import MIB, generate
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.fixtures import MakeHub, wanted
from tests.machine.machine import Machine, Result, content

FILES = {"config.json": b"{}\n", "model.safetensors": generate(12 * MIB, 4)}


def mirrors(machine: Machine, *words: str) -> Result:
    return machine.run("mirrors", *words, "--root", machine.root)


def memory(machine: Machine) -> SourceStats:
    return SourceStats(machine.hf_home / "glm-aria")


def by_name(done: Result) -> dict[str, Any]:
    return {source["name"]: source for source in done.document["data"]["sources"]}


def name_of(url: str) -> str:
    return url.partition("://")[2]


def test_probe_of_a_model(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    slow = hub.mirror("slow", shape=Shape(latency_s=0.1, rate_per_connection=MIB))
    stale_repo = Repo("model", "org/m", FILES)
    stale_repo.commit({"config.json": b"old"})
    stale = hub.mirror("stale", repos=[stale_repo])
    absent = hub.mirror("absent", repos=[])
    ms = hub.modelscope()
    urls = (slow.url, stale.url, absent.url, f"modelscope+{ms.url}")
    begun = time.monotonic()
    done = mirrors(machine, "probe", "org/m", "--json", *(w for url in urls for w in ("--mirror", url))).ended(0)
    assert time.monotonic() - begun < 8
    found = by_name(done)
    root = name_of(hub.url)
    assert done.document["command"] == "mirrors probe"
    assert (done.document["data"]["commit"], done.document["data"]["file"]) == (repo.head, "model.safetensors")
    assert done.document["data"]["reference"] == root
    assert {name: source["commit"] for name, source in found.items()} == {
        root: "fresh",
        name_of(slow.url): "fresh",
        name_of(stale.url): "stale",
        name_of(absent.url): "absent",
        name_of(ms.url): "fresh",
    }
    assert (found[name_of(ms.url)]["files_held"], found[name_of(ms.url)]["files_wanted"]) == (1, 1)
    near, far = found[root], found[name_of(slow.url)]
    assert near["is_root"]
    assert near["ranges"] is True
    assert near["http"] == ["http/1.1"]
    assert far["latency"] > 0.095 > near["latency"]
    assert far["rate_one"] == pytest.approx(MIB, rel=0.5)
    assert far["rate_many"] > 3 * far["rate_one"]
    assert near["rate_one"] > 4 * far["rate_one"]
    assert found[name_of(absent.url)]["error"] is None
    assert found[name_of(absent.url)]["rate_one"] is None
    hub.log.settle()
    for face in ("cdn", "slow", "modelscope-cdn"):
        assert hub.log.bytes_sent(face=face) <= 12 * MIB
    assert list(machine.cache.rglob("*.safetensors")) == [], "nothing is kept"


def test_what_was_measured_orders_the_next_run(machine: Machine, hub: LoopbackHub) -> None:
    slow = hub.mirror("slow", shape=Shape(rate_per_connection=MIB / 4))
    words = ("--mirror", slow.url)
    assert [s["rank"] for s in by_name(mirrors(machine, "ls", "--json", *words).ended(0)).values()] == [1, 2]
    assert not (machine.hf_home / "glm-aria").exists(), "ls writes nothing"
    mirrors(machine, "probe", "org/m", *words).ended(0)
    hub.log.reset()
    done = mirrors(machine, "ls", "--json", *words).ended(0)
    assert hub.log.requests() == [], "ls asks nobody"
    found = by_name(done)
    assert list(found) == [name_of(hub.url), name_of(slow.url)]
    assert found[name_of(slow.url)]["rate_one"] == pytest.approx(MIB / 4, rel=0.5)
    assert found[name_of(slow.url)]["seen"] > time.time() - 60
    assert stat.S_IMODE((machine.hf_home / "glm-aria" / "sources.json").stat().st_mode) == 0o600


def test_probe_without_a_model(machine: Machine, hub: LoopbackHub) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        gone = f"127.0.0.1:{closed.getsockname()[1]}"
        done = mirrors(machine, "probe", "--json", "--mirror", f"http://{gone}").ended(0)
        found = by_name(done)
        assert found[name_of(hub.url)]["latency"] is not None
        assert found[name_of(hub.url)]["commit"] == "unknown"
        assert "accept a connection" in found[gone]["error"] or "reached" in found[gone]["error"]
        text = mirrors(machine, "probe", "--mirror", f"http://{gone}").ended(0).out
        assert f"{gone}: " in text
    known = memory(machine).read()
    assert known.of(Source("x", f"http://{gone}")).failures > 1


def test_the_root_is_down_and_a_mirror_is_not(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    near = hub.mirror("near")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        root = f"http://127.0.0.1:{closed.getsockname()[1]}"
        words = ("--root", root, "--mirror", near.url, "--json")
        done = machine.run("mirrors", "probe", "org/m", *words).ended(0)
    assert done.document["data"]["reference"] == name_of(near.url)
    assert by_name(done)[name_of(near.url)]["commit"] == "unknown", "nobody says whether it is fresh"
    assert by_name(done)[name_of(near.url)]["rate_one"]
    assert by_name(done)[name_of(root)]["error"]


def test_a_probe_that_nobody_answers_ends_with_69(machine: Machine) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        root = f"http://127.0.0.1:{closed.getsockname()[1]}"
        done = machine.run("mirrors", "probe", "--root", root, "--json").ended(69)
    assert done.error["hint"]


def test_a_source_that_is_silent_is_given_up(machine: Machine, hub: LoopbackHub) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        begun = time.monotonic()
        done = mirrors(machine, "probe", "org/m", "--json", "--mirror", url).ended(0)
        assert time.monotonic() - begun < 15
    assert by_name(done)[name_of(url)]["error"]
    assert by_name(done)[name_of(hub.url)]["rate_one"]


@pytest.mark.parametrize(("words", "code"), [(("org/none",), 66), (("--connections", "99"), 2), (("a b",), 2)])
def test_probe_refuses_wrong_usage(machine: Machine, hub: LoopbackHub, words: tuple[str, ...], code: int) -> None:
    mirrors(machine, "probe", *words, "--json").ended(code)


def test_offline_asks_nobody(machine: Machine, hub: LoopbackHub) -> None:
    words = ("mirrors", "probe", "--root", hub.url, "--json")
    done = machine.run(*words, env={"HF_HUB_OFFLINE": "1"}).ended(2)
    assert "HF_HUB_OFFLINE" in done.error["message"]
    assert hub.log.requests() == []


def test_a_closed_model_is_probed_at_the_root_alone(machine: Machine, make_hub: MakeHub) -> None:
    hub = make_hub(Repo("model", "org/gated", FILES, gated="manual"), opens=["org/gated"])
    near, ms = hub.mirror("near"), hub.modelscope()
    words = ("--mirror", near.url, "--mirror", f"modelscope+{ms.url}")
    done = mirrors(machine, "probe", "org/gated", "--json", *words).ended(0)
    assert by_name(done)[name_of(hub.url)]["rate_one"]
    for face in ("near", "modelscope"):
        assert not [seen for seen in hub.log.requests(face=face) if "gated" in seen.path]


def test_quarantine_and_forgiveness(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    liar = hub.mirror("liar")
    words = ("--mirror", liar.url)
    name = name_of(liar.url)
    mirrors(machine, "probe", *words).ended(0)
    evidence = Evidence("model.safetensors", "sha256:aa", "sha256:bb", 0, 1048575)
    memory(machine).quarantine(Source(name, liar.url), "sent wrong bytes", evidence)
    hub.log.reset()

    done = machine.pull("org/m", *words).ended(0)
    (warning,) = done.document["warnings"]
    assert (warning["code"], warning["mirror"]) == ("mirror-quarantined", name)
    assert f"glm-aria mirrors forgive {name}" in warning["message"]
    assert hub.log.requests(face="liar") == []
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)

    found = by_name(mirrors(machine, "ls", "--json", *words).ended(0))[name]
    assert (found["rank"], found["quarantine"]["reason"]) == (None, "sent wrong bytes")
    assert found["quarantine"]["evidence"]["last"] == 1048575
    text = mirrors(machine, "ls").ended(0).out  # also where no setting names it any more
    assert "bytes 0 to 1048575: expected sha256:aa, got sha256:bb" in text
    assert f"glm-aria mirrors forgive {name}" in text

    done = machine.run("mirrors", "forgive", name, "--json").ended(0)
    assert done.document["data"] == {"forgiven": [name]}
    machine.run("mirrors", "forgive", name).ended(2)
    assert machine.pull("org/m", "--force", *words).ended(0).warnings == []
    assert hub.log.bytes_sent(face="liar") > 0


def test_off_a_terminal_plain_on_one_a_table(machine: Machine, hub: LoopbackHub) -> None:
    plain = mirrors(machine, "probe", "org/m").ended(0).out
    _, head, *rows = plain.splitlines()
    assert head.split()[:2] == ["source", "latency"]
    assert rows[0].startswith(f"{name_of(hub.url)} (root)")
    assert plain.isascii() or "±" in plain
    assert not set(plain) & set("│━─\x1b")

    outer, inner = pty.openpty()
    words = [sys.executable, "-m", "orchestrator.cli.main", "mirrors", "ls", "--root", machine.root]
    with subprocess.Popen(words, env={**machine.env, "TERM": "xterm"}, cwd=machine.work, stdout=inner) as process:
        os.close(inner)
        shown = b""
        while chunk := _read(outer):
            shown += chunk
    os.close(outer)
    assert process.returncode == 0
    assert "─" in shown.decode()
    assert name_of(hub.url).encode()[:9] in shown


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux says EIO when the other side is closed
        return b""
