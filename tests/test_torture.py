"""The table of scripts/torture adds up what the tests said, and gets into its document."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from scripts.torturelib.__main__ import DOCUMENT, SUITES
from scripts.torturelib.report import BEGIN, END, read, render, write
from tests.conftest import sample

RESULTS = """<testsuites><testsuite>
<testcase classname="tests.crash.test_points" name="test_every_call[0]"><properties>
 <property name="crash:scenario" value="first"/><property name="crash:kind" value="kill"/>
 <property name="crash:points" value="3"/><property name="crash:recovered" value="3"/></properties></testcase>
<testcase classname="tests.crash.test_points" name="test_every_call[1]"><properties>
 <property name="crash:scenario" value="first"/><property name="crash:kind" value="kill"/>
 <property name="crash:points" value="4"/><property name="crash:recovered" value="3"/>
 <property name="crash:litter" value="1"/></properties><failure>x</failure></testcase>
<testcase classname="tests.crash.test_cost" name="test_killed"><properties>
 <property name="figure:killed" value="20.0%"/></properties><failure>too much</failure></testcase>
<testcase classname="tests.faults.test_table" name="test_fault[1 bit flip - root 0]"/>
<testcase classname="tests.faults.test_table" name="test_fault[1 bit flip - root 1]"/>
<testcase classname="tests.faults.test_table" name="test_other_fault"><failure>x</failure></testcase>
<testcase classname="tests.clients.test_loopback" name="test_one[hf-reset]"><properties>
 <property name="client" value="hf"/></properties></testcase>
<testcase classname="tests.fleet.test_failures" name="test_a_node_is_killed[0]"><properties>
 <property name="fleet:what" value="a node is killed"/><property name="fleet:ratio" value="1.234"/>
 <property name="fleet:egress" value="1.020"/><property name="fleet:peers" value="0.700"/></properties></testcase>
<testcase classname="tests.fleet.test_failures" name="test_a_node_is_killed[1]"><properties>
 <property name="fleet:what" value="a node is killed"/><property name="fleet:ratio" value="1.100"/>
 <property name="fleet:egress" value="1.220"/><property name="fleet:peers" value="0.800"/></properties>
 <failure>x</failure></testcase>
<testcase classname="tests.faults.test_table" name="test_14_a_wait[big0]"/>
<testcase classname="tests.faults.test_table" name="test_14_a_wait[small1]"><failure>x</failure></testcase>
</testsuite></testsuites>"""


def test_the_results_of_torture_are_a_table(tmp_path: Path) -> None:
    results = tmp_path / "results.xml"
    results.write_text(RESULTS)
    table = render(read(results), "scripts/torture --seed 7 ")
    lines = table.splitlines()
    assert lines[0].startswith("Made by `scripts/torture --seed 7` on ")
    assert "| a first pull | SIGKILL | 7 | 6 | 0 | 0 | 0 | 1 |" in lines
    assert "| **all** | SIGKILL | 7 | 6 | 0 | 0 | 0 | 1 |" in lines
    assert "| **all** | error | 0 | 0 | 0 | 0 | 0 | 0 |" in lines
    assert "| 1 bit flip | 2 | 2 | 0 |" in lines
    assert "| other fault | 1 | 0 | 1 |" in lines
    assert "| 14 a wait | 2 | 1 | 1 |" in lines
    assert "| hf | 1 | 1 | 0 |" in lines
    assert "| a node is killed | 2 | 1 | 1 | 1.23 | 1.22 | 0.70 |" in lines
    assert "| killed | 20.0% **failed** |" in lines


def test_a_suite_replaces_its_own_table(tmp_path: Path) -> None:
    document = tmp_path / "reliability.md"
    begin, end = BEGIN.format("cost"), END.format("cost")
    others = f"{BEGIN.format('crash')}\nkept\n{END.format('crash')}"
    document.write_text(f"# Title\n{others}\n{begin}\nold\n{end}\nrest\n")
    for _ in range(2):
        write(document, "cost", "new\n")
        assert document.read_text() == f"# Title\n{others}\n{begin}\nnew\n{end}\nrest\n"


def test_every_suite_has_its_place() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert all(BEGIN.format(suite) in text and END.format(suite) in text for suite in SUITES)


@dataclass(frozen=True, eq=False)
class Row:
    """A test with a mark, or without one."""

    nodeid: str
    mark: pytest.Mark | None

    def get_closest_marker(self, name: str) -> pytest.Mark | None:
        return self.mark if self.mark and self.mark.name == name else None


def test_of_a_table_the_short_form_has_what_its_seed_draws() -> None:
    def drawn(seed: int) -> list[str]:
        table, never = (pytest.mark.sampled(count).mark for count in (3, 0))
        ones = [Row(f"one-{number}", pytest.mark.sampled(1, of="all").mark) for number in range(4)]
        items = [Row("plain", None), *(Row(f"row-{number}", table) for number in range(9)), Row("never", never), *ones]
        sample(cast(Any, items), seed)
        return [item.nodeid for item in items]

    kinds = [name.partition("-")[0] for name in drawn(7)]
    assert kinds == ["plain", "row", "row", "row", "one"]
    assert drawn(7) == drawn(7)
    assert len({name for seed in range(40) for name in drawn(seed)}) == 1 + 9 + 4
