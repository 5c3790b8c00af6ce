"""Standard streams that are closed, full or not read: the work is done, and they are never a file of ours."""

from __future__ import annotations

import locale
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub.repos import Repo
from tests.machine import conditions as on
from tests.machine.conditions import Condition
from tests.machine.fixtures import MakeHub
from tests.machine.machine import REPOSITORY, Machine
from tests.machine.test_matrix import COMMANDS, HERE

FILES = {"config.json": b"{}"}


@pytest.mark.parametrize("streams", [(0,), (1,), (2,), (0, 1, 2)])
def test_a_closed_stream_is_the_null_device_for_us_and_our_children(
    machine: Machine, make_hub: MakeHub, repo: Repo, streams: tuple[int, ...]
) -> None:
    make_hub(repo)
    seen = machine.folder / "seen"
    hook = f"for p in self $PPID; do for n in 0 1 2; do readlink /proc/$p/fd/$n; done; done > {seen}"
    machine.run("pull", "--root", machine.root, "org/m", "--on-change", hook, **on.closed(*streams).options).ended(0)
    ours = seen.read_text().split("\n")
    of_hook, of_pull = ours[:3], ours[3:6]
    assert [of_pull[number] for number in streams] == ["/dev/null"] * len(streams)
    # A hook reads nothing, and its output goes where our messages go. `readlink` itself has the file as its stdout.
    assert (of_hook[0], of_hook[2]) == ("/dev/null", of_pull[2])


def test_a_list_from_a_closed_stdin(machine: Machine) -> None:
    done = machine.run("pull", "--json", "-f", "-", **on.closed(0).options).ended(2)
    assert "standard input is closed" in done.error["message"]


def test_json_to_a_closed_stdout_is_an_error_in_words(machine: Machine) -> None:
    done = machine.run("cache", "ls", "--json", **on.closed(1).options).ended(74)
    assert "standard output is closed" in done.err
    assert "Traceback" not in done.err


TOLD = ("sh", "-c", 'read -r go && exec "$@"', "sh")
"""Starts the command once a line was written to it."""
HELPS = (("mirrors", "ls"), ("--help",), ("pull", "--help"), ("--version",))


@pytest.mark.parametrize("words", [*COMMANDS.values(), *HELPS])
@pytest.mark.sampled(4)
def test_a_reader_that_left(machine: Machine, make_hub: MakeHub, words: tuple[str, ...]) -> None:
    make_hub(HERE)
    running = machine.start(*(machine.root if word == "ROOT" else word for word in words), under=TOLD)
    assert running.process.stdin
    assert running.process.stdout
    assert running.process.stderr
    running.process.stdout.close()
    running.process.stdin.write("go\n")
    running.process.stdin.flush()
    err = running.process.stderr.read()
    code = running.process.wait(60)
    assert code == 74, err
    assert "Traceback" not in err


def test_what_a_terminal_of_another_encoding_gets(gbk_locale: Condition) -> None:
    """A terminal gets its own encoding, what it cannot show is spelled out; a pipe gets UTF-8."""
    if not gbk_locale.env.get("LOCPATH"):
        pytest.skip("no GBK locale can be made here")
    code = (
        "import sys; from orchestrator.system import streams; streams.let_names_through(); "
        "print('\\u540d\\u20ac\\udcff', file=sys.stdout); print('\\u540d', file=sys.stderr)"
    )
    assert locale.getencoding()
    env = {name: text for name, text in {**os.environ, **gbk_locale.env}.items() if text is not None}
    env |= {"PYTHONPATH": str(REPOSITORY), "PYTHONUTF8": "1"}
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, env=env, check=True, capture_output=True).stdout == "名€".encode() + b"\xff\n"
    ours, theirs = pty.openpty()
    done = subprocess.run(command, env=env, check=True, stdout=theirs, stderr=subprocess.PIPE)
    os.close(theirs)
    assert os.read(ours, 100) == "名€".encode("gbk", "backslashreplace") + b"\\udcff\r\n"
    assert done.stderr == "名\n".encode()
    os.close(ours)


def test_a_program_that_embeds_us_is_told_in_words(machine: Machine, make_hub: MakeHub) -> None:
    """`main` starts nothing again and opens nothing: who calls it owns the process."""
    make_hub(HERE)
    code = "import sys; from orchestrator.cli.main import main; print('once'); sys.exit(main(sys.argv[1:]))"
    env = {**machine.env, **on.in_locale("C").env}
    done = subprocess.run(
        [sys.executable, "-c", code, "pull", "-q", "--root", machine.root, "org/here"],
        env={name: text for name, text in env.items() if text is not None},
        cwd=machine.work,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (78, "once\n")
    assert "PYTHONUTF8=1" in done.stderr
    assert not list(Path(machine.cache).rglob("refs/*"))
