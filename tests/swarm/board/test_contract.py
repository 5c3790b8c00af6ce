"""What holds of every board."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.swarm.board.interface import CHANGES, FleetBoard, Register
from orchestrator.swarm.board.memory import MemoryBoard

Make = Callable[[], FleetBoard]


def put(name: str, version: int | tuple[int, int] = 1, value: bytes = b"x", shelf: str = "fleet") -> Register:
    return Register(shelf, name, version if isinstance(version, tuple) else (0, version), value)


def test_a_new_board_has_nothing(another: Make) -> None:
    answer = another().exchange((), None)
    assert (answer.won, answer.news, answer.is_whole) == ((), (), True)


def test_an_empty_board_may_be_asked_again(another: Make) -> None:
    board = another()
    mark = board.exchange((), None).mark
    assert board.exchange((), mark).news == ()


def test_what_changed_lately_is_not_quiet(another: Make) -> None:
    board = another()
    first = board.exchange((put("a"),), None)
    assert first.is_quiet
    assert not board.exchange((), first.mark).is_quiet
    assert not another().exchange((), None).is_quiet


def test_others_are_told_what_was_put_and_we_are_not(another: Make) -> None:
    one, two = another(), another()
    at_one, at_two = one.exchange((put("a"),), None).mark, two.exchange((), None).mark
    told = one.exchange((put("b", value=b"\0\xff"), put("c", shelf="task:1")), at_one)
    assert told.won == (True, True)
    assert told.news == ()
    assert set(two.exchange((), at_two).news) == {put("b", value=b"\0\xff"), put("c", shelf="task:1")}


def test_who_comes_later_is_told_everything(another: Make) -> None:
    one = another()
    mark = one.exchange((put("a"), put("b")), None).mark
    one.exchange((put("a", 2, b"y"),), mark)
    late = another().exchange((), None)
    assert late.is_whole
    assert set(late.news) == {put("a", 2, b"y"), put("b")}


@pytest.mark.parametrize(
    ("first", "second"), [((0, 2), (0, 2)), ((0, 2), (0, 1)), ((1, 0), (0, 9)), ((2**62, 1), (2**62, 1))]
)
def test_no_register_goes_back(another: Make, first: tuple[int, int], second: tuple[int, int]) -> None:
    one, two = another(), another()
    assert one.exchange((put("a", first, b"first"),), None).won == (True,)
    told = two.exchange((put("a", second, b"second"), put("b", second, b"beside")), None)
    assert told.won == (False, True)
    assert put("a", first, b"first") in told.news


@pytest.mark.parametrize(("first", "second"), [((0, 9), (0, 10)), ((1, 2**62), (2, 0)), ((0, 15), (0, 16))])
def test_a_greater_version_is_taken(another: Make, first: tuple[int, int], second: tuple[int, int]) -> None:
    board = another()
    mark = board.exchange((put("a", first),), None).mark
    assert board.exchange((put("a", second),), mark).won == (True,)


def test_an_empty_value_takes_a_register_away(another: Make) -> None:
    one, two = another(), another()
    mark, at_two = one.exchange((put("a"),), None).mark, two.exchange((), None).mark
    assert one.exchange((put("a", 2, b""),), mark).won == (True,)
    assert put("a", 2, b"") in two.exchange((), at_two).news
    assert another().exchange((), None).news == ()
    assert two.exchange((put("a"),), at_two).won == (True,)


def test_changes_are_told_in_order_and_once(another: Make) -> None:
    one, two = another(), another()
    mark, at_two = one.exchange((), None).mark, two.exchange((put("two"),), None).mark
    for version in range(1, 6):
        mark = one.exchange((put("a", version),), mark).mark
    told = two.exchange((), at_two)
    assert [register.version for register in told.news] == [(0, version) for version in range(1, 6)]
    assert two.exchange((), told.mark).news == ()


def test_of_many_who_write_the_next_version_one_wins(another: Make) -> None:
    boards = [another() for _ in range(6)]
    marks = [board.exchange((put("lease"),), None).mark for board in boards]
    won: list[bool] = []
    line = threading.Barrier(len(boards))

    def take(index: int) -> None:
        line.wait(10)
        won.extend(boards[index].exchange((put("lease", 2, b"%d" % index),), marks[index]).won)

    threads = [threading.Thread(target=take, args=(index,)) for index in range(len(boards))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(won) == [False] * 5 + [True]


def test_who_is_too_far_behind_is_told_everything(another: Make) -> None:
    one, two = another(), another()
    at_two = two.exchange((put("old"),), None).mark
    mark = one.exchange((), None).mark
    for version in range(1, CHANGES * 2):
        mark = one.exchange((put("a", version),), mark).mark
    told = two.exchange((), at_two)
    assert told.is_whole
    assert set(told.news) == {put("old"), put("a", CHANGES * 2 - 1)}
    assert two.exchange((), told.mark).news == ()


def test_thousands_of_registers_in_one_exchange(another: Make) -> None:
    one, two = another(), another()
    at_two = two.exchange((put("z"),), None).mark
    puts = [put(f"n{index}", value=b"v" * 300, shelf=f"s{index % 7}") for index in range(5000)]
    assert all(one.exchange(puts, None).won)
    assert set(two.exchange((), at_two).news) == set(puts)
    assert set(another().exchange((), None).news) == {*puts, put("z")}


def test_a_long_value(another: Make) -> None:
    one, two = another(), another()
    at_two = two.exchange((put("z"),), None).mark
    lock = put("lock", value=bytes(range(256)) * (8 << 12))
    assert one.exchange((lock,), None).won == (True,)
    assert two.exchange((), at_two).news == (lock,)


@pytest.mark.parametrize(
    ("shelf", "name", "version", "value"),
    [
        ("", "a", (0, 1), b""),
        ("A b", "a", (0, 1), b""),
        ("a", "", (0, 1), b""),
        ("a", "n" * 513, (0, 1), b""),
        ("a", "a", (0, -1), b""),
        ("a", "a", (2**63, 0), b""),
        ("a", "a", (0, 1), bytes((8 << 20) + 1)),
    ],
    ids=range(7),
)
def test_what_no_board_can_hold(shelf: str, name: str, version: tuple[int, int], value: bytes) -> None:
    with pytest.raises(ValueError, match=r"register|shelf|version"):
        Register(shelf, name, version, value)


_puts = st.lists(
    st.lists(
        st.builds(
            put,
            st.sampled_from("abc"),
            st.integers(1, 4),
            st.sampled_from([b"x", b"y", b""]),
            st.sampled_from(["p", "q"]),
        ),
        max_size=4,
        unique_by=lambda made: (made.shelf, made.name),
    ),
    max_size=12,
)
_fleets = itertools.count()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(steps=_puts)
def test_both_boards_decide_the_same(another: Make, steps: list[list[Register]]) -> None:
    mine, model, follower = another(), MemoryBoard(), another()
    shelf = f"f{next(_fleets)}"
    mark, after = mine.exchange((), None).mark, model.exchange((), None).mark
    at = follower.exchange((), None).mark
    seen: dict[tuple[str, str], Register] = {}
    for step in steps:
        puts = [Register(shelf + one.shelf, one.name, one.version, one.value) for one in step]
        answer, wanted = mine.exchange(puts, mark), model.exchange(puts, after)
        assert answer.won == wanted.won
        mark, after = answer.mark, wanted.mark
    news = follower.exchange((), at)
    for register in news.news:
        seen[register.shelf, register.name] = register
    held = model.exchange((), None).news
    assert {one for one in seen.values() if one.value} == set(held)
