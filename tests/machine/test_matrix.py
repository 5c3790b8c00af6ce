"""Commands under conditions: none ends with 70 (a bug) or 1 (a traceback), none hangs, each with the code it should.

One model is in the cache before; `pull` fetches another one. The short form draws some conditions, and
for each of them some commands beside `pull`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from tests.hub.content import generate
from tests.hub.repos import Repo
from tests.machine import conditions as on
from tests.machine.conditions import NOBODY_KNOWS, Condition
from tests.machine.fixtures import MakeHub
from tests.machine.machine import Machine, Running

FILES = {"config.json": b"{}", "w.bin": generate(300_000, 1), "sub/名字 é.txt": b"x" * 100}
HERE = Repo("model", "org/here", FILES)
FURTHER = Repo("model", "org/further", {**FILES, "w.bin": generate(2_200_000, 2)})  # of a size that aria2 fetches

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "pull": ("pull", "--root", "ROOT", "--json", "org/further"),
    "pull quietly": ("pull", "--root", "ROOT", "-q", "org/here"),
    "pull --offline": ("pull", "--root", "ROOT", "--offline", "--json", "org/here"),
    "plan": ("plan", "--root", "ROOT", "--json", "org/here"),
    "verify": ("verify", "--json"),
    "cache ls": ("cache", "ls", "--json"),
    "cache ls for people": ("cache", "ls"),
    "watch --status": ("watch", "--status", "--json"),
    "daemon status": ("daemon", "status", "--json"),
    "config show": ("config", "show", "--json"),
    "status": ("status", "--json"),
    "history": ("history", "--json"),
}
FURTHER_COMMANDS = 3
"""Of those beside `pull`, so many are tried under a condition in the short form."""
ALONE = on.lone_uid()
NO_XDG = {"XDG_CONFIG_HOME": None, "XDG_RUNTIME_DIR": None, "TMPDIR": None}


@dataclass(frozen=True)
class Row:
    """A condition, made for a machine and a folder that only root may enter; `codes` are those that are not 0."""

    make: Callable[[Machine, Path], Condition]
    codes: Mapping[str, int] = field(default_factory=dict)
    uid: int = 0
    """Whose the machine's files are."""
    warns: str = ""
    """A warning that `pull` gives."""


def every(code: int, but: str = "") -> dict[str, int]:
    """All commands end with a code; all but those that print for people, or `but` one."""
    return {name: code for name, words in COMMANDS.items() if name != but and "--json" in words}


def stranger(**env: str | None) -> Condition:
    return on.as_user(NOBODY_KNOWS, **{"HOME": None, **NO_XDG, **env})


def few_processes(uid: int, count: int) -> Condition:
    return on.as_user(uid, HOME=None, **NO_XDG) + on.limited(nproc=count)


def in_read_only_root(machine: Machine) -> Condition:
    """As by `docker run --read-only` with a volume for the cache: there is no temporary folder."""
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro / && shift && exec "$@"'
    return Condition(("unshare", "--mount", "sh", "-c", script, "sh", str(machine.hf_home)), NO_XDG)


ROWS: Mapping[str, Row] = {
    "nothing": Row(lambda machine, shut: on.PLAIN),
    # Users
    "a uid without an entry": Row(lambda machine, shut: stranger(), uid=NOBODY_KNOWS),
    "only a config folder": Row(
        lambda machine, shut: stranger(XDG_CONFIG_HOME=str(machine.folder / "config")), uid=NOBODY_KNOWS
    ),
    "the home of another": Row(
        lambda machine, shut: stranger(HOME=str(shut)), uid=NOBODY_KNOWS, warns="settings-unreadable"
    ),
    # Working directories
    "a closed working directory": Row(
        lambda machine, shut: on.inside(shut) + stranger(), uid=NOBODY_KNOWS, warns="settings-unreadable"
    ),
    "a working directory that is gone": Row(
        lambda machine, shut: on.in_removed_folder(machine.folder), warns="no-working-directory"
    ),
    # Streams
    "no stdin": Row(lambda machine, shut: on.closed(0)),
    "no stdout": Row(lambda machine, shut: on.closed(1), every(74)),
    "no stderr": Row(lambda machine, shut: on.closed(2)),
    "no streams": Row(lambda machine, shut: on.closed(0, 1, 2), every(74)),
    "a full stdout": Row(lambda machine, shut: on.redirected(">/dev/full"), dict.fromkeys(COMMANDS, 74)),
    "a full stderr": Row(lambda machine, shut: on.redirected("2>/dev/full")),
    # Locales
    "ASCII": Row(lambda machine, shut: on.in_locale("C")),
    "POSIX": Row(lambda machine, shut: on.in_locale("POSIX", PYTHONUTF8=None)),
    "GBK": Row(lambda machine, shut: on.gbk(shut.parent / "locales")),
    # Limits
    "64 open files": Row(lambda machine, shut: on.limited(nofile=64), {"pull": 74}),
    "20 open files": Row(lambda machine, shut: on.limited(nofile=20), {"pull": 74}),
    # The limit counts all processes of a user, so nobody else may be this one, and one command runs at a time.
    "4 processes": Row(lambda machine, shut: few_processes(ALONE, 4), {"pull": 75}, uid=ALONE),
    "12 processes": Row(lambda machine, shut: few_processes(ALONE + 1, 12), uid=ALONE + 1),
    "files of 100 kB": Row(lambda machine, shut: on.limited(fsize=100_000), {"pull": 73}),
    # Mounts
    "a read-only root": Row(lambda machine, shut: in_read_only_root(machine)),
    "a read-only cache": Row(lambda machine, shut: on.read_only(machine.hf_home), {"pull": 73}),
}
MOUNTS = ("a read-only root", "a read-only cache")


@pytest.fixture
def shut(open_place: Path) -> Path:
    folder = open_place / "shut"
    folder.mkdir(mode=0o700)
    return folder


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.sampled(8)
def test_every_command_ends_as_it_should_under(
    name: str, machine: Machine, make_hub: MakeHub, shut: Path, seed: int, is_long: bool
) -> None:
    row = ROWS[name]
    if (row.uid or name in MOUNTS) and os.geteuid() != 0:
        pytest.skip("only root may become another user, or mount")
    make_hub(HERE, FURTHER)
    machine.pull("org/here").ended(0)
    if row.uid:
        on.give(machine.folder, row.uid)
    condition = row.make(machine, shut)

    def start(command: str) -> Running:
        words = [machine.root if word == "ROOT" else word for word in COMMANDS[command]]
        return machine.start(*words, **condition.options)

    first = start("pull").end()
    further = [command for command in COMMANDS if command != "pull"]
    if not is_long:
        further = Random(f"{seed}/{name}").sample(further, FURTHER_COMMANDS)
    if row.uid >= ALONE:
        found = {command: start(command).end() for command in further}
    else:
        rest = {command: start(command) for command in further}
        found = {command: running.end() for command, running in rest.items()}
    found["pull"] = first
    codes = {command: done.code for command, done in found.items()}
    wanted = {command: row.codes.get(command, 0) for command in codes}
    assert codes == wanted, "\n".join(
        f"{command}: {done.code}\n{done.out[-1500:]}\n{done.err[-1500:]}"
        for command, done in found.items()
        if done.code != wanted[command]
    )
    if row.warns:
        assert row.warns in first.warnings
    if first.code == 0:
        names = {path.name for path in (machine.cache / "models--org--further").rglob("snapshots/*/sub/*")}
        assert names == {"名字 é.txt"}
