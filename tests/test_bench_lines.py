"""scripts/bench-lines: what it makes of a line's counts, and a tiny run. No times are judged here."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.lineslib.__main__ import MARKS
from scripts.lineslib.cases import CASES, Case, choose, drawn
from scripts.lineslib.report import Measured, drawn_block
from scripts.lineslib.runs import Peer, Taken
from scripts.lineslib.watch import Timeline, read_pings
from tests.lines.emulator import Shape, missing
from tests.tables import written


def taken(seconds: float, came: float = 1) -> Taken:
    timeline = Timeline(0, 1, 1, 1)
    return Taken("", True, seconds, 1, 1, 1, came, 1, 50, 1, 0, 0, 0, timeline, None, None)


@pytest.mark.sampled(1, of="benchmarks")
def test_quick_run_writes_its_tables(tmp_path: Path) -> None:
    if reason := missing():
        pytest.skip(reason)
    figures = tmp_path / "figures.json"
    words = ["random", "--quick", "--rounds", "1", "--count", "1", "--only", "glm-aria:--connections 2,aria2c"]
    text = written("scripts.lineslib", MARKS, tmp_path, *words, "--json", str(figures))
    assert "'glm-aria:--connections 2,aria2c'" in text
    assert re.search(r"^\| random-1 \|", text, re.MULTILINE)
    runs = [run for case in json.loads(figures.read_text()) for run in case["runs"]]
    assert len(runs) == 2
    assert all(run["is_whole"] and run["came"] >= 1 and run["connections"] > 0 for run in runs)


def test_the_timeline_follows_from_what_came() -> None:
    came = [(0.0, 0), (1.0, 5), (2.0, 50), (3.0, 90), (5.0, 100)]
    found = Timeline.of(came, wall_s=6, rate=400)
    assert (found.first_s, found.tail_s) == (1, 3)
    assert found.filled == pytest.approx(0.85)
    assert found.tail_limit_s == pytest.approx(0.2)


def test_the_limit_is_the_content_at_the_rate_and_the_turns_before_it() -> None:
    case = Case("", "", "", (Shape(rate=50e6, delay_s=0.11),), dead_s=40)
    assert case.limit_s(160 << 20) == pytest.approx(29.6 + 40, abs=0.1)
    shared = replace(case, shapes=case.shapes * 3, access=Shape(rate=100e6))
    assert (case.line_rate, shared.line_rate) == (50e6, 100e6)


def test_lines_at_random_are_those_of_their_seed() -> None:
    assert drawn(7) == drawn(7) != drawn(8)
    for case in map(drawn, range(200)):
        assert 3e6 <= case.line_rate <= 700e6
        assert 1 <= len(case.shapes) <= 4
        assert all(0.01 <= shape.round_trip_s <= 0.3 and 0 <= shape.loss <= 0.03 for shape in case.shapes)


def test_random_lines_are_summed_up() -> None:
    found = [Measured(drawn(n), 1, {"glm-aria": [taken(n, 1 + n / 100)], "aria2c": [taken(4)]}) for n in (1, 2, 6)]
    assert "glm-aria: came/size at most 1.06; of aria2c's time 0.50 in the median, 1.50 at most" in drawn_block(
        found, "Made"
    )


def test_pings_are_read() -> None:
    text = "".join(f"64 bytes from 10.77.1.2: icmp_seq={n} ttl=64 time={n}.0 ms\n" for n in range(1, 101))
    assert read_pings(text).median_ms == pytest.approx(50.5)
    assert read_pings(text).p95_ms == pytest.approx(95.95)


@pytest.mark.parametrize("text", ["aria2c", "glm-aria:--connections 64", "curl:--limit-rate 1M -4"])
def test_a_peer_is_told_as_it_was_typed(text: str) -> None:
    assert Peer.read(text).typed == text


def test_what_is_unknown_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown case 'W99'"):
        choose(["W99"])
    for text in ("wget", "aria2c@../other"):
        with pytest.raises(ValueError, match="unknown peer"):
            Peer.read(text)
    assert len({case.name for case in CASES}) == len(CASES)
