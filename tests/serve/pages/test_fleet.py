"""A fleet on the page: what is summed, who has a place in the map, and what is not told."""

from __future__ import annotations

from orchestrator.serve.pages.fleet import OTHERS, OUTSIDE, SeenFleet, SeenShare, SeenTask, flow_map, rows_of


def task(shares: dict[str, SeenShare], size: int = 100, egress: int = 0, *, is_closed: bool = False) -> SeenTask:
    return SeenTask("t1", "org/name@main", "running", size, egress, is_closed=is_closed, shares=shares)


def test_the_map_has_who_sent_how_much_to_whom() -> None:
    one = task({"b": SeenShare("placed", 100, 60, {"a": 40}), "a": SeenShare("fetching", 90, 50, {"b": 40})})
    two = task({"b": SeenShare("placed", 100, 5, {"a": 7})})
    found = flow_map([one, two])
    assert (list(found.senders), list(found.receivers)) == ([OUTSIDE, "a", "b"], ["a", "b"])
    assert found.flows == [[50, 65], [0, 47], [40, 0]]


def test_a_fleet_without_bytes_has_no_map() -> None:
    assert flow_map([]).receivers == flow_map([task({})]).receivers == ()


def test_the_busiest_have_a_place_and_no_byte_is_left_out() -> None:
    shares = {f"n{number:03}": SeenShare("placed", 1, number, {f"n{number - 1:03}": 10}) for number in range(1, 50)}
    found = flow_map([task(shares)], most=5)
    assert list(found.senders) == [OUTSIDE, "n045", "n046", "n047", "n048", OTHERS]
    assert list(found.receivers) == ["n045", "n046", "n047", "n048", OTHERS]
    assert sum(map(sum, found.flows)) == sum(range(50)) + 490
    assert len(flow_map([task(shares)], most=50).receivers) == 50


def test_a_task_sums_its_nodes() -> None:
    shares = {
        "a": SeenShare("placed", 100, 0, {}),
        "b": SeenShare("fetching", 40, 0, {}),
        "c": SeenShare("placed", 101, 0, {}),
    }
    (row,) = rows_of(SeenFleet(tasks=(task(shares, egress=105),)), is_whole=True).tasks
    assert (row.name, row.phases, row.done, row.total, row.egress) == (
        "org/name@main",
        {"placed": 2, "fetching": 1},
        240,
        300,
        105,
    )


def test_the_name_of_what_is_closed_is_for_those_who_may_read_it() -> None:
    seen = SeenFleet(tasks=(task({}, is_closed=True),))
    assert [rows_of(seen, is_whole=is_whole).tasks[0].name for is_whole in (True, False)] == ["org/name@main", ""]


def test_egress_counts_tasks_that_have_begun() -> None:
    assert SeenFleet().ratio is None
    assert SeenFleet(tasks=(task({}), task({}, egress=105))).ratio == 1.05
