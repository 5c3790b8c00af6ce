"""Runs an image as a node would: as its user, with a read-only root, and in a network that has loopback alone.

For root: namespaces of its own stand for a container engine, so that it runs where none does.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import io
import json
import os
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from scripts.imagelib.layout import Json, Layout
from tests.hub.content import generate
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo

_RDONLY, _NOSUID, _NODEV, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
_UP = 0x1
_SET_FLAGS, _SET_ADDRESS = 0x8914, 0x8916
_STARTS = 5


@dataclass(frozen=True, slots=True)
class Container:
    """The root of an image, and what its configuration says."""

    root: Path
    config: Json

    @property
    def user(self) -> int:
        return int(self.config["User"].partition(":")[0])

    @property
    def volume(self) -> Path:
        (name,) = self.config["Volumes"]
        return self.root / str(name).strip("/")

    def start(self, *words: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start its entrypoint with these words."""
        own = dict(pair.split("=", 1) for pair in self.config["Env"])
        bounds = [
            _program("setpriv"),
            "--no-new-privs",
            _program("chroot"),
            f"--userspec={self.user}:{self.user}",
            "--groups=",
            str(self.root),
        ]
        return subprocess.Popen(
            [*bounds, *self.config["Entrypoint"], *words],
            env={**own, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str, env: Mapping[str, str] | None = None) -> str:
        """The output of a command that has to end well."""
        process = self.start(*words, env=env)
        said, _ = process.communicate(timeout=120)
        _hold(process.returncode == 0, f"{' '.join(words)} ended with {process.returncode}\n{said}")
        return said


def unpack(layout: Layout, folder: Path) -> tuple[Json, int]:
    """Put the files of the image of this machine's kind into a folder; its configuration, and their bytes."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    for manifest in layout.images():
        config = json.loads(layout.blob(manifest["config"]))
        if config["architecture"] == machine:
            break
    else:
        raise SystemExit(f"there is no image for {machine}")
    size = 0
    for layer in manifest["layers"]:
        with tarfile.open(fileobj=io.BytesIO(layout.blob(layer))) as archive:
            size += sum(member.size for member in archive)
            archive.extractall(folder, numeric_owner=True, filter="fully_trusted")
    return config["config"], size


def mount(container: Container) -> None:
    """Make the root read-only but for the volume and /tmp, as `--read-only` of an engine does."""
    root = container.root
    _mount("none", Path("/"), "", _REC | _PRIVATE)
    _mount(str(root), root, "", _BIND)
    for at in ("tmp", container.volume.relative_to(root)):
        _mount("tmpfs", root / at, "tmpfs", _NOSUID | _NODEV)
    os.chmod(root / "tmp", 0o1777)  # noqa: PTH101
    os.chown(container.volume, container.user, container.user)
    _mount("proc", root / "proc", "proc", _NOSUID | _NODEV)
    _mount("tmpfs", root / "dev", "tmpfs", _NOSUID)
    for name in ("null", "zero", "urandom", "random"):
        (root / "dev" / name).touch()
        _mount(f"/dev/{name}", root / "dev" / name, "", _BIND)
    _mount("none", root, "", _BIND | _REMOUNT | _RDONLY)


def has_loopback_alone() -> None:
    """Bring up the one device of this network. It gets an address that is none of loopback, too: without any, aria2c
    resolves no name, not even that of localhost."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        fcntl.ioctl(asked, _SET_FLAGS, struct.pack("16sH14x", b"lo", _UP))
        fcntl.ioctl(asked, _SET_ADDRESS, struct.pack("16sHH4s8x", b"lo:1", socket.AF_INET, 0, bytes((192, 0, 2, 1))))
    _hold([name for _, name in socket.if_nameindex()] == ["lo"], "there are other networks")


def quickstart(container: Container) -> None:
    """The pull of the README, and what there is afterwards."""
    token, content = f"hf_{secrets.token_hex(16)}", generate(24 << 20, 1)
    repo = Repo("model", "org/name", {"config.json": b"{}\n", "model.safetensors": content})
    with LoopbackHub([repo], tokens={token: set()}) as hub:
        said = container.run("pull", "org/name", "--root", hub.url, "--no-mirrors", env={"HF_TOKEN": token})
        _hold(token not in said, "the token was shown")
        (found,) = container.volume.glob("hub/models--org--name/snapshots/*/model.safetensors")
        blob = (found.parent / found.readlink()).read_bytes()
        _hold(hashlib.sha256(blob).digest() == hashlib.sha256(content).digest(), "other bytes")
        files = [path for path in container.volume.rglob("*") if path.is_file()]
        _hold(all(path.stat().st_uid == container.user for path in files), "files of another user")
        _hold(not any(token.encode() in path.read_bytes() for path in files), "the token was written")
        container.run("verify")
        server = container.start("serve", "--root", hub.url, "--no-mirrors", "--listen", "127.0.0.1:0")
        assert server.stdout
        url = server.stdout.readline().partition("=")[2].strip()
        with build_opener(ProxyHandler({})).open(f"{url}/org/name/resolve/main/config.json", timeout=60) as answer:
            _hold(answer.read() == b"{}\n", "the server gave something else")
        server.send_signal(signal.SIGTERM)
        said, _ = server.communicate(timeout=60)
        _hold(server.returncode == 0, f"the server ended with {server.returncode}\n{said}")


def cannot_write(container: Container) -> None:
    """A check of the trial itself: its root is read-only, and its user is none that could change that."""
    code = "import os\nfor at in ('/usr', '/etc', '/'):\n  try: open(at + '/x', 'w')\n"
    code += "  except OSError as e: print(e.errno)\n"
    python = Container(container.root, {**container.config, "Entrypoint": ["/usr/bin/python3", "-I"]})
    _hold(
        python.run("-c", f"{code}print(os.getuid())").split() == ["30", "30", "30", str(container.user)], "not bounded"
    )


def main(words: Sequence[str]) -> None:
    layout = Layout(Path(words[0]))
    if os.environ.get("GLM_ARIA_IMAGE_APART") != "1":
        apart = ["unshare", "--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]
        again = [*apart, sys.executable, "-m", "scripts.imagelib.trial", *words]
        raise SystemExit(subprocess.run(again, env={**os.environ, "GLM_ARIA_IMAGE_APART": "1"}, check=False).returncode)
    with tempfile.TemporaryDirectory(prefix="glm-aria-image.") as folder:
        root = Path(folder) / "root"
        root.mkdir()
        config, size = unpack(layout, root)
        packed = sum(path.stat().st_size for path in (layout.folder / "blobs").rglob("*") if path.is_file())
        container = Container(root, config)
        try:
            mount(container)
            has_loopback_alone()
            cannot_write(container)
            started = [_seconds(lambda: container.run("--version")) for _ in range(_STARTS)]
            pulled = _seconds(lambda: quickstart(container))
        finally:
            _call("umount2", str(root).encode(), 2)
    print(f"size: {size / 1e6:.1f} MB unpacked, {packed / 1e6:.1f} MB packed (of all architectures)")
    print(f"start: {min(started):.2f} s (glm-aria --version, the best of {_STARTS})")
    print(f"a pull, verify and a server as user {container.user}, read-only root, loopback alone: {pulled:.1f} s")


def _seconds(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    _hold(found is not None, f"there is no {name}")
    return str(found)


def _hold(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise SystemExit(f"error: {otherwise}")


def _mount(source: str, at: Path, kind: str, flags: int) -> None:
    _call("mount", source.encode(), str(at).encode(), kind.encode() or None, flags, None)


def _call(name: str, *words: object) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*words) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}", str(words))


if __name__ == "__main__":
    main(sys.argv[1:])
