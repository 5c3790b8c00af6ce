"""The ways to a Hub's files: from the origin itself, or through a server in the house that starts with nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.benchlib import peers
from tests.clients.installs import PINS, python_of
from tests.servers.nginx import nginx
from tests.servers.ports import free_port, wait_for_port

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Way:
    """The address that clients are told, and the process of the server where there is one."""

    url: str
    pid: int = 0

    @property
    def peak_mb(self) -> float:
        """The most that the server has held in memory, without its aria2c."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(text.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


Open = Callable[[Mapping[str, Any], Path], AbstractContextManager[Way]]
"""Starts a server for the Hub of this state, in an empty folder."""


@contextmanager
def origin(state: Mapping[str, Any], folder: Path) -> Iterator[Way]:  # noqa: ARG001 - nothing is started
    """The Hub itself."""
    yield Way(state["url"])


@contextmanager
def serve(state: Mapping[str, Any], folder: Path) -> Iterator[Way]:
    """`glm-aria serve`, with the mirrors of the Hub if it has some."""
    port = free_port()
    mirrors = [word for url in state["mirrors"] for word in ("--mirror", url)] or ["--no-mirrors"]
    words = ["serve", "--root", state["url"], *mirrors, "--listen", f"127.0.0.1:{port}", "--progress", "none"]
    environment = peers.environment(peers.Repo.of(state), folder) | {"PYTHONPATH": str(_ROOT)}
    with _running([sys.executable, "-m", "orchestrator.cli.main", *words], port, folder, environment) as pid:
        yield Way(f"http://127.0.0.1:{port}", pid)


@contextmanager
def olah(state: Mapping[str, Any], folder: Path) -> Iterator[Way]:
    """olah, in an environment of its own."""
    port = free_port()
    words = ["--host", "127.0.0.1", "--port", str(port), "--hf-scheme", "http", "--mirror-scheme", "http"]
    words += ["--hf-netloc", _netloc(state["url"]), "--hf-lfs-netloc", _netloc(state["cdn_url"])]
    words += ["--mirror-netloc", f"127.0.0.1:{port}", "--mirror-lfs-netloc", f"127.0.0.1:{port}"]
    words += ["--repos-path", str(folder / "repos"), "--log-path", str(folder / "logs")]
    with _running([str(_olah()), *words], port, folder, peers.environment(peers.Repo.of(state), folder)) as pid:
        yield Way(f"http://127.0.0.1:{port}", pid)


@contextmanager
def relay(state: Mapping[str, Any], folder: Path) -> Iterator[Way]:  # noqa: ARG001 - it makes one of its own
    """nginx as `glm-aria render nginx-relay.conf` has it. nginx asks a resolver for names, and none knows localhost."""
    with nginx("nginx-relay.conf", f"upstream={state['url']}") as server:
        yield Way(server.url, server.process.pid)


@contextmanager
def static(files: Sequence[Path], folder: Path) -> Iterator[Way]:
    """nginx that sends these files, each under its name."""
    root, port = folder / "static", free_port()
    root.mkdir()
    for file in files:
        os.link(file, root / file.name)
    conf = folder / "static.conf"
    paths = "".join(f"{name}_temp_path {folder}/{name}; " for name in ("proxy", "fastcgi", "uwsgi", "scgi"))
    conf.write_text(
        f"daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr crit; user {_user()};"
        "events { worker_connections 512; }"
        f"http {{ access_log off; sendfile on; client_body_temp_path {folder}/body; {paths}"
        f"server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n"
    )
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin") or "nginx"
    with _running([program, "-e", "stderr", "-c", str(conf)], port, folder, dict(os.environ)) as pid:
        yield Way(f"http://127.0.0.1:{port}", pid)


WAYS: Mapping[str, Open] = {"glm-aria serve": serve, "origin": origin, "olah": olah, "nginx relay": relay}


def is_there(name: str) -> bool:
    """True when this way can be taken here; olah is installed for it."""
    if name == "olah":
        try:
            _olah()
        except AssertionError as error:
            print(f"going on without olah: {error}", file=sys.stderr)
            return False
    return True


@contextmanager
def _running(argv: Sequence[str], port: int, folder: Path, environment: Mapping[str, str]) -> Iterator[int]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            argv, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_for_port(port, process)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _olah() -> Path:
    return python_of("olah", PINS.parent).with_name("olah-cli")


def _netloc(url: str) -> str:
    return url.partition("://")[2]


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name
