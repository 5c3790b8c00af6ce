"""The real nginx with a rendered configuration, as an ordinary user, until the block ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.ports import free_port, wait_for_port

_REPOSITORY = Path(__file__).parents[2]
_NOBODY = 65534


@dataclass(frozen=True)
class Nginx:
    """`folder` is private to nginx's user and holds all that it writes; `conf` is the rendered file."""

    port: int
    folder: Path
    conf: Path
    cdn_port: int
    """Where the relay serves what it fetched from a CDN; nothing for other templates."""
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def cdn_url(self) -> str:
        return f"http://127.0.0.1:{self.cdn_port}"

    def log(self, name: str = "access.log") -> str:
        return (self.folder / name).read_text("utf-8", "replace")

    def kept(self) -> list[Path]:
        """The files in the cache."""
        return [path for path in (self.folder / "cache").rglob("*") if path.is_file()]


def rendered(name: str, *values: str, env: dict[str, str] | None = None) -> str:
    """What `glm-aria render NAME --set VALUE...` prints."""
    words = [word for value in values for word in ("--set", value)]
    command = [sys.executable, "-m", "orchestrator.cli.main", "render", name, *words]
    bare = {"PATH": os.environ["PATH"], "PYTHONPATH": str(_REPOSITORY), "HOME": "/nonexistent"}
    done = subprocess.run(
        command, env=bare | (env or {}), capture_output=True, text=True, timeout=30, check=False, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def nginx(template: str, *values: str) -> Iterator[Nginx]:
    """Render, check with `nginx -t`, start, and stop. Who runs the tests as root has it run as nobody."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    assert program, "nginx is missing: scripts/test installs it"
    user = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
    base = Path(tempfile.mkdtemp(prefix="glm-aria-nginx-"))
    folder, conf, port = base / "own", base / "nginx.conf", free_port()
    folder.mkdir(mode=0o700)
    if user:
        base.chmod(0o755)
        os.chown(folder, _NOBODY, _NOBODY)
    cdn_port = free_port() if "relay" in template else 0
    ports = [f"port={port}"] + ([f"cdn_port={cdn_port}"] if cdn_port else [])
    conf.write_text(rendered(template, f"folder={folder}", *ports, *values))
    command = [program, "-e", "stderr", "-c", str(conf)]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, timeout=30, check=False, **user)  # type: ignore[call-overload]
    assert checked.returncode == 0, checked.stderr
    assert "warn" not in checked.stderr, checked.stderr
    process = subprocess.Popen([*command, "-g", "daemon off;"], stderr=subprocess.DEVNULL, **user)  # type: ignore[call-overload]
    try:
        wait_for_port(port, process)
        yield Nginx(port, folder, conf, cdn_port, process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(base)
