"""A large map in the state folder: cheap to change, whole after whatever happened, and read by older versions."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.disk.growing_state import GrowingState
from orchestrator.disk.state_file import read_state, write_state

LARGE = {f"{number:0>400x}": number for number in range(200)}
LATER = {f"{number:0>400x}": number for number in range(5000, 5010)}
per_example = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def state(folder: Path) -> GrowingState[int]:
    return GrowingState(folder / "map.json", folder, "entries", int)


def in_document(folder: Path) -> Mapping[str, int] | None:
    """What a version that knows no log reads."""
    return read_state(folder / "map.json", lambda data: dict(data["entries"]))


def replace_document(folder: Path, entries: Mapping[str, int]) -> None:
    """What such a version does when it writes."""
    write_state(folder / "map.json", folder, {"entries": entries}, durable=False)


def log(folder: Path) -> Path:
    return folder / "map.log"


def test_a_small_map_is_one_document(tmp_path: Path) -> None:
    state(tmp_path).change({"a": 1, "b": 2})
    state(tmp_path).change({"b": None, "c": 3})
    assert in_document(tmp_path) == state(tmp_path).read() == {"a": 1, "c": 3}
    assert not log(tmp_path).exists()


def test_a_change_of_a_large_map_is_appended_and_seen_by_all(tmp_path: Path) -> None:
    other = state(tmp_path)
    state(tmp_path).change(LARGE)
    assert other.read() == LARGE
    before = (tmp_path / "map.json").stat()
    gone = next(iter(LARGE))
    mine = state(tmp_path)
    for key, value in LATER.items():
        mine.change({key: value})
    mine.change({gone: None})
    assert (tmp_path / "map.json").stat().st_ino == before.st_ino
    right = {key: value for key, value in (LARGE | LATER).items() if key != gone}
    assert mine.read() == other.read() == state(tmp_path).read() == right


def test_nothing_is_written_for_no_change(tmp_path: Path) -> None:
    mine = state(tmp_path)
    mine.change(LARGE)
    mine.change({"new": 1})
    before = log(tmp_path).read_bytes()
    mine.change({"new": 1, "never there": None})
    assert log(tmp_path).read_bytes() == before


def test_settled_it_is_one_document_again(tmp_path: Path) -> None:
    mine = state(tmp_path)
    mine.change(LARGE)
    mine.change(LATER)
    assert in_document(tmp_path) == LARGE
    mine.settle()
    assert in_document(tmp_path) == mine.read() == LARGE | LATER
    assert not log(tmp_path).exists()
    seen = (tmp_path / "map.json").stat()
    mine.settle()
    assert (tmp_path / "map.json").stat() == seen


def test_each_entry_costs_the_same_however_many_there_are(tmp_path: Path) -> None:
    def written(count: int) -> int:
        """Bytes that were written for so many entries, one by one."""
        folder = tmp_path / str(count)
        folder.mkdir()
        mine, total, last = state(folder), 0, (0, 0)
        for number in range(count):
            mine.change({f"{number:0>200x}": number})
            document, size = (folder / "map.json").stat(), log(folder).stat().st_size if log(folder).exists() else 0
            is_new = document.st_ino != last[0]
            total += document.st_size if is_new else size - last[1]
            last = (document.st_ino, size)
        return total

    # The first 64 KiB are written anew each time; what comes after them is what grows.
    first, second, third = written(600), written(1200), written(2400)
    assert third - second < 2.5 * (second - first)


@pytest.mark.parametrize(
    "tail",
    [b"[", b'["x', b'["x",', b'["x",1]', b"\0" * 300, b"\xff\xfe\n", b'["x","y"]\n["z",3]\n', b"[3,4]\n", b"{}\n"],
)
def test_a_torn_end_is_left_out_and_mended(tmp_path: Path, tail: bytes) -> None:
    mine = state(tmp_path)
    mine.change(LARGE)
    mine.change(LATER)
    with log(tmp_path).open("ab") as file:
        file.write(tail)
    assert mine.read() == state(tmp_path).read() == LARGE | LATER
    mine.change({"after": 1})
    assert mine.read() == state(tmp_path).read() == LARGE | LATER | {"after": 1}


def test_what_an_older_version_dropped_does_not_come_back(tmp_path: Path) -> None:
    mine = state(tmp_path)
    mine.change(LARGE)
    mine.change(LATER)
    replace_document(tmp_path, LARGE)
    assert mine.read() == state(tmp_path).read() == LARGE
    mine.change({"after": 1})
    assert mine.read() == state(tmp_path).read() == LARGE | {"after": 1}


def test_a_kill_between_the_document_and_the_removal_of_its_log_harms_nothing(tmp_path: Path) -> None:
    mine = state(tmp_path)
    mine.change(LARGE)
    mine.change(LATER)
    left = log(tmp_path).read_bytes()
    mine.change({next(iter(LATER)): None})
    mine.settle()
    log(tmp_path).write_bytes(left)
    assert next(iter(LATER)) not in state(tmp_path).read()
    assert mine.read() == state(tmp_path).read() == in_document(tmp_path)


def test_it_is_removed_as_a_whole(tmp_path: Path) -> None:
    mine = state(tmp_path)
    mine.change(LARGE)
    mine.change(LATER)
    mine.remove()
    assert mine.read() == {}
    assert list(tmp_path.iterdir()) == []


STEPS = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.dictionaries(st.sampled_from([*list(LARGE)[:3], *LATER]), st.none() | st.integers(0, 9), max_size=3),
        st.sampled_from(["", "", "settle", "older"]),
    ),
    max_size=12,
)


@per_example
@given(steps=STEPS)
def test_two_that_share_it_agree_with_a_dict(tmp_path_factory: pytest.TempPathFactory, steps: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("map")
    both, model = (state(folder), state(folder)), dict(LARGE)
    both[0].change(LARGE)
    for who, changes, then in steps:
        both[who].change(changes)
        model |= changes
        model = {key: value for key, value in model.items() if value is not None}
        if then == "settle":
            both[who].settle()
        elif then == "older":
            replace_document(folder, model := dict(in_document(folder) or {}))
        assert both[who].read() == model
        assert both[1 - who].read() == model


@per_example
@given(
    text=st.binary(max_size=200)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda value: json.dumps(value).encode()),
    is_after=st.booleans(),
)
def test_any_log_at_all(tmp_path_factory: pytest.TempPathFactory, text: bytes, is_after: bool) -> None:
    folder = tmp_path_factory.mktemp("map")
    state(folder).change(LARGE)
    state(folder).change(LATER)
    log(folder).write_bytes(log(folder).read_bytes() + text if is_after else text)
    found = state(folder).read()
    assert LARGE.items() <= found.items() or is_after
    assert all(isinstance(key, str) and isinstance(value, int) for key, value in found.items())
    state(folder).change({"after": 1})
    assert state(folder).read()["after"] == 1
