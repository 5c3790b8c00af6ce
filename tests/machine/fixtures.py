"""Fixtures for what else lives on a machine. Other folders of tests import them by name.

What needs no clean-up is in `tests/machine/conditions.py`.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.machine.conditions import NOBODY_KNOWS, Condition, gbk, open_folder
from tests.machine.foreign import Foreign
from tests.machine.users import OtherUser

MakeForeign = Callable[..., Foreign]


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that every user can reach."""
    with open_folder() as folder:
        yield folder


@pytest.fixture
def other_user() -> Iterator[OtherUser]:
    """A second user of this machine; skipped where there is no root."""
    if os.geteuid() != 0:
        pytest.skip("only root may become another user")
    with open_folder(NOBODY_KNOWS) as folder:
        user = OtherUser(NOBODY_KNOWS, folder)
        try:
            yield user
        finally:
            user.end()


@pytest.fixture
def make_foreign(tmp_path: Path) -> Iterator[MakeForeign]:
    """Makes an aria2 of the user's: `make_foreign("--header=X: y")`, `make_foreign(conf="max-download-result=0")`."""
    with ExitStack() as stack:

        def make(*words: str, conf: str = "", tls: tuple[Path, Path] | None = None) -> Foreign:
            made = Foreign(tmp_path / f"theirs-{secrets.token_hex(4)}", *words, conf=conf, tls=tls)
            stack.callback(made.end)
            return made

        yield make


@pytest.fixture
def foreign(make_foreign: MakeForeign) -> Foreign:
    """An aria2 of the user's, as people have it."""
    return make_foreign()


@pytest.fixture(scope="session")
def gbk_locale() -> Iterator[Condition]:
    """A locale of the encoding GBK, or of ASCII where none can be made."""
    with open_folder() as folder:
        yield gbk(folder)
