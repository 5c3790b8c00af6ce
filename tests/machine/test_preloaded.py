"""Commands that are forked from a process that has the program loaded: nobody could tell them from others."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.called import called
from tests.machine.conditions import in_locale
from tests.machine.fixtures import MakeHub
from tests.machine.machine import Machine
from tests.machine.preloaded import Child, Preloaded, preloaded

NEW_PART = ("env", "--")
"""A program that starts the command: then it cannot be forked."""


@pytest.fixture
def loaded(machine: Machine) -> Preloaded:
    found = preloaded(machine.env)
    if found is None:
        pytest.skip("commands are started anew")
    return found


@pytest.mark.parametrize(
    "words",
    [
        ("--version",),
        ("pull", "--help"),
        ("no-such-command",),
        ("config", "show", "--json"),
        ("pull", "名字"),
        ("render", "gitconfig"),
    ],
)
@pytest.mark.sampled(2)
def test_a_fork_and_a_start_say_the_same(loaded: Preloaded, machine: Machine, words: tuple[str, ...]) -> None:
    (machine.work / "glm-aria.toml").write_text("[cache]\nkeep_free = 7\n")
    forked, started = machine.start(*words), machine.start(*words, under=NEW_PART)
    assert isinstance(forked.process, Child)
    assert isinstance(started.process, subprocess.Popen)
    one, other = forked.end(), started.end()
    assert (one.code, one.out, one.err) == (other.code, other.out, other.err)
    assert one.out + one.err


def test_a_fork_reads_its_stdin(loaded: Preloaded, machine: Machine) -> None:
    told = [machine.run("lock", "check", "/dev/stdin", stdin="no lock", under=under).err for under in ((), NEW_PART)]
    assert told[0] == told[1] != ""


def test_a_fork_ends_by_the_signal_it_gets(loaded: Preloaded, machine: Machine, make_hub: MakeHub) -> None:
    hub = make_hub(Repo("model", "org/m", {"a.bin": b"x" * 100_000}), cdn_shape=Shape(total_rate=1000))
    for number, code in ((signal.SIGKILL, -9), (signal.SIGTERM, 143)):
        running = machine.start_pull("org/m")
        assert isinstance(running.process, Child)
        assert os.getsid(running.pid) == running.pid
        assert hub.log.wait_for(lambda log: log.bytes_sent(face="cdn") > 0)
        with pytest.raises(subprocess.TimeoutExpired):
            running.process.communicate(0)
        running.signal(number)
        running.end().ended(code)
        hub.log.reset()


def test_a_shell_calls_one(loaded: Preloaded, machine: Machine, make_hub: MakeHub, tmp_path: Path) -> None:
    hub = make_hub(Repo("model", "org/m", {"a.bin": b"x" * 100_000}), cdn_shape=Shape(total_rate=1000))
    program = tmp_path / "bin" / "glm-aria"
    script = f"""
        echo no lock | {program} lock check /dev/stdin; echo $?
        {program} pull --root {machine.root} org/m & read from_the_test; kill $!; wait $!; echo $?
    """
    with called(program, machine.env):
        shell = subprocess.Popen(
            ["sh", "-c", script], env=machine.env, cwd=machine.work, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert hub.log.wait_for(lambda log: log.bytes_sent(face="cdn") > 0, 30)
        out, _ = shell.communicate("now\n", 30)
    assert out.split() == ["2", "143"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640)])
def test_a_fork_has_the_umask_of_the_test(loaded: Preloaded, machine: Machine, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        machine.run("render", "gitconfig", "-o", "made").ended(0)
    finally:
        os.umask(before)
    assert (machine.work / "made").stat().st_mode & 0o777 == mode


def test_a_fork_has_no_more_memory_than_it_may(loaded: Preloaded, machine: Machine) -> None:
    (machine.work / "models.txt").symlink_to("/dev/zero")
    assert machine.run("pull", "-f", "models.txt", memory=1 << 28).code not in (0, 1)


def test_what_python_reads_at_its_start_is_a_reason_to_start_anew(loaded: Preloaded, machine: Machine) -> None:
    assert loaded.serves(machine.env | {"GLM_ARIA_ROOT": "x", "TZ": "Asia/Shanghai"})
    assert not loaded.serves(machine.env | {"PYTHONHASHSEED": "1"})
    assert not loaded.serves({name: value for name, value in machine.env.items() if name != "PYTHONUTF8"})
    running = machine.start("--version", env=in_locale("C").env)
    assert isinstance(running.process, subprocess.Popen)
    running.end().ended(0)
