"""The clients that push a folder to a registry and pull it: glm-aria in both of its ways, skopeo and oras."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from scripts.registrylib.ground import Ground
from tests.machine.machine import Machine

_OURS = (sys.executable, "-m", "orchestrator.cli.main")
_COPY = ("skopeo", "copy", "--quiet", "--preserve-digests")
_ORAS_PUSH = """import os, sys, oras.client
host, target, folder = sys.argv[1:]
files = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
oras.client.OrasClient(hostname=host, insecure=True).push(files=files, target=target, disable_path_validation=True)
"""
_ORAS_PULL = """import sys, oras.client
host, target, folder = sys.argv[1:]
oras.client.OrasClient(hostname=host, insecure=True).pull(target=target, outdir=folder)
"""


@dataclass(frozen=True, slots=True)
class Order:
    """A command, and what it needs in its environment."""

    argv: tuple[str, ...]
    env: Mapping[str, str]


class Client(Protocol):
    """A program with a home of its own that pushes versions of one model, and pulls them to `got`."""

    got: Path

    def push(self, folder: Path, version: str) -> Order:
        """The command that pushes a folder."""

    def pull(self, version: str) -> Order:
        """The command that pulls a version."""


class _GlmAria:
    """`glm-aria`, with the open registry or with that of models."""

    def __init__(self, home: Path, model: str, mark: str, settings: Mapping[str, str]) -> None:
        self._model, self._mark = model, mark
        machine = Machine(home, "hf_of_the_client")
        self.got = machine.cache
        self._env = {**machine.env, **settings}

    def push(self, folder: Path, version: str) -> Order:
        """See `Client.push`."""
        return Order((*_OURS, "push", str(folder), f"{self._model}:{version}", "--progress", "none"), self._env)

    def pull(self, version: str) -> Order:
        """See `Client.pull`."""
        return Order(
            (*_OURS, "pull", f"{self._model}{self._mark}{version}", "--no-mirrors", "--progress", "none"), self._env
        )


class _Oci(_GlmAria):
    def __init__(self, ground: Ground, home: Path) -> None:
        super().__init__(home, f"oci://{ground.host}/team/ours", ":", {})


class _Reg(_GlmAria):
    def __init__(self, ground: Ground, home: Path) -> None:
        settings = {"GLM_ARIA_REGISTRY": ground.url, "GLM_ARIA_REGISTRY_TOKEN": ground.token}
        super().__init__(home, "reg://team/model", "@", settings)


class _Skopeo:
    """skopeo copies a folder of its own kind, which is made from that of the model before the measurement."""

    def __init__(self, ground: Ground, home: Path) -> None:
        self.got = home / "got"
        self._target = f"docker://{ground.host}/team/skopeo"
        self._env = Machine(home, "hf_of_the_client").env

    def push(self, folder: Path, version: str) -> Order:
        """See `Client.push`."""
        words = (*_COPY, "--dest-tls-verify=false", f"dir:{image_of(folder)}", f"{self._target}:{version}")
        return Order(words, self._env)

    def pull(self, version: str) -> Order:
        """See `Client.pull`."""
        words = (*_COPY, "--src-tls-verify=false", f"{self._target}:{version}", f"dir:{self.got}")
        return Order(words, self._env)


class _Oras:
    """The Python package oras, by its calls."""

    def __init__(self, ground: Ground, home: Path) -> None:
        self.got = home / "got"
        self._host = ground.host
        self._env = Machine(home, "hf_of_the_client").env

    def push(self, folder: Path, version: str) -> Order:
        """See `Client.push`."""
        return self._order(_ORAS_PUSH, version, folder)

    def pull(self, version: str) -> Order:
        """See `Client.pull`."""
        return self._order(_ORAS_PULL, version, self.got)

    def _order(self, program: str, version: str, folder: Path) -> Order:
        argv = (sys.executable, "-c", program, self._host, f"{self._host}/team/oras:{version}", str(folder))
        return Order(argv, self._env)


CLIENTS: Mapping[str, Callable[[Ground, Path], Client]] = {
    "glm-aria oci://": _Oci,
    "glm-aria reg://": _Reg,
    "skopeo": _Skopeo,
    "oras (Python)": _Oras,
}
REG = "glm-aria reg://"
BESIDE = "skopeo"
"""The client that the times of the others are divided by."""


def clients() -> tuple[str, ...]:
    """The names of those that are there."""
    return tuple(name for name in CLIENTS if name != BESIDE or shutil.which("skopeo"))


def versions() -> str:
    """The versions of the others."""
    found = [f"oras {version('oras')}"]
    if BESIDE in clients():
        asked = subprocess.run(["skopeo", "--version"], capture_output=True, text=True, check=True).stdout
        found.append(asked.replace("version ", "").strip())
    return ", ".join(found)


def image_of(folder: Path) -> Path:
    """The folder with the same content for skopeo."""
    return folder.with_name(f"{folder.name}.image")


def make_image(folder: Path, ground: Ground, home: Path) -> None:
    """Make it, as skopeo copies what was pushed."""
    ours = _Oci(ground, home)
    order = ours.push(folder, f"image-{folder.name}")
    subprocess.run(order.argv, env=dict(order.env), check=True, capture_output=True)
    source = f"docker://{ground.host}/team/ours:image-{folder.name}"
    words = [*_COPY, "--src-tls-verify=false", source, f"dir:{image_of(folder)}"]
    subprocess.run(words, check=True, capture_output=True)


def lacking(folder: Path, got: Path) -> set[str]:
    """The files of a folder whose bytes are not in what a client has got."""
    found = {_sha256(path) for path in got.rglob("*") if path.is_file() and not path.is_symlink()}
    return {path.name for path in folder.iterdir() if _sha256(path) not in found}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
