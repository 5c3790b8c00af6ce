"""The table of who may own, change and read what: a test for each row, and for each function that is asked."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.disk import access
from orchestrator.disk.access import (
    KEEPS_NAMES,
    NO_STRANGERS,
    NO_STRANGERS_WRITE,
    OURS,
    OURS_ALONE,
    OURS_TO_WRITE,
    Rule,
    belongs_to_others,
    others_who_may_exchange,
    others_who_may_read,
    others_who_may_write,
)
from tests.machine.fixtures import open_place  # noqa: F401 - a fixture

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
ME, ROOT, STRANGER, OWNER = 1000, 0, 4711, 2000
MODES = (0o700, 0o711, 0o744, 0o755, 0o770, 0o775, 0o777, 0o1700, 0o1777)


@pytest.fixture
def me(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: ME)


def found(uid: int, mode: int, kind: int = stat.S_IFDIR) -> os.stat_result:
    return os.stat_result((kind | mode, 1, 1, 1, uid, 4242, 0, 0, 0, 0))


def write(path: Path, text: str, mode: int = 0o644) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.usefixtures("me")
@pytest.mark.parametrize(
    ("rule", "owners", "modes"),
    [
        (OURS, {ME}, set(MODES)),
        (OURS_ALONE, {ME}, {0o700, 0o1700}),
        (OURS_TO_WRITE, {ME}, {0o700, 0o711, 0o744, 0o755, 0o1700}),
        (NO_STRANGERS, {ME, ROOT}, set(MODES)),
        (NO_STRANGERS_WRITE, {ME, ROOT}, {0o700, 0o711, 0o744, 0o755, 0o1700}),
        (KEEPS_NAMES, {ME, ROOT}, {0o700, 0o711, 0o744, 0o755, 0o1700, 0o1777}),
    ],
)
def test_a_row_of_the_table(rule: Rule, owners: set[int], modes: set[int]) -> None:
    kept = {(uid, mode) for uid in (ME, ROOT, STRANGER) for mode in MODES if rule.holds(found(uid, mode))}
    assert kept == {(uid, mode) for uid in owners for mode in modes}
    assert not rule.holds(found(OWNER, 0o700))
    assert rule.holds(found(OWNER, 0o700), (OWNER,)), "the owner of a cache is believed about its repos"
    assert not rule.holds(found(STRANGER, 0o700), (OWNER,))


def test_every_row_is_tested_here() -> None:
    assert {name for name, value in vars(access).items() if isinstance(value, Rule)} <= set(globals())


@pytest.mark.usefixtures("me")
@pytest.mark.parametrize("uid", [ME, ROOT, STRANGER])
def test_whose_a_file_is_says_nothing_of_its_mode(uid: int) -> None:
    assert {belongs_to_others(found(uid, mode, stat.S_IFREG)) for mode in MODES} == {uid == STRANGER}


@pytest.mark.usefixtures("me")
@pytest.mark.parametrize(
    ("uid", "mode", "writes", "exchanges"),
    [
        (ME, 0o755, None, None),
        (ROOT, 0o755, None, None),
        (STRANGER, 0o700, "another user", "another user"),
        (STRANGER, 0o1777, "another user", "another user"),  # the owner of a sticky folder may rename all in it
        (ME, 0o775, "by its group", "by its group"),
        (ME, 0o757, "every user", "every user"),
        (ROOT, 0o1777, "every user", None),
        (ME, 0o1775, "by its group", None),
    ],
)
def test_who_may_write_to_a_folder_and_who_may_rename_in_it(
    tmp_path: Path, uid: int, mode: int, writes: str | None, exchanges: str | None
) -> None:
    for judge, reason in ((others_who_may_write, writes), (others_who_may_exchange, exchanges)):
        said = judge(found(uid, mode), tmp_path)
        assert said is None if reason is None else said is not None and reason in said


@pytest.mark.usefixtures("me")
def test_of_a_symlink_only_the_owner_counts(tmp_path: Path) -> None:
    assert others_who_may_write(found(ME, 0o777, stat.S_IFLNK), tmp_path) is None
    assert others_who_may_write(found(STRANGER, 0o777, stat.S_IFLNK), tmp_path) is not None


def test_a_secret_is_read_by_whom_its_folders_let_in(tmp_path: Path, open_place: Path) -> None:  # noqa: F811
    file = write(open_place / "secret", "x", 0o644)
    assert others_who_may_read(file) == "every user may read it"
    file.chmod(0o600)
    assert others_who_may_read(file) is None
    (tmp_path / "shut").mkdir(mode=0o700)
    assert others_who_may_read(write(tmp_path / "shut" / "secret", "x", 0o644)) is None


@needs_root
@pytest.mark.parametrize(
    ("group", "users", "alone"),
    [
        ("me:x:5001:", "me:x:5001:5001::/:/bin/sh", True),
        ("me:x:5001:me,root", "me:x:5001:5001::/:/bin/sh", True),
        ("me:x:5001:you", "me:x:5001:5001::/:/bin/sh", False),
        ("me:x:5001:", "me:x:5001:5001::/:/bin/sh\nyou:x:5002:5001::/:/bin/sh", False),
        ("users:x:5001:", "me:x:5001:5001::/:/bin/sh", False),
        ("", "me:x:5001:5001::/:/bin/sh", False),
        ("me:x:5001:", "", False),
    ],
)
def test_a_umask_of_002_is_fine_with_a_private_group_only(
    tmp_path: Path,
    group: str,
    users: str,
    alone: bool,
    open_place: Path,  # noqa: F811
) -> None:
    """Real users and groups: /etc/passwd and /etc/group of a mount namespace."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    file = write(open_place / "file", "", 0o664)
    os.chown(file, 5001, 5001)
    for name, text in (("passwd", users), ("group", group)):
        write(tmp_path / name, f"root:x:0:{'0:root:/root:/bin/sh' if name == 'passwd' else ''}\n{text}\n")
    code = (
        "import os, sys, pathlib; from orchestrator.disk.access import others_who_may_write as judge\n"
        "os.setgid(5001); os.setuid(5001); path = pathlib.Path(sys.argv[1]); print(judge(path.stat(), path))"
    )
    binds = " && ".join(f"mount --bind {tmp_path / name} /etc/{name}" for name in ("passwd", "group"))
    ran = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f'{binds} && exec "$@"', "sh", sys.executable, "-c", code, file],
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode and "unshare" in ran.stderr:
        pytest.skip("mount namespaces are not allowed here")
    assert ran.returncode == 0, ran.stderr
    assert (ran.stdout.strip() == "None") is alone, ran.stdout


def test_an_acl_is_seen(tmp_path: Path) -> None:
    file = write(tmp_path / "x", "", 0o664)
    os.chown(file, os.geteuid(), os.getegid())
    before = others_who_may_write(file.stat(), file)
    if shutil.which("setfacl") is None or subprocess.run(["setfacl", "-m", "u:4711:rw", file], check=False).returncode:
        pytest.skip("no ACLs here")
    assert others_who_may_write(file.stat(), file) is not None
    assert before is None or os.geteuid() != 0
