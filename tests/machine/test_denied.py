"""An error of missing rights names the folder that denies them, however far above the file it lies."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.machine.conditions import needs_root
from tests.machine.machine import REPOSITORY
from tests.machine.users import OtherUser

TRY = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from orchestrator.system.failures import translate
found = {}
for path in sys.argv[2:]:
    try:
        os.makedirs(path) if path.endswith("/") else open(path, "a").close()
    except OSError as error:
        told = translate(error, "write", path)
        found[path] = [told.exit_code, told.message, told.hint]
print(json.dumps(found))
"""


def tell(user: OtherUser, *paths: str) -> Any:
    """What this user is told of trying to make each of these; one that ends with / is a folder."""
    return json.loads(user.python(TRY, REPOSITORY, *paths))


@needs_root
@pytest.mark.parametrize(
    ("path", "culprit", "does"),
    [
        ("open/closed/a/b/c/", "open/closed", "or ask root for"),
        ("open/dark/a/b", "open/dark", "or ask root for"),
        ("open/closed/file", "open/closed", "or ask root for"),
        ("open/mine/shut/file", "open/mine/shut", "chmod u+rwx"),
        ("open/mine/sudo/file", "open/mine/sudo", "sudo chown -R 424242"),
        ("open/theirs.txt", "open/theirs.txt", "or ask root for"),
        ("open/mine/with space/a/", "open/mine/with space", "chmod u+rwx '/"),
    ],
)
@pytest.mark.sampled(2)
def test_the_folder_that_denies_is_named(
    open_place: Path, other_user: OtherUser, path: str, culprit: str, does: str
) -> None:
    top = open_place / "open"
    for name, mode in (
        ("closed", 0o755),
        ("dark", 0o700),
        ("mine/shut", 0o555),
        ("mine/sudo", 0o755),
        ("mine/with space", 0o555),
    ):
        (top / name).mkdir(parents=True)
        (top / name).chmod(mode)
    (top / "theirs.txt").write_text("")
    for mine in (top / "mine", top / "mine" / "shut", top / "mine" / "with space"):
        os.chown(mine, other_user.uid, other_user.uid)
    slash = "/" if path.endswith("/") else ""
    ((code, message, hint),) = tell(other_user, f"{open_place / path}{slash}").values()
    assert code == 73
    assert str(top) in message
    owner = other_user.uid if "shut" in culprit or "space" in culprit else "root"
    assert hint.startswith(f"{open_place / culprit} belongs to {owner}")
    assert does in hint
    assert ("chown" in hint) == ("sudo" in culprit), "nobody takes what lies in folders of others"
