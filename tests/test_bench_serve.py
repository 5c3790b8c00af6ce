"""scripts/bench-serve: it produces its tables from checked results. No times are judged here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.servelib.__main__ import BEGIN, END, PARTS, block
from tests.tables import written

DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"


@pytest.mark.sampled(1, of="benchmarks")
def test_a_quick_run_writes_its_tables(tmp_path: Path) -> None:
    text = written("scripts.servelib", (BEGIN, END), tmp_path, "warm", "crowd", "run", "--quick", "--rounds", "1")
    assert re.findall(r"^### (\S+)", text, re.MULTILINE) == ["warm", "crowd", "run"]
    assert re.search(r"^\| 32 \| [\d. ()-]+ \| 1\.0\d ", text, re.MULTILINE), "a file was fetched more than once"


def test_a_part_is_a_table() -> None:
    text = block(PARTS[0], [("way", "seconds"), ("origin", "1.00")], "Made by hand")
    assert text.endswith("Made by hand.\n\n| way | seconds |\n|---|---|\n| origin | 1.00 |")


def test_the_document_has_a_place_for_it() -> None:
    assert f"{BEGIN}\n" in DOCUMENT.read_text("utf-8")
    assert f"{END}\n" in DOCUMENT.read_text("utf-8")
