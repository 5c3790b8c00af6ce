"""scripts/bench-links: it produces its table from checked results. No times are judged here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.layouts.known import TOOLS
from scripts.linkslib.__main__ import BEGIN, COPY, END, HARD, check
from tests.tables import written

DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def test_a_quick_run_writes_its_table_and_no_tool_takes_a_second_copy(tmp_path: Path) -> None:
    text = written("scripts.linkslib", (BEGIN, END), tmp_path, "--quick", "--rounds", "1")
    disk = {
        way: float(share)
        for way, share in re.findall(r"^\| (\S.*?) \| \d.* \| ([\d.]+) \| \d+ \|$", text, re.MULTILINE)
    }
    assert set(disk) == {COPY, HARD, *(tool.name for tool in TOOLS)}
    assert disk.pop(COPY) > 1.9
    assert max(disk.values()) <= 1.02


def test_other_bytes_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"other")
    with pytest.raises(RuntimeError, match="other files"):
        check(tmp_path, {b"digest"}, is_whole=False)


def test_the_document_has_a_place_for_it() -> None:
    assert f"{BEGIN}\n" in DOCUMENT.read_text("utf-8")
    assert f"{END}\n" in DOCUMENT.read_text("utf-8")
