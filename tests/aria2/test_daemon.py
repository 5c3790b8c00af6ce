"""Our aria2c: private, secret, bound to its owner; and the background one, of which there is one."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.aria2.daemon import BackgroundDaemon, PrivateDaemon
from orchestrator.aria2.program import find_aria2c
from orchestrator.aria2.rpc import Rpc
from orchestrator.errors import DaemonError
from tests.engines import no_packaged_aria2
from tests.machine.machine import until

REPOSITORY = Path(__file__).parents[2]


def alive(pid: int) -> bool:
    """True while it runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def proc(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text("utf-8", "replace")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


# -- bound to a run


def test_it_is_private_and_secret(
    runtime: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_rpc: Callable[..., Rpc],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_canary" + secrets.token_hex(8))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "aws-canary")
    monkeypatch.setenv("https_proxy", "http://me:canary@proxy.invalid:1")
    bundle = tmp_path_factory.mktemp("ca") / "ca.pem"
    bundle.write_text("")
    with PrivateDaemon(runtime, concurrency=7, max_speed=123_456, ca_bundle=bundle) as daemon:
        endpoint = daemon.start()
        pid = daemon.pid
        assert pid is not None
        rpc = make_rpc(endpoint)
        (conf,) = runtime.rglob("aria2.conf")
        assert {mode(runtime), mode(conf.parent)} == {0o700}
        assert {mode(path) for path in conf.parent.iterdir() if path.suffix in (".conf", ".json")} == {0o600}
        assert endpoint.url.startswith("http://127.0.0.1:")
        assert len(endpoint.secret) >= 32
        for process in Path("/proc").iterdir():
            if process.name.isdecimal() and int(process.name) != os.getpid():
                try:
                    seen = proc(int(process.name), "cmdline") + proc(int(process.name), "environ")
                except OSError:
                    continue
                assert endpoint.secret not in seen, f"process {process.name} shows the secret"
        inherited = proc(pid, "environ")
        assert "canary" not in inherited
        assert "proxy" not in inherited
        told = rpc._call("aria2.getGlobalOption")
        assert (told["max-concurrent-downloads"], told["max-overall-download-limit"]) == ("7", "123456")
        assert told["no-netrc"] == "true"
        assert rpc.ca_certificate() == str(bundle)
        assert not {"save-session", "input-file", "on-download-complete", "log"} & {k for k, v in told.items() if v}
    assert not alive(pid)
    assert list(runtime.parent.iterdir()) == []


def test_the_users_own_aria2_conf_is_not_read(
    runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_rpc: Callable[..., Rpc]
) -> None:
    home = tmp_path / "home"
    (home / ".aria2").mkdir(parents=True)
    (home / ".aria2" / "aria2.conf").write_text("on-download-complete=/bin/false\nuser-agent=theirs\n")
    monkeypatch.setenv("HOME", str(home))
    with PrivateDaemon(runtime, concurrency=1) as daemon:
        told = make_rpc(daemon.start())._call("aria2.getGlobalOption")
    assert "on-download-complete" not in told
    assert told["user-agent"] == "glm-aria"


def test_it_starts_again_after_its_death(daemon: PrivateDaemon, make_rpc: Callable[..., Rpc]) -> None:
    first, pid = daemon.start(), daemon.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert until(lambda: daemon.pid is None)
    second = daemon.start()
    assert second.secret != first.secret
    assert make_rpc(second).version()
    daemon.stop()
    daemon.stop()


def test_a_hung_one_is_ended(daemon: PrivateDaemon) -> None:
    daemon.start()
    pid = daemon.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    daemon.stop()
    assert not alive(pid)


OWNER = """
import sys, time
from pathlib import Path
from orchestrator.aria2.daemon import PrivateDaemon
daemon = PrivateDaemon(Path(sys.argv[1]), concurrency=1)
daemon.start()
print(daemon.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def orphan(runtime: Path) -> Iterator[int]:
    """The pid of an aria2c whose owner has just been killed."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(runtime)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        text=True,
    )
    assert owner.stdout
    pid = int(owner.stdout.readline())
    assert alive(pid)
    owner.kill()
    owner.communicate(timeout=10)
    yield pid
    if alive(pid):
        os.kill(pid, signal.SIGKILL)


def test_it_ends_with_its_owner(orphan: int) -> None:
    assert until(lambda: not alive(orphan), 10)


def test_the_next_run_ends_an_orphan_and_clears_up(orphan: int, runtime: Path, daemon: PrivateDaemon) -> None:
    daemon.start()
    assert not alive(orphan)
    assert [path.name.split("-")[2] for path in runtime.iterdir()] == [str(os.getpid())]


def test_a_living_neighbour_is_left_alone(runtime: Path, daemon: PrivateDaemon) -> None:
    daemon.start()
    with PrivateDaemon(runtime, concurrency=1) as other:
        other.start()
        assert daemon.pid is not None
    assert daemon.pid is not None
    assert runtime.is_dir()


def test_a_missing_aria2c_is_an_error_with_a_hint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    no_packaged_aria2(tmp_path)
    with pytest.raises(DaemonError) as caught:
        find_aria2c()
    assert caught.value.hint


def test_an_aria2c_that_does_not_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runtime: Path) -> None:
    fake = tmp_path / "bin" / "aria2c"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho 'no such option' >&2\nexit 28\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    with PrivateDaemon(runtime, concurrency=1) as daemon, pytest.raises(DaemonError, match="no such option"):
        daemon.start()


