"""scripts/bench-registry: it produces its table from real processes. No times are judged here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.registrylib.__main__ import BEGIN, END
from scripts.registrylib.reload import Reload, Sizes, rows
from tests.tables import written

DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"


@pytest.mark.sampled(1, of="benchmarks")
def test_a_quick_run_writes_its_table(tmp_path: Path) -> None:
    text = written("scripts.registrylib", (BEGIN, END), tmp_path, "reload", "--quick", "--pushes", "2")
    assert re.search(r"^\| bytes moved / bytes changed \| 1\.0\d\d \|", text, re.MULTILINE), text


@pytest.mark.sampled(0)
def test_pushes_and_pulls_over_a_line_move_little_more_than_they_need(tmp_path: Path) -> None:
    words = ("transfer-large-line", "--quick", "--rounds", "1")
    text = written("scripts.registrylib", (BEGIN, END), tmp_path, *words)
    found = {
        (step, client): float(moved)
        for step, client, *_, moved in (line.strip("| ").split(" | ") for line in text.splitlines() if "-aria " in line)
    }
    assert set(found) == {
        *(("push", way) for way in ("glm-aria oci://", "glm-aria reg://")),
        *(("second push", way) for way in ("glm-aria oci://", "glm-aria reg://")),
        ("pull", "glm-aria oci://"),
    }
    assert all(0.99 < moved < 1.1 for moved in found.values()), text


def test_the_95th_of_a_hundred_is_judged() -> None:
    found = tuple(Reload(1.0, seconds / 10, 1.0, 100) for seconds in range(1, 21))
    table = {row[0]: row[1:] for row in rows(found, Sizes(changed=100))}
    assert table["end of push to flip, p95 s"] == ("1.90", "under 3", "yes")
    assert table["bytes moved / bytes changed"] == ("1.000", "at most 1.05", "yes")


def test_the_document_has_a_place_for_it() -> None:
    assert f"{BEGIN}\n" in DOCUMENT.read_text("utf-8")
    assert f"{END}\n" in DOCUMENT.read_text("utf-8")
