"""Facts go to registers and back; what somebody else wrote is left out."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.files import MAX_FILE, Algorithm, Digest
from orchestrator.swarm.board.interface import Register
from orchestrator.swarm.control.messages import LeaseProgress, NodePhase, TaskReport
from orchestrator.swarm.control.scheduling.fact_codec import fact_of, key_of, register_of
from orchestrator.swarm.control.scheduling.facts import (
    AccusationFact,
    CancelFact,
    ClaimFact,
    DrainFact,
    Fact,
    FilesFact,
    HaveFact,
    LeaseFact,
    LockFact,
    NodeFact,
    ReportFact,
    RestFact,
    SchedulerFact,
)
from orchestrator.swarm.units import Bits, Unit
from orchestrator.swarm.view import NodeState

DIGEST = Digest(Algorithm.SHA256, "ab" * 32)
NODE = NodeFact(
    "n1", 7, "s1", 12, NodeState.READY, "http://n1:1", "z", True, True, True, 9, 2,
    ("t1",), ("n2", "n3"), (LeaseProgress("s1-1", 5, 6),), "rome", (Unit(DIGEST, 3, 4, 8),), "cache-1",
)  # fmt: skip
FACTS: list[Fact] = [
    NODE,
    SchedulerFact("s1"),
    DrainFact("n1", 7),
    LockFact("t1", "näme", "n*,zone=z", -2, True, "version = 1\n", "its seal", 1_800_000_000_000),
    ClaimFact("t1", "n1"),
    CancelFact("t1"),
    ReportFact("n1", 7, TaskReport("t1", NodePhase.FAILED, "no-space", 1, 2, 3, {"n2": 3})),
    FilesFact("t1", "n1", 7, Bits.of(1000, [0, 999])),
    FilesFact("t1", "n1", 7, Bits(0)),
    HaveFact(DIGEST, 10 << 20, "n1", 7, Bits.of(3, [1])),
    HaveFact(DIGEST, 10 << 20, "n1", 7, Bits(3), is_whole=True),
    LeaseFact(DIGEST, 3, "s1-1", "n1", 7, 4, 8),
    LeaseFact("t1", 0, "s1-2", "n1", 7),
    LeaseFact(DIGEST, 3, "s1-1", ""),
    RestFact("huggingface", 30, "n1"),
    AccusationFact(DIGEST, "n1", "mirror: http://m:1/x"),
]


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: type(fact).__name__)
def test_a_fact_is_read_as_it_was_written(fact: Fact) -> None:
    assert fact_of(register_of(fact, (7, 1))) == fact


def test_each_fact_has_a_register_of_its_own() -> None:
    keys = {key_of(fact) for fact in FACTS}
    assert len(keys) == len(FACTS) - 3  # two states of the files, of the pieces, and of a lease


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: type(fact).__name__)
@pytest.mark.parametrize(
    "value",
    [b"", b"x", b"[]", b"null", b"1e999", b"[" * 100_000, b"\xff" * 9, b"0" * 5000, b'["a"]', b'{"a":1}', b"-1", b"nan",
     b"\x00" * 8 + b"\x01", b"\xff" * 8, zlib.compress(b"[" + b" " * (40 << 20)), zlib.compress(b'["a","b",1,2,3]'),
     b'[["s","ready","a","z",""],[1,2,3,4,5,6],[0,0,0],["a b"],[],[]]', b'["i","n1",-1,0,0]', b'["i","n1",1e400,0,0]'],
    ids=range(19),
)  # fmt: skip
def test_what_is_no_fact_is_left_out(fact: Fact, value: bytes) -> None:
    found = fact_of(Register(*key_of(fact), (7, 1), value))
    assert found is None or key_of(found) == key_of(fact)


@pytest.mark.parametrize(
    ("shelf", "name", "value"),
    [
        ("fleet", "origin:x", b"1" + b"0" * 400),  # no float is as large
        (str(DIGEST), "have:n1", (2**63 - 1).to_bytes(8, "big")),  # a set of its pieces fills the memory
        (str(DIGEST), "have:n1", (MAX_FILE + 1).to_bytes(8, "big")),
        (str(DIGEST), "unit:0", b'["l1","n1",1,0,%d]' % (2**63 - 1)),
        (str(DIGEST), "unit:0", b'["l1","n1",1,8,4]'),
        ("task:t1", "files:n1", b"\xff" * 8),
    ],
    ids=range(6),
)
def test_a_value_that_would_end_a_scheduler_is_passed_over(shelf: str, name: str, value: bytes) -> None:
    assert fact_of(Register(shelf, name, (0, 1), value)) is None


@pytest.mark.parametrize(
    ("shelf", "name"),
    [("fleet", "other:x"), ("fleet", "node"), ("fleet", "node:a b"), ("fleet", "node:" + "n" * 65), ("task:", "lock"),
     ("task:t1", "report:../x"), ("sha256:ab", "have:n1"), ("sha256:" + "g" * 64, "have:n1"), ("other", "x"),
     (str(DIGEST), "unit:x"), (str(DIGEST), "unit:-1"), (str(DIGEST), "accused:n1"), (str(DIGEST), "accused::n1"),
     (str(DIGEST), "unit:" + "9" * 400)],
)  # fmt: skip
def test_names_of_no_fact(shelf: str, name: str) -> None:
    assert fact_of(Register(shelf, name, (0, 1), b'["i","n1",1,0,0]')) is None


@given(
    st.sampled_from([key_of(fact) for fact in FACTS]),
    st.binary(max_size=80) | st.from_regex(rb"[\[\]\",:0-9a-z.-]{0,60}", fullmatch=True),
)
def test_any_bytes_are_a_fact_or_none(key: tuple[str, str], value: bytes) -> None:
    found = fact_of(Register(*key, (7, 1), value))
    assert found is None or key_of(found) == key
