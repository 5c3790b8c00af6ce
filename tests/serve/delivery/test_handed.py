"""The notes of what went out before its proof, over the life and death of servers."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from orchestrator.core.files import Algorithm, Digest
from orchestrator.serve.delivery.handed import Handed

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


def test_bytes_that_were_taken_back_are_suspect_after_the_proof_as_well(state: Path) -> None:
    handed = Handed(state)
    handed.begin(ONE, 3)
    assert handed.is_suspect(ONE, 4)
    assert not handed.begin(ONE, 4)
    handed.proven(ONE, 4)
    assert handed.is_suspect(ONE)


@pytest.mark.parametrize("is_proven_later", [False, True])
def test_a_doubt_ends_after_a_day(state: Path, is_proven_later: bool) -> None:
    now = [1000.0]
    handed = Handed(state, lambda: now[0])
    handed.begin(ONE, 3)
    if is_proven_later:
        handed.proven(ONE, 4)
    else:
        handed.doubt(ONE)
    now[0] += 86_399
    assert handed.is_suspect(ONE)
    assert not handed.begin(ONE, 7)
    now[0] += 1
    assert not handed.is_suspect(ONE)
    assert handed.begin(ONE, 7)
    handed.proven(ONE, 7)
    assert not handed.is_suspect(ONE)
    assert [*(state / "serve").iterdir()] == []


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
