"""scripts/bench-fleet: it produces its tables from checked results. No times are judged here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.fleetlib.__main__ import ALONE, BEGIN, END, block
from scripts.fleetlib.cases import CASES
from scripts.fleetlib.runs import Taken
from tests.fleet.lab import missing
from tests.tables import written

DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"


@pytest.mark.sampled(1, of="benchmarks")
def test_a_quick_run_writes_its_table(tmp_path: Path) -> None:
    if reason := missing():
        pytest.skip(reason)
    way = "hf by nginx relay"
    text = written("scripts.fleetlib", (BEGIN, END), tmp_path, "four", "--quick", "--rounds", "1", "--only", way)
    (egress,) = re.findall(rf"^\| {way} \| [^|]+ \| [^|]+ \| ([\d.]+) ", text, re.MULTILINE)
    assert 1 <= float(egress) < 1.1


def test_ratios_are_those_to_the_ideal_or_to_one_node_alone() -> None:
    runs = {"hf": [Taken(20, 4, 0, 9), Taken(30, 4, 0, 9)], "fleet": [Taken(6, 1.01, 0.75, 8)] * 2}
    text = block(CASES[0], 5, runs, "Made by hand")
    assert "| hf | 25.00 (20.00-30.00) | 5.00 (4.00-6.00) | 4.00 (4.00-4.00) |  | 9.0 |" in text
    assert "| fleet | 6.00 (6.00-6.00) | 1.20 (1.20-1.20) | 1.01 (1.01-1.01) | 0.750 | 8.0 |" in text
    beside = block(CASES[-1], 5, {ALONE: [Taken(10, 1, 0, 1), Taken(15, 1, 0, 1)], **runs}, "Made by hand")
    assert "seconds / one node alone" in beside
    assert "| hf | 25.00 (20.00-30.00) | 2.00 (2.00-2.00) |" in beside


def test_the_document_has_a_place_for_it() -> None:
    assert f"{BEGIN}\n" in DOCUMENT.read_text("utf-8")
    assert f"{END}\n" in DOCUMENT.read_text("utf-8")
