"""The conditions themselves: a test under one that is not what it says would hold nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.machine import conditions
from tests.machine.conditions import NOBODY_KNOWS, Condition, needs_root
from tests.machine.fixtures import MakeForeign
from tests.machine.users import OtherUser

LOOK = """
import errno, json, locale, os, pwd, resource, sys
def tried(what, *arguments):
    try: what(*arguments)
    except OSError as error: return errno.errorcode[error.errno]
    except KeyError: return "KeyError"
report = open(sys.argv[1], "w")
json.dump({
    "uid": os.getuid(),
    "entry": tried(pwd.getpwuid, os.getuid()),
    "cwd": tried(os.getcwd),
    "streams": [tried(os.fstat, number) for number in range(3) if number != report.fileno()],
    "write": tried(os.mkdir, sys.argv[2]),
    "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    "home": os.environ.get("HOME"),
    "encoding": locale.getencoding(),
    "file_names": sys.getfilesystemencoding(),
    "library": os.__file__,
}, report)
"""


def look(condition: Condition, place: Path) -> Any:
    """What a program finds under `condition`; it tries to make a folder in `place/folder`."""
    folder, report = place / "folder", place / "report"
    folder.mkdir(exist_ok=True)
    report.touch()
    report.chmod(0o666)
    place.chmod(0o777)
    env = {name: value for name, value in {**os.environ, **condition.env}.items() if value is not None}
    command = [*condition.under, sys.executable, "-c", LOOK, str(report), str(folder / "made")]
    subprocess.run(command, check=True, env=env, timeout=30)
    return json.loads(report.read_text())


@needs_root
def test_another_user_has_no_entry_and_no_home(open_place: Path) -> None:
    seen = look(conditions.as_user(NOBODY_KNOWS) + conditions.NO_HOME, open_place)
    assert seen["library"] == os.__file__
    assert (seen["uid"], seen["entry"], seen["home"], seen["write"]) == (NOBODY_KNOWS, "KeyError", None, "EACCES")


@needs_root
def test_another_user_tries_things(other_user: OtherUser) -> None:
    assert other_user.python("import os; print(os.getuid(), os.getgroups())") == f"{NOBODY_KNOWS} []\n"
    (waiting := other_user.start("sleep", "60")).kill()
    assert waiting.wait(10) < 0


@pytest.mark.parametrize("streams", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_streams_are_closed(open_place: Path, streams: tuple[int, ...]) -> None:
    # The report takes the lowest number that is free; the rest must be as they are said to be.
    seen = look(conditions.closed(*streams), open_place)["streams"]
    assert seen.count("EBADF") == len(streams) - 1


def test_a_full_stream_is_open(open_place: Path) -> None:
    assert look(conditions.redirected(">/dev/full"), open_place)["streams"] == [None, None, None]


def test_a_limit_holds_for_the_command(open_place: Path) -> None:
    assert look(conditions.limited(nofile=77), open_place)["files"] == 77


def test_a_read_only_mount_takes_no_folder(open_place: Path) -> None:
    (open_place / "folder").mkdir()
    assert look(conditions.read_only(open_place / "folder"), open_place)["write"] == "EROFS"


def test_a_mount_is_seen_by_the_command_alone(open_place: Path) -> None:
    (open_place / "folder").mkdir()
    assert look(conditions.mounted(open_place / "folder"), open_place)["write"] is None
    assert not (open_place / "folder" / "made").exists()


def test_a_removed_working_directory_is_gone(open_place: Path) -> None:
    assert look(conditions.in_removed_folder(open_place), open_place)["cwd"] == "ENOENT"


def test_a_locale_sets_the_encoding_of_names(open_place: Path, gbk_locale: Condition) -> None:
    assert look(conditions.in_locale("C"), open_place)["file_names"] == "ascii"
    seen = look(gbk_locale, open_place)
    assert (seen["encoding"].lower(), seen["file_names"]) in [("gbk", "gbk"), ("ansi_x3.4-1968", "ascii")]


def test_an_aria2_of_the_users(make_foreign: MakeForeign) -> None:
    made = make_foreign("--split=7", conf="max-download-result=0\n")
    options = made.call("aria2.getGlobalOption")
    assert (options["split"], options["max-download-result"]) == ("7", "0")
