"""`glm-aria run`: the real clients of the same cache, behind a server of their own."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.clients.installs import python_of
from tests.clients.table import PROGRAMS
from tests.hub.content import generate
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.hub.models import tiny_model
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.fixtures import MakeHub, wanted
from tests.machine.machine import Machine, Running, content, until
from tests.serve.servers import CANARY
from tests.serve.test_cold import MOST, sent, size

BIG = "big.safetensors"
FILES: dict[str, Any] = tiny_model(1, shard_size=3 << 20) | {BIG: generate(40 << 20, 7), "empty.txt": b""}
VERSIONS = ("hf-0.36", "hf-1.10", "hf-1.22", "newest")
QUIET = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_COLOR": "1"}


def hf(version: str = "newest") -> str:
    """The program `hf` of a version."""
    python = Path(sys.executable) if version == "newest" else python_of(version)
    return str(python.with_name("hf"))


def words(machine: Machine, *command: str, more: tuple[str, ...] = ("--no-mirrors",)) -> list[str]:
    """The words of a run of `command` on this machine."""
    return ["run", "--root", machine.root, *more, "--", *command]


def python(text: str) -> tuple[str, str, str]:
    """A program of the user's."""
    return sys.executable, "-c", text


class Disk:
    """The most that the files below a folder took up at once, by their blocks; a file of many names counts once."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._over = folder, threading.Event()
        self._thread = threading.Thread(target=self._measure)
        self.most = 0

    def __enter__(self) -> Disk:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _measure(self) -> None:
        while not self._over.wait(0.01):
            taken = {}
            # Unlike rglob, it goes on when a folder is gone that was there a moment ago.
            for folder, folders, names in os.walk(self._folder):
                for name in (*folders, *names):
                    with suppress(OSError):
                        found = os.lstat(Path(folder, name))
                        taken[found.st_ino] = found.st_blocks * 512
            self.most = max(self.most, sum(taken.values()))


# -- the cache


@pytest.mark.parametrize("version", VERSIONS)
def test_hf_finds_what_it_wants_placed(machine: Machine, hub: LoopbackHub, repo: Repo, version: str) -> None:
    hub.faces["cdn"].shape = Shape(total_rate=20e6)
    with Disk(machine.hf_home) as disk:
        machine.run(*words(machine, hf(version), "download", "org/m"), env=QUIET).ended(0)
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)
    # One copy of each file, at any time, and each fetched once.
    assert disk.most <= 1.05 * size(repo)
    assert sent(hub) <= MOST * size(repo)
    assert [*machine.stage.iterdir()] == []
    # Afterwards all is there without us and without a network, and for glm-aria nothing has to be done.
    assert machine.hf("download", "org/m").returncode == 0
    checked = machine.hf("cache", "verify", "org/m", HF_ENDPOINT=hub.url)
    assert checked.returncode == 0, checked.stdout
    hub.log.reset()
    machine.run(*words(machine, hf(version), "download", "org/m"), env=QUIET).ended(0)
    assert sent(hub) == 0


def test_modelscope_gets_what_both_sites_have(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    scope = hub.modelscope()
    client = str(Path(sys.executable).with_name("modelscope"))
    get = (client, "download", "org/m", "--local-dir", str(machine.work / "got"))
    more = ("--mirror", f"modelscope+{scope.url}")
    machine.run(*words(machine, *get, more=more), env=QUIET).ended(0)
    assert content(machine.work / "got") == wanted(repo)
    assert sent(hub) <= MOST * size(repo)
    # The weights that it brought are there for the Hub's programs, too.
    hub.log.reset()
    machine.run(*words(machine, hf(), "download", "org/m", BIG, more=more), env=QUIET).ended(0)
    assert sent(hub) == 0


def test_progress_counts_what_waits_for_its_turn(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    show = ("--no-mirrors", "--progress", "json")
    program = python("import huggingface_hub as h; h.snapshot_download('org/m')")
    done = machine.run(*words(machine, *program, more=show), env=QUIET).ended(0)
    told = [json.loads(line) for line in done.err.splitlines() if line.startswith("{")]
    phases = {name: [one["phase"] for one in told if one.get("file") == name] for name in FILES if FILES[name]}
    assert all((seen[0], seen[-1]) == ("fetching", "done") for seen in phases.values()), phases
    assert "{" not in machine.run(*words(machine, *program, more=("--no-mirrors", "-q")), env=QUIET).ended(0).err


def test_a_program_that_wants_one_file(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    program = "import huggingface_hub as h; print(h.hf_hub_download('org/m', 'big.safetensors'))"
    done = machine.run(*words(machine, *python(program)), env=QUIET).ended(0)
    assert Path(done.out.strip()) == machine.snapshot("model/org/m", repo.head) / BIG
    assert Path(done.out.strip()).read_bytes() == wanted(repo)[BIG]
    # Only what was asked for.
    assert sent(hub) <= MOST * len(wanted(repo)[BIG])


def test_transformers(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    machine.run(*words(machine, sys.executable, str(PROGRAMS / "pretrained.py"), "model", "org/m", "main")).ended(0)
    folder = machine.snapshot("model/org/m", repo.head)
    shards = [path for path in FILES if path.startswith("model-")]
    assert shards
    assert all((folder / path).read_bytes() == wanted(repo)[path] for path in shards)


def test_heads_alone_fetch_nothing(machine: Machine, hub: LoopbackHub) -> None:
    machine.run(*words(machine, hf(), "download", "org/m", "--dry-run"), env=QUIET).ended(0)
    assert sent(hub) == 0
    assert not (machine.cache / "models--org--m" / "blobs").exists()


def test_a_folder_of_its_own(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    machine.run(*words(machine, hf(), "download", "org/m", "--local-dir", "here"), env=QUIET).ended(0)
    assert content(machine.work / "here") == wanted(repo)
    assert sent(hub) <= MOST * size(repo)


def test_where_the_system_does_not_tell_who_waits(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    """Two copies for a while, but right: there are no more inotify instances for this user."""
    taken = python(
        "import ctypes, sys, subprocess; libc = ctypes.CDLL(None)\n"
        "while libc.inotify_init1(0o2000000) >= 0: pass\n"
        "sys.exit(subprocess.call(sys.argv[1:]))"
    )  # fmt: skip
    machine.run(*words(machine, hf(), "download", "org/m"), env=QUIET, under=taken).ended(0)
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)
    assert machine.hf("cache", "verify", "org/m", HF_ENDPOINT=hub.url).returncode == 0
    assert sent(hub) <= MOST * size(repo)


def test_what_another_repo_of_the_cache_has_is_linked(machine: Machine, make_hub: MakeHub, repo: Repo) -> None:
    other = Repo("model", "org/fork", FILES)
    hub = make_hub(repo, other)
    machine.pull("org/m", "--no-mirrors").ended(0)
    hub.log.reset()
    with Disk(machine.hf_home) as disk:
        machine.run(*words(machine, hf(), "download", "org/fork"), env=QUIET).ended(0)
    assert content(machine.snapshot("model/org/fork", other.head)) == wanted(other)
    assert sent(hub) == 0
    assert disk.most <= 1.1 * size(repo)


def test_two_at_once_on_one_cache(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    hub.faces["cdn"].shape = Shape(total_rate=20e6)
    with Disk(machine.hf_home) as disk:
        both = [machine.start(*words(machine, hf(), "download", "org/m"), env=QUIET) for _ in range(2)]
        for one in both:
            one.end().ended(0)
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)
    assert disk.most <= 1.1 * size(repo)
    assert sent(hub) <= MOST * size(repo)


# -- troubles


def test_a_mirror_that_lies(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    liar = hub.mirror("liar", faults=[Fault("substitute", "*.safetensors")])
    lying = ("--mirror", liar.url)
    done = machine.run(*words(machine, hf(), "download", "org/m", more=lying), env=QUIET).ended(0)
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)
    assert f"glm-aria mirrors forgive {liar.url.removeprefix('http://')}" in done.err


def test_no_source_has_the_right_bytes(machine: Machine, hub: LoopbackHub) -> None:
    hub.fault(Fault("substitute", BIG), face="cdn")
    done = machine.run(*words(machine, hf(), "download", "org/m", BIG), env=QUIET, timeout_s=120)
    assert done.code == 1
    assert not [*machine.cache.glob(f"models--org--m/snapshots/*/{BIG}")]
    assert f"warning: '{BIG}' could not be fetched: " in done.err


def start(machine: Machine, *command: str) -> Running:
    return machine.start(*words(machine, *command), env=QUIET)


def test_a_client_that_is_killed(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    """What came stays, and nobody fetches on for a client that is gone."""
    hub.faces["cdn"].shape = Shape(total_rate=4e6)
    program = f"import subprocess as s; p = s.Popen([{hf()!r}, 'download', 'org/m', {BIG!r}]); print(p.pid, flush=True)"
    running = start(machine, *python(f"{program}; p.wait(); print('over', flush=True); input()"))
    assert running.process.stdout
    assert running.process.stdin
    pid = int(running.process.stdout.readline())
    assert until(lambda: hub.log.bytes_sent(file=BIG) > 4 << 20, 30)
    os.kill(pid, signal.SIGKILL)
    assert running.process.stdout.readline() == "over\n"
    running.process.stdin.write("\n")
    running.process.stdin.flush()
    running.end().ended(0)
    hub.faces["cdn"].shape = Shape()
    machine.run(*words(machine, hf(), "download", "org/m", BIG), env=QUIET).ended(0)
    assert (machine.snapshot("model/org/m", repo.head) / BIG).read_bytes() == wanted(repo)[BIG]
    assert sent(hub) <= 1.2 * len(wanted(repo)[BIG])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_is_stopped_and_run_again(machine: Machine, hub: LoopbackHub, repo: Repo, number: signal.Signals) -> None:
    hub.faces["cdn"].shape = Shape(total_rate=4e6)
    running = start(machine, hf(), "download", "org/m", BIG)
    assert until(lambda: hub.log.bytes_sent(file=BIG) > 4 << 20, 30)
    running.signal(number)
    assert running.end(20).code in (1, 128 + number)
    hub.faces["cdn"].shape = Shape()
    machine.run(*words(machine, hf(), "download", "org/m", BIG), env=QUIET).ended(0)
    assert (machine.snapshot("model/org/m", repo.head) / BIG).read_bytes() == wanted(repo)[BIG]
    assert sent(hub) <= 1.2 * len(wanted(repo)[BIG])


def test_we_are_killed(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    """The client fails and says so; its locks are free again."""
    hub.faces["cdn"].shape = Shape(total_rate=4e6)
    running = start(machine, *python(f"import os, subprocess as s, sys; print(os.getpid(), flush=True); "
                                     f"sys.exit(s.call([{hf()!r}, 'download', 'org/m', {BIG!r}]))"))  # fmt: skip
    assert running.process.stdout
    pid = int(running.process.stdout.readline())
    assert until(lambda: hub.log.bytes_sent(file=BIG) > 4 << 20, 30)
    running.signal(signal.SIGKILL)
    running.process.wait(10)
    assert until(lambda: not Path(f"/proc/{pid}").exists(), 60)
    hub.faces["cdn"].shape = Shape()
    machine.run(*words(machine, hf(), "download", "org/m", BIG), env=QUIET).ended(0)
    assert (machine.snapshot("model/org/m", repo.head) / BIG).read_bytes() == wanted(repo)[BIG]


# -- the command


BINDS = "import socket, sys; socket.create_server(('127.0.0.1', int(sys.argv[1])))"


def test_nobody_else_gets_the_port_when_we_are_killed(machine: Machine, hub: LoopbackHub, tmp_path: Path) -> None:
    told = tmp_path / "told"
    program = f"""
