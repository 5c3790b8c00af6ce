"""Guesses: what became of them, and the file that keeps them."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.predict.forecast import HOUR
from orchestrator.predict.worth import SPAN
from orchestrator.serve.foresight.guesses import Guess, GuessFile, judged

NOW = 1e9
GUESS = Guess(NOW - HOUR, "org/m@main", "models--org--m", "c" * 40, 100)
KEY = GUESS.revision


@pytest.mark.parametrize(
    ("use", "is_here", "age", "was_used"),
    [
        (0.0, True, HOUR, None),
        (NOW - 2 * HOUR, True, HOUR, None),
        (NOW - 60, True, HOUR, True),
        (None, True, HOUR, True),
        (None, False, HOUR, None),
        (None, False, 3 * HOUR, False),
    ],
    ids=["nobody", "used before", "used since", "pulled", "on its way", "gone"],
)
def test_what_became_of_a_guess(use: float | None, is_here: bool, age: float, was_used: bool | None) -> None:
    guess = replace(GUESS, at=NOW - age)
    uses = {} if use is None else {KEY: use}
    (found,) = judged((guess,), uses, frozenset([KEY] if is_here else []), NOW)
    assert found.was_used is was_used


def test_what_was_judged_stays_and_what_is_old_goes() -> None:
    known, old = replace(GUESS, was_used=True), replace(GUESS, at=NOW - SPAN)
    assert judged((old, known), {KEY: 0.0}, frozenset([KEY]), NOW) == (known,)


def test_the_file_keeps_them_and_is_believed_only_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "stage").mkdir()
    file, path = GuessFile(tmp_path), tmp_path / "guesses.json"
    assert file.read() == ()
    file.write((GUESS, replace(GUESS, was_used=False)))
    assert file.read() == (GUESS, replace(GUESS, was_used=False))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for bad in ({"size": -1}, {"at": "1"}, {"was_used": 3}, {"model": None}):
        data = json.loads(path.read_text())
        data["guesses"][0] |= bad
        path.write_text(json.dumps(data))
        assert file.read() == ()
        file.write((GUESS,))
