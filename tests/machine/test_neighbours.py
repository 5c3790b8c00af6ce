"""Another user of the machine against our aria2c: its port, its runtime folder, and the pids in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.aria2.daemon import BackgroundDaemon
from orchestrator.system.processes import made_name, started
from tests.hub.content import generate
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.conditions import as_user, give, limited, needs_root
from tests.machine.fixtures import MakeHub
from tests.machine.machine import Machine, content, until
from tests.machine.users import OtherUser
from tests.servers.ports import free_port

pytestmark = pytest.mark.sampled(6)

FILES = {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 10_000}
GONE = 4_194_305
"""A pid that no process has: above the most that Linux gives out."""

FAKE = """
import http.server, sys
class Fake(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        print("got", body, flush=True)
        answer = b'{"id":-1,"jsonrpc":"2.0","result":{"version":"1.36.0","enabledFeatures":[]}}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Fake)
print("listens", flush=True)
server.serve_forever()
"""
"""Answers as an aria2 that takes any secret, and prints what it was sent."""


class Neighbour:
    """Another user, and the fake aria2 that they run."""

    def __init__(self, user: OtherUser, port: int | None = None) -> None:
        self.user = user
        self.port = port or free_port()
        self._fake = user.start_python(FAKE, str(self.port))
        assert self._fake.stdout
        assert self._fake.stdout.readline() == "listens\n"

    def state(self, pid: int) -> str:
        """What a state file says that leads to the fake."""
        url = f"http://127.0.0.1:{self.port}/jsonrpc"
        return json.dumps({"pid": pid, "since": started(pid), "url": url, "secret": "x"})

    def plant(self, folder: Path, files: dict[str, str], bits: int = 0o755) -> None:
        """Make a folder with files in it that everybody can read."""
        code = (
            "import json, os, pathlib, sys\n"
            "folder = pathlib.Path(sys.argv[1])\n"
            "for name, text in json.loads(sys.argv[2]).items():\n"
            "    (folder / name).parent.mkdir(parents=True, exist_ok=True)\n"
            "    (folder / name).write_text(text)\n"
            "os.chmod(folder, int(sys.argv[3]))\n"
        )
        self.user.python(code, folder, json.dumps(files), str(bits))

    def heard(self) -> str:
        """All that was sent to the fake, which ends with this."""
        self._fake.kill()
        out, _ = self._fake.communicate(timeout=10)
        return out


@pytest.fixture
def hub(make_hub: MakeHub, repo: Repo) -> LoopbackHub:
    return make_hub(repo)


@pytest.fixture
def neighbour(other_user: OtherUser) -> Neighbour:
    return Neighbour(other_user)


@pytest.fixture
def shared(machine: Machine) -> dict[str, str | None]:
    """The environment of a batch job: no runtime folder but one in a temporary folder that all may write to."""
    folder = machine.folder / "shared-tmp"
    folder.mkdir()
    folder.chmod(0o1777)
    return {"XDG_RUNTIME_DIR": None, "TMPDIR": str(folder)}


@pytest.fixture
def planted(machine: Machine) -> Path:
    """Where our runtime folder would be."""
    return machine.folder / "shared-tmp" / f"glm-aria-{os.geteuid()}"


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours that has nothing to do with it."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


@needs_root
@pytest.mark.parametrize("old", [True, False])
def test_a_planted_run_has_nobody_killed(
    machine: Machine,
    hub: LoopbackHub,
    neighbour: Neighbour,
    shared: dict[str, str | None],
    planted: Path,
    bystander: subprocess.Popen[bytes],
    old: bool,
) -> None:
    """A run that fetches nothing, and one that does, sweep what is left of others: not of a stranger's choice."""
    name = made_name("run").replace(f"-{os.getpid()}-", f"-{GONE}-") if not old else "run-999999-abcd1234"
    neighbour.plant(planted, {f"{name}/daemon.json": neighbour.state(bystander.pid), f"run-{'9' * 20}-x/y": ""})
    for _ in range(2):
        machine.pull("org/m", env=shared).ended(0)
    assert bystander.poll() is None
    assert "got" not in neighbour.heard()


@needs_root
@pytest.mark.parametrize("bits", [0o755, 0o777, 0o700])
def test_a_planted_background_daemon_is_none(
    machine: Machine,
    hub: LoopbackHub,
    neighbour: Neighbour,
    shared: dict[str, str | None],
    planted: Path,
    bystander: subprocess.Popen[bytes],
    bits: int,
) -> None:
    neighbour.plant(planted, {"daemon.json": neighbour.state(bystander.pid)}, bits)
    machine.pull("org/m", env=shared).ended(0)
    assert machine.run("daemon", "status", "--json", env=shared).ended(0).document["data"]["running"] is False
    assert machine.run("daemon", "stop", "--json", env=shared).ended(0).document["data"]["pid"] is None
    assert bystander.poll() is None
    assert (planted / "daemon.json").exists()
    assert "got" not in neighbour.heard()


@needs_root
def test_a_planted_link_to_a_folder_of_ours(
    machine: Machine, hub: LoopbackHub, other_user: OtherUser, shared: dict[str, str | None], planted: Path
) -> None:
    mine = machine.folder / "experiments"
    names = ["run-54321-final", made_name("run").replace(f"-{os.getpid()}-", f"-{GONE}-")]
    for name in names:
        (mine / name).mkdir(parents=True)
        (mine / name / "results").write_text("months of work")
    mine.chmod(0o700)
    other_user.python("import os, sys; os.symlink(sys.argv[1], sys.argv[2])", mine, planted)
    machine.pull("org/m", env=shared).ended(0)
    assert sorted(path.name for path in mine.iterdir()) == sorted(names)
    assert all((mine / name / "results").read_text() for name in names)


@pytest.mark.parametrize("pid", [-1, 0, 1, 10**20, "x", None, 1.5])
@pytest.mark.sampled(2)
def test_an_odd_pid_in_our_own_folder(machine: Machine, hub: LoopbackHub, pid: object) -> None:
    folder = machine.runtime / "glm-aria"
    name = made_name("run").replace(f"-{os.getpid()}-", f"-{GONE}-")
    for at in (folder, folder / name):
        at.mkdir(mode=0o700)
        state = {"pid": pid, "since": "1", "url": f"http://127.0.0.1:{free_port()}/jsonrpc", "secret": "x"}
        (at / "daemon.json").write_text(json.dumps(state))
        (at / "daemon.json").chmod(0o600)
    machine.pull("org/m").ended(0)
    assert not (folder / name).exists()
    assert machine.run("daemon", "stop", "--json").ended(0).document["data"]["pid"] is None


@needs_root
@pytest.mark.parametrize("whose", ["nobody's", "a process of ours"])
def test_the_port_and_the_pid_of_a_daemon_that_was_killed(
    machine: Machine, hub: LoopbackHub, other_user: OtherUser, bystander: subprocess.Popen[bytes], whose: str
) -> None:
    """Our own folder, whose daemon has ended: its port belongs to another user by now, its pid to another process."""
    found = machine.run("daemon", "start", "--json").ended(0).document["data"]
    os.kill(found["pid"], 9)
    assert until(lambda: not machine.aria2())
    neighbour = Neighbour(other_user, int(found["url"].split(":")[2].split("/")[0]))
    if whose != "nobody's":
        file = machine.runtime / "glm-aria" / "daemon.json"
        state = json.loads(file.read_text())
        file.write_text(json.dumps({**state, "pid": bystander.pid, "since": started(bystander.pid)}))
    machine.pull("org/m").ended(0)
    assert machine.run("daemon", "status", "--json").ended(0).document["data"]["running"] is False
    assert machine.run("daemon", "stop", "--json").ended(0).document["data"]["pid"] is None
    assert bystander.poll() is None
    assert "got" not in neighbour.heard()


def test_a_daemon_that_hangs_is_ended(machine: Machine) -> None:
    """It answers nobody, but it is proven to be ours by what the system says of it."""
    pid = machine.run("daemon", "start", "--json").ended(0).document["data"]["pid"]
    os.kill(pid, 19)
    assert machine.run("daemon", "stop", "--json").ended(0).document["data"]["pid"] == pid
    assert machine.aria2() == []


def test_two_starts_at_once_make_one_daemon(machine: Machine) -> None:
    starts = [machine.start("daemon", "start", "--json") for _ in range(3)]
    pids = {start.end().ended(0).document["data"]["pid"] for start in starts}
    assert len(pids) == 1
    assert machine.aria2() == list(pids)
    assert BackgroundDaemon(machine.runtime / "glm-aria").stop() in pids


@needs_root
def test_a_daemon_of_ours_is_found_when_a_squatter_has_left(
    machine: Machine, hub: LoopbackHub, other_user: OtherUser, shared: dict[str, str | None], planted: Path
) -> None:
    planted.mkdir(mode=0o700)
    os.chown(planted, other_user.uid, other_user.uid)
    private = machine.folder / "memory"
    private.mkdir(mode=0o700)
    env = {**shared, "TEMP": str(private)}
    pid = machine.run("daemon", "start", "--json", env=env).ended(0).document["data"]["pid"]
    assert list(private.iterdir()) != []
    planted.rmdir()
    assert machine.run("daemon", "status", "--json", env=env).ended(0).document["data"]["pid"] == pid
    assert machine.run("daemon", "start", "--json", env=env).ended(0).document["data"]["pid"] == pid
    machine.pull("org/m", env=env).ended(0)
    assert machine.run("daemon", "stop", "--json", env=env).ended(0).document["data"]["pid"] == pid
    assert machine.run("daemon", "status", "--json", env=env).ended(0).document["data"]["running"] is False


FLOOD = """
import os, socket, sys, time
def ports():
    found = []
    for line in open("/proc/net/tcp").readlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and fields[7] == sys.argv[1]:
            found.append(int(fields[1].split(":")[1], 16))
    return found
known, held = set(ports()), []
print("ready", flush=True)
while True:
    for port in set(ports()) - known:
        known.add(port)
        try:
            for _ in range(600):
                one = socket.create_connection(("127.0.0.1", port), 1)
                one.sendall(b"POST /jsonrpc HTTP/1.1\\r\\nContent-Length: 1000\\r\\n\\r\\n")
                held.append(one)
        except OSError:
            pass
        print("flooded", port, len(held), flush=True)
        if sys.argv[2] == "once":
            time.sleep(1000)
"""
"""Fills each port of a user that comes up with unfinished requests."""


@needs_root
@pytest.mark.parametrize("how", ["once", "always"])
def test_a_port_that_is_filled_with_connections(
    machine: Machine, make_hub: MakeHub, other_user: OtherUser, how: str
) -> None:
    """aria2c takes a descriptor for each before it asks for a secret."""
    uid = 400_000 + os.getpid() % 100_000
    repo = Repo("model", "org/big", {f"{n}.bin": generate(3 << 20, n) for n in range(12)})
    make_hub(repo, cdn_shape=Shape(total_rate=8e6))
    give(machine.folder, uid)
    flood = other_user.start_python(FLOOD, str(uid), how)
    assert flood.stdout
    assert flood.stdout.readline() == "ready\n"
    done = machine.pull("org/big", "--verbose", **(as_user(uid) + limited(nofile=300)).options)
    flood.kill()
    assert "flooded" in flood.communicate(timeout=10)[0]
    if done.code:
        assert how == "always"
        assert done.code in (71, 75), done.err
        assert "connections" in done.error["message"] or done.code == 75, done.err
    else:
        assert content(machine.snapshot("model/org/big", repo.head)) == dict(repo.files)
