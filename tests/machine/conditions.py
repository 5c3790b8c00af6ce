"""What a command may find where it is started: another user, closed streams, a read-only mount, few descriptors …

A `Condition` is the words of a program that starts the command, and variables; `machine.run(…, **condition.options)`.
Conditions add up: of `a + b` the part of `a` is done first.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from shlex import quote
from typing import Any

import pytest

from tests.machine.machine import REPOSITORY

NOBODY_KNOWS = 424_242
"""A UID without an entry in the user database, as OpenShift gives them out."""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")


@dataclass(frozen=True, slots=True)
class Condition:
    """`under` starts the command, `env` goes over the machine's environment; None takes a variable away."""

    under: tuple[str, ...] = ()
    env: Mapping[str, str | None] = field(default_factory=dict)

    def __add__(self, other: Condition) -> Condition:
        return Condition(self.under + other.under, {**self.env, **other.env})

    @property
    def options(self) -> dict[str, Any]:
        """For `Machine.start`, `run`, `pull` and their like."""
        return {"under": self.under, "env": self.env}


PLAIN = Condition()
NO_HOME = Condition(env={"HOME": None})


def _shell(script: str, *arguments: str) -> Condition:
    """Run `script` in a shell, which becomes the command by `exec "$@"` once it has shifted away `arguments`."""
    return Condition(("sh", "-c", script, "sh", *arguments))


def as_user(uid: int, **env: str | None) -> Condition:
    """As another user without any group of ours; needs root. HOME and USER stay as they are, as with `sudo -u`."""
    return Condition((*_reach(), "setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"), env)


def lone_uid() -> int:
    """The UID of a user who has no other process, since their limits count all threads of a user, of any test."""
    return 500_000 + secrets.randbelow(1 << 30)


@cache
def _reach() -> tuple[str, ...]:
    """Lets every user reach this interpreter and this repository, also where root keeps them in its home.

    In a mount namespace each folder that is closed to others becomes an empty one that holds nothing but these.
    """
    wanted = [Path(path).resolve() for path in (sys.base_prefix, sys.prefix, REPOSITORY)]
    shut = {path: _shut(path) for path in dict.fromkeys(wanted)}
    if not any(shut.values()):
        return ()
    lines = ["set -e"]
    for number, (path, above) in enumerate(shut.items()):
        if above:
            lines.append(f'd{number}=$(mktemp -d); mount --bind {quote(str(path))} "$d{number}"')
    for above in {above for above in shut.values() if above}:
        lines.append(f"mount -t tmpfs -o mode=755 tmpfs {quote(str(above))}")
    for number, (path, above) in enumerate(shut.items()):
        if above:
            target = quote(str(path))
            lines.append(f'mkdir -p {target}; mount --move "$d{number}" {target}; rmdir "$d{number}"')
    return ("unshare", "--mount", *_shell("\n".join([*lines, 'exec "$@"'])).under)


def _shut(path: Path) -> Path | None:
    """The highest folder above `path` that others may not enter."""
    return next((above for above in reversed(path.parents) if not above.stat().st_mode & 0o001), None)


def closed(*streams: int) -> Condition:
    """With these of the standard streams closed, as by `2>&-`."""
    signs = {0: "<&-", 1: ">&-", 2: "2>&-"}
    return _shell(f'exec "$@" {" ".join(signs[stream] for stream in streams)}')


def redirected(how: str) -> Condition:
    """With a redirection of the shell, such as `>/dev/full`."""
    return _shell(f'exec "$@" {how}')


def read_only(*folders: Path) -> Condition:
    """With read-only mounts of these folders, seen by the command alone."""
    binds = "".join(f'mount --bind "${n}" "${n}" && mount -o remount,bind,ro "${n}" && ' for n in _numbers(folders))
    user = () if os.geteuid() == 0 else ("-r",)
    shell = _shell(f'{binds}shift {len(folders)} && exec "$@"', *map(str, folders))
    return Condition(("unshare", *user, "--mount", *shell.under))


def mounted(folder: Path, options: str = "size=64m") -> Condition:
    """With an empty tmpfs on `folder`, seen by the command alone."""
    user = () if os.geteuid() == 0 else ("-r",)
    shell = _shell('mount -t tmpfs -o "$1" tmpfs "$2" && shift 2 && exec "$@"', options, str(folder))
    return Condition(("unshare", *user, "--mount", *shell.under))


def limited(**limits: int) -> Condition:
    """With limits as `prlimit` names them: nofile=64, nproc=6 (not for root, and threads count), fsize=1_000_000."""
    return Condition(("prlimit", *(f"--{name}={count}:{count}" for name, count in limits.items()), "--"))


def inside(folder: Path) -> Condition:
    """In this working directory, whoever may enter it later on."""
    return _shell('cd "$1" && shift && exec "$@"', str(folder))


def in_removed_folder(parent: Path) -> Condition:
    """In a working directory that is no more."""
    return _shell('d=$(mktemp -d "$1/gone-XXXXXX") && cd "$d" && rmdir "$d" && shift && exec "$@"', str(parent))


def in_locale(name: str, **env: str | None) -> Condition:
    """In this locale, and without Python's own ways out of ASCII."""
    others = {"LANG": None, "LC_CTYPE": None, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": None}
    return Condition(env={**others, "LC_ALL": name, **env})


def gbk(folder: Path) -> Condition:
    """In a Chinese locale of the encoding GBK, made in `folder`; ASCII where the system cannot make one."""
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / "zh_CN.gbk"
    if shutil.which("localedef") and not made.exists():
        command = ["localedef", "--no-archive", "-c", "-i", "zh_CN", "-f", "GBK", str(made)]
        subprocess.run(command, check=False, capture_output=True, timeout=60)
    return in_locale("zh_CN.gbk", LOCPATH=str(folder)) if made.exists() else in_locale("C")


@contextmanager
def open_folder(owner: int | None = None) -> Iterator[Path]:
    """A folder that every user can reach, which those of pytest are not; `owner` is the UID it belongs to."""
    with tempfile.TemporaryDirectory(prefix="glm-aria-test-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        if owner is not None:
            os.chown(folder, owner, owner)
        yield folder


def give(folder: Path, uid: int) -> None:
    """Make `folder` and all that is in it belong to a user; needs root."""
    for at, _, names in os.walk(folder):
        for path in (Path(at), *(Path(at, name) for name in names)):
            os.chown(path, uid, uid, follow_symlinks=False)


def _numbers(folders: tuple[Path, ...]) -> range:
    return range(1, len(folders) + 1)