import os, pathlib, signal, subprocess, sys, time, urllib.parse
port, ours = urllib.parse.urlsplit(os.environ["HF_ENDPOINT"]).port, os.getppid()
os.kill(ours, signal.SIGKILL)
while os.getppid() == ours:
    time.sleep(0.01)
taken = subprocess.run([sys.executable, "-c", {BINDS!r}, str(port)], stderr=subprocess.PIPE, text=True)
pathlib.Path({str(told)!r}).write_text(taken.stderr)
"""
    machine.run(*words(machine, *python(program))).ended(-signal.SIGKILL)
    assert until(lambda: told.exists() and bool(told.read_text()))
    assert "Address already in use" in told.read_text()


def test_exit_codes(machine: Machine, hub: LoopbackHub) -> None:
    for code in (0, 7):
        machine.run(*words(machine, "sh", "-c", f"exit {code}")).ended(code)
    machine.run(*words(machine, "sh", "-c", "kill -KILL $$")).ended(137)
    assert "no-such-command" in machine.run(*words(machine, "no-such-command")).ended(127).err
    machine.run(*words(machine, "/etc/passwd")).ended(126)
    machine.run("run").ended(2)


def test_its_streams_and_words_are_its_own(machine: Machine, hub: LoopbackHub) -> None:
    told = machine.run(*words(machine, "sh", "-c", 'cat; echo "$@"', "sh", "--quiet", "--", "-x"), stdin="typed\n")
    assert (told.ended(0).out, told.err) == ("typed\n--quiet -- -x\n", "")
    # Without `--`, too: options end where the command begins.
    told = machine.run("run", "--root", machine.root, "echo", "--offline", "-h")
    assert told.ended(0).out == "--offline -h\n"


def test_its_environment(machine: Machine, hub: LoopbackHub) -> None:
    shows = python("import json, os; print(json.dumps({**os.environ, 'HF_TOKEN': len(os.environ['HF_TOKEN'])}))")
    seen = json.loads(machine.run(*words(machine, *shows), env={"NO_PROXY": None}).ended(0).out)
    before = {**machine.env, "HF_TOKEN": len(machine.token)}
    assert {name for name in seen.keys() - {"PWD", "LC_CTYPE"} if before.get(name) != seen[name]} == {
        "HF_ENDPOINT",
        "HF_HUB_CACHE",
        "HF_HUB_DISABLE_XET",
        "MODELSCOPE_ENDPOINT",
    }
    assert seen["MODELSCOPE_ENDPOINT"] == seen["HF_ENDPOINT"]
    assert seen["HF_HUB_CACHE"] == str(machine.cache)
    proxied = {"http_proxy": "http://proxy.example:3128", "NO_PROXY": "a.example"}
    after = json.loads(machine.run(*words(machine, *shows), env=proxied).ended(0).out)
    assert after["NO_PROXY"] == after["no_proxy"] == "a.example,127.0.0.1"


# -- who else is there


def test_only_the_command_knows_the_address(machine: Machine, hub: LoopbackHub) -> None:
    program = """
