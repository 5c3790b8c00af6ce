"""The notes of what went out before its proof, over the life and death of servers."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from orchestrator.core.files import Algorithm, Digest
from orchestrator.serve.handed import Handed

ONE = Digest(Algorithm.SHA256, "1" * 64)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "stage").mkdir()
    return tmp_path


def test_a_proof_without_a_doubt_leaves_nothing(state: Path) -> None:
    handed = Handed(state)
    assert handed.begin(ONE, 3)
    assert not handed.is_suspect(ONE, 3)
    handed.proven(ONE, 3)
    assert not handed.is_suspect(ONE)
    assert [*(state / "serve").iterdir()] == []


def test_bytes_that_were_taken_back_are_suspect_for_ever(state: Path) -> None:
    handed = Handed(state)
    handed.begin(ONE, 3)
    assert handed.is_suspect(ONE, 4)
    assert not handed.begin(ONE, 4)
    handed.proven(ONE, 4)
    assert handed.is_suspect(ONE)


def test_a_server_that_died_in_the_middle(state: Path) -> None:
    """The next one may fetch other bytes than those that a client has."""
    Handed(state).begin(ONE, 1)
    again = Handed(state)
    assert again.is_suspect(ONE, 1)
    assert not again.begin(ONE, 1)
    again.proven(ONE, 1)
    assert again.is_suspect(ONE)


def test_a_note_counts_for_a_day(state: Path) -> None:
    Handed(state).begin(ONE, 1)
    (note,) = (state / "serve").iterdir()
    before = time.time() - 100_000
    os.utime(note, (before, before))
    assert not Handed(state).is_suspect(ONE)
    assert not note.exists()