def test_an_aria2c_that_is_killed_at_its_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runtime: Path) -> None:
    """As by the out-of-memory killer: it is started again, but not for ever."""
    fake, kills = tmp_path / "bin" / "aria2c", tmp_path / "kills"
    real = find_aria2c()
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\nfor one in {kills}/*; do rmdir "$one" && kill -9 $$; done\nexec {real} "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    for name in ("a", "b"):
        (kills / name).mkdir(parents=True)
    with PrivateDaemon(runtime, concurrency=1) as daemon:
        daemon.start()
    assert list(kills.iterdir()) == []
    for name in ("a", "b", "c"):
        (kills / name).mkdir()
    with PrivateDaemon(runtime, concurrency=1) as daemon, pytest.raises(DaemonError, match="killed by signal 9"):
        daemon.start()


# -- in the background


@pytest.fixture
def background(runtime: Path) -> Iterator[BackgroundDaemon]:
    made = BackgroundDaemon(runtime)
    yield made
    made.stop()


def test_there_is_one(background: BackgroundDaemon, runtime: Path) -> None:
    assert background.find() is None
    pid, endpoint = background.start()
    assert background.start() == (pid, endpoint)
    assert BackgroundDaemon(runtime).find() == (pid, endpoint)
    assert mode(runtime) == 0o700
    assert mode(runtime / "daemon.json") == mode(runtime / "aria2.conf") == 0o600
    assert endpoint.secret not in proc(pid, "cmdline")
    assert background.stop() == pid
    assert not alive(pid)
    assert background.stop() is None
    assert background.find() is None
    assert list(runtime.iterdir()) == []


def test_private_ones_leave_it_alone(background: BackgroundDaemon, runtime: Path) -> None:
    pid, _ = background.start()
    with PrivateDaemon(runtime, concurrency=1) as daemon:
        daemon.start()
    assert background.find() is not None
    assert alive(pid)


@pytest.mark.parametrize(
    "state",
    [b"", b"[]", b"[" * 100_000, b"{", b'{"pid": 1}',
     b'{"pid": "x", "url": "http://127.0.0.1:9/jsonrpc", "secret": ""}',
     b'{"pid": 1, "url": "nonsense", "secret": ""}', b'{"pid": 1, "url": 5, "secret": ""}',
     b'{"pid": %d, "url": "http://127.0.0.1:9/jsonrpc", "secret": "x"}'],
    ids=range(9),
)  # fmt: skip
def test_a_stale_state_file(background: BackgroundDaemon, runtime: Path, state: bytes) -> None:
    runtime.mkdir()
    state = state.replace(b"%d", b"%d" % os.getpid())
    (runtime / "daemon.json").write_bytes(state)
    assert background.find() is None
    assert background.stop() is None  # and above all ends no process that has the pid by now
    (runtime / "daemon.json").write_bytes(state)
    assert alive(background.start()[0])


def test_one_that_was_killed_is_replaced(background: BackgroundDaemon) -> None:
    pid, _ = background.start()
    os.kill(pid, signal.SIGKILL)
    assert until(lambda: not alive(pid))
    assert background.find() is None
    assert background.start()[0] != pid
