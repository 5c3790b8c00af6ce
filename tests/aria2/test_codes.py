"""Every exit code of aria2's manual has a row, and the row leads where the contract's exit codes say."""

from __future__ import annotations

import pytest

from orchestrator.aria2.codes import TABLE, UNKNOWN, Then, meaning
from orchestrator.errors import GlmAriaError

# From the manual's EXIT STATUS: what each number must become for the user.
EXIT_CODES = {
    1: 75, 2: 75, 3: 66, 4: 66, 5: 75, 6: 75, 7: 75, 8: 76, 9: 79, 10: 74, 11: 71, 12: 71, 13: 74, 14: 74, 15: 73,
    16: 73, 17: 74, 18: 73, 19: 69, 20: 76, 21: 76, 22: 75, 23: 76, 24: 77, 25: 76, 26: 76, 27: 76, 28: 71, 29: 75,
    30: 71, 31: 71, 32: 65,
}  # fmt: skip


def test_the_table_is_complete() -> None:
    assert set(TABLE) == set(range(1, 33)) == set(EXIT_CODES)
    assert {code: row.error.exit_code for code, row in TABLE.items()} == EXIT_CODES


@pytest.mark.parametrize("code", range(33))
def test_each_becomes_an_error_with_words(code: int) -> None:
    row = meaning(code)
    error = row.error(row.words)
    assert isinstance(error, GlmAriaError)
    assert error.exit_code != 70
    assert row.words
    assert row.then in Then


@pytest.mark.parametrize("code", [0, 33, 99, -1])
def test_others_are_unknown_and_tried_again(code: int) -> None:
    assert meaning(code) is UNKNOWN
    assert UNKNOWN.then is Then.RETRY


def test_a_full_or_broken_disk_is_not_asked_twice() -> None:
    assert {code for code in (9, 15, 16, 17, 18) if meaning(code).then is Then.STOP} == {9, 15, 16, 17, 18}