import os, urllib.error, urllib.request
url = os.environ["HF_ENDPOINT"]
assert url.startswith("http://127.0.0.1:") and len(url.rpartition("/")[2]) >= 32
def status(at):
    try:
        return urllib.request.urlopen(at + "/api/models/org/m").status
    except urllib.error.HTTPError as error:
        return error.code
base = url.rpartition("/")[0]
print(status(url), status(base), status(url[:-1]), status(url + "x"), status(base + "/"))
"""
    assert machine.run(*words(machine, *python(program))).ended(0).out == "200 404 404 404 404\n"


def test_the_token_of_the_command_goes_nowhere(machine: Machine, hub: LoopbackHub) -> None:
    machine.run(*words(machine, "env", f"HF_TOKEN={CANARY}", hf(), "download", "org/m"), env=QUIET).ended(0)
    assert not any(CANARY in str(seen.headers) + seen.query + seen.path for seen in hub.log.requests())
    for path in machine.files():
        assert CANARY.encode() not in path.read_bytes()
    assert not any(CANARY in result.out + result.err for result in machine.results)


def test_a_gated_repo_comes_with_the_users_own_token(machine: Machine, make_hub: MakeHub) -> None:
    gated = Repo("model", "org/gated", FILES, gated="manual")
    make_hub(gated, opens=["org/gated"])
    machine.run(*words(machine, hf(), "download", "org/gated"), env=QUIET).ended(0)
    assert content(machine.snapshot("model/org/gated", gated.head)) == wanted(gated)


def test_offline(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    machine.pull("org/m", "--no-mirrors").ended(0)
    hub.log.reset()
    offline = ("--offline", "--no-mirrors")
    machine.run(*words(machine, hf(), "download", "org/m", more=offline), env=QUIET).ended(0)
    assert hub.log.requests() == []
    assert machine.run(*words(machine, hf(), "download", "org/other", more=offline), env=QUIET).code == 1


def test_run_needs_no_library_of_the_page_and_serve_names_the_one_that_is_missing(
    machine: Machine, hub: LoopbackHub, tmp_path: Path
) -> None:
    (tmp_path / "prometheus_client.py").write_text("raise ModuleNotFoundError(name='prometheus_client')\n")
    without = {"PYTHONPATH": f"{tmp_path}:{machine.env['PYTHONPATH']}"}
    machine.run(*words(machine, "true"), env=without).ended(0)
    refused = machine.run("serve", "--root", machine.root, "--listen", "127.0.0.1:0", env=without).ended(78)
    assert "prometheus_client is not installed" in refused.err
    assert "pip install 'glm-aria[serve]'" in refused.err
