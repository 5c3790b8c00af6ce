"""The stream proxy: the real nginx shares connections out by weight, and survives the death of a server."""

from __future__ import annotations

from pathlib import Path

import requests

from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.machine.fixtures import MakeHub, wanted
from tests.machine.machine import Machine, content
from tests.servers.nginx import nginx

ANONYMOUS = {"HF_TOKEN": None}


def two_relays(hub: LoopbackHub) -> str:
    near, far = hub.mirror("near"), hub.mirror("far")
    return f"servers=127.0.0.1:{near.face.port}=3,127.0.0.1:{far.face.port}=1"


def test_bytes_are_shared_out_by_weight(machine: Machine, make_hub: MakeHub, tiny: Repo) -> None:
    hub = make_hub(tiny)
    path = next(path for path, file in tiny.commits[tiny.head].files.items() if file.sha256)
    with nginx("nginx-stream.conf", two_relays(hub)) as running:
        hub.log.reset()
        for _ in range(40):
            # A new connection each time.
            answer = requests.get(f"{running.url}/org/tiny/resolve/main/{path}", timeout=10)
            assert answer.content == wanted(tiny)[path]
        hub.log.settle()
        near, far = (hub.log.bytes_sent(face=name, file=path) for name in ("near", "far"))
        assert near + far == 40 * len(wanted(tiny)[path])
        assert 2.5 <= near / far <= 3.5


def test_a_pull_and_hf_through_it_and_a_server_that_dies(
    machine: Machine, make_hub: MakeHub, tiny: Repo, tmp_path: Path
) -> None:
    hub = make_hub(tiny)
    with nginx("nginx-stream.conf", two_relays(hub)) as running:
        done = machine.pull("org/tiny", "--root", running.url, "--no-mirrors", env=ANONYMOUS).ended(0)
        assert content(Path(done.model["snapshot"])) == wanted(tiny)
        assert hub.log.bytes_sent(face="near") > 0
        assert hub.log.bytes_sent(face="far") > 0

        hub.stop_face("near")
        again = machine.pull("org/tiny", "--root", running.url, "--no-mirrors", "--force", env=ANONYMOUS).ended(0)
        assert content(Path(again.model["snapshot"])) == wanted(tiny)
        fetched = machine.hf("download", "org/tiny", HF_ENDPOINT=running.url, HF_HOME=str(tmp_path / "other"))
        assert fetched.returncode == 0, fetched.stderr
        assert content(tmp_path / "other/hub/models--org--tiny/snapshots" / tiny.head) == wanted(tiny)


def test_the_weights_are_those_that_were_measured(machine: Machine, make_hub: MakeHub, tiny: Repo) -> None:
    hub = make_hub(tiny)
    near = hub.mirror("near")
    machine.run("mirrors", "probe", "--root", hub.url, "--mirror", near.url, "org/tiny").ended(0)
    told = machine.run("render", "nginx-stream.conf", env={"HF_ENDPOINT": hub.url, "GLM_ARIA_MIRRORS": near.url})
    lines = [line for line in told.ended(0).out.splitlines() if " weight=" in line]
    assert {line.split()[1] for line in lines} == {hub.url.partition("//")[2], near.url.partition("//")[2]}
    assert all("max_fails=3 fail_timeout=30s;" in line for line in lines)
