"""Every exit code of aria2's manual has a row, and the row leads where the contract's exit codes say."""

from __future__ import annotations

import pytest

from orchestrator.core.sources import RangeAnswer
from orchestrator.errors import GlmAriaError
from orchestrator.transfer.codes import TABLE, UNKNOWN, Remedy, of_answer, of_code, of_status

# From the manual's EXIT STATUS: what each number must become for the user.
EXIT_CODES = {
    1: 75, 2: 75, 3: 66, 4: 66, 5: 75, 6: 75, 7: 75, 8: 76, 9: 79, 10: 74, 11: 71, 12: 71, 13: 74, 14: 74, 15: 73,
    16: 73, 17: 74, 18: 73, 19: 75, 20: 76, 21: 76, 22: 75, 23: 76, 24: 77, 25: 76, 26: 76, 27: 76, 28: 71, 29: 75,
    30: 71, 31: 71, 32: 65,
}  # fmt: skip


def test_the_table_is_complete() -> None:
    assert set(TABLE) == set(range(1, 33)) == set(EXIT_CODES)
    assert {code: row.error.exit_code for code, row in TABLE.items()} == EXIT_CODES


@pytest.mark.parametrize("code", range(33))
def test_each_becomes_an_error_with_words(code: int) -> None:
    row = of_code(code)
    error = row.error(row.words)
    assert isinstance(error, GlmAriaError)
    assert error.exit_code != 70
    assert row.words
    assert row.remedy in Remedy


@pytest.mark.parametrize("code", [0, 33, 99, -1])
def test_others_are_unknown_and_tried_again(code: int) -> None:
    assert of_code(code) is UNKNOWN
    assert UNKNOWN.remedy is Remedy.AGAIN


def test_a_full_or_broken_disk_is_not_asked_twice() -> None:
    assert {code for code in TABLE if of_code(code).remedy is Remedy.STOP} == {9, 10, 14, 15, 16, 17, 18, 28, 30, 31}


@pytest.mark.parametrize(
    ("status", "exit_code", "then"),
    [
        (400, 76, Remedy.OTHER), (401, 77, Remedy.RENEW), (403, 77, Remedy.RENEW), (404, 66, Remedy.OTHER),
        (408, 75, Remedy.AGAIN), (410, 66, Remedy.OTHER), (416, 65, Remedy.OTHER), (418, 76, Remedy.OTHER),
        (429, 75, Remedy.WAIT), (500, 75, Remedy.AGAIN), (502, 75, Remedy.AGAIN), (503, 75, Remedy.WAIT),
        (504, 75, Remedy.AGAIN), (599, 76, Remedy.OTHER),
    ],
)  # fmt: skip
def test_a_status_has_its_row(status: int, exit_code: int, then: Remedy) -> None:
    told = of_code(22, f"The response status is not successful. status={status}")
    assert told == of_status(status)
    assert (told.error.exit_code, told.remedy) == (exit_code, then)


@pytest.mark.parametrize("status", range(400, 600))
def test_every_status_has_a_row_and_none_is_retried_for_ever(status: int) -> None:
    row = of_status(status)
    assert row.error.exit_code in (65, 66, 75, 76, 77)
    assert row.remedy is not Remedy.STOP


@pytest.mark.parametrize(
    ("response", "exit_code", "then"),
    [("0-999/1000", 76, Remedy.WHOLE), ("0-1000/1001", 65, Remedy.OTHER), ("5-14/1000", 76, Remedy.OTHER)],
)
def test_a_wrong_range_is_told_from_a_wrong_size(response: str, exit_code: int, then: Remedy) -> None:
    told = of_code(8, f"Invalid range header. Request: 10-19/1000, Response: {response}", size=1000)
    assert (told.error.exit_code, told.remedy) == (exit_code, then)


@pytest.mark.parametrize(
    ("answer", "exit_code", "then"),
    [
        (RangeAnswer(403), 77, Remedy.RENEW),
        (RangeAnswer(429), 75, Remedy.WAIT),
        (RangeAnswer(206, 1000, is_range=True), 75, Remedy.AGAIN),
        (RangeAnswer(206, 1001, is_range=True), 65, Remedy.OTHER),
        (RangeAnswer(206, 1000), 76, Remedy.OTHER),
        (RangeAnswer(200, 1000), 76, Remedy.WHOLE),
        (RangeAnswer(200, 81), 65, Remedy.OTHER),
        (RangeAnswer(206, 1000, is_range=True, is_encoded=True), 76, Remedy.OTHER),
        (RangeAnswer(206, 1000, is_range=True, has_length=False), 76, Remedy.WHOLE),
        (RangeAnswer(200, None, has_length=False), 76, Remedy.WHOLE),
    ],
)
def test_how_a_source_answered_when_asked_why(answer: RangeAnswer, exit_code: int, then: Remedy) -> None:
    told = of_answer(answer, 1000, TABLE[22])
    assert (told.error.exit_code, told.remedy) == (exit_code, then)
