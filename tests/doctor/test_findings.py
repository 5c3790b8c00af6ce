"""The rules over plain values: the order is that of the costs, and commands hold what they were measured with."""

from __future__ import annotations

import math
import subprocess
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.network.resolvers import NameServer, Reply
from orchestrator.core.sources import Source, parse_source
from orchestrator.doctor.facts import Facts, Freshness, SourceFacts
from orchestrator.doctor.findings import cost_text, findings, slows
from orchestrator.errors import SourcesDownError
from orchestrator.mirrors.probe import Probe
from orchestrator.mirrors.stats import Quarantine

ROOT = Source("root", "https://root.example.com", is_root=True)
MIRROR = Source("mirror", "https://mirror.example.com")
RATES = ((1, 30e6), (4, 50e6), (16, 60e6))
WELL_MEASURED = Probe(ROOT, latencies=(0.02,) * 3, ranges=True, http=("h2", "http/1.1"), rates=RATES, clock_offset=0.0)
GOOD = SourceFacts(ROOT, WELL_MEASURED, Freshness.FRESH)
WELL = Facts(10**10, (GOOD,), free=10**12, write_rate=500e6, aria2_version="1.37.0", aria2_features=("HTTPS",),
             open_files=(1024, 4096))  # fmt: skip


def measured(source: Source = ROOT, /, **changes: Any) -> SourceFacts:
    """A source that is well, but for `changes` of what was measured of it."""
    return replace(GOOD, source=source, probe=replace(WELL_MEASURED, source=source, **changes))


def codes(facts: Facts) -> list[str]:
    return [finding.code for finding in findings(facts)]


def test_nothing_is_found_where_all_is_well() -> None:
    assert codes(WELL) == []


@pytest.mark.parametrize(
    ("facts", "code", "cost"),
    [
        (replace(WELL, write_rate=10e6), "slow-disk", 1e10 / 10e6 - 1e10 / 60e6),
        (replace(WELL, max_speed=1_000_000), "max-speed", 1e4 - 1e10 / 60e6),
        (
            replace(WELL, sources=(replace(GOOD, proxy="http://p", direct=90e6),)),
            "slow-proxy",
            1e10 / 30e6 - 1e10 / 90e6,
        ),
        (replace(WELL, sources=(measured(latencies=(0.3,)),)), "far-sources", 12.0),
        (replace(WELL, sources=(measured(lost=1),)), "loss", 0.25 * 1e10 / 60e6),
        (replace(WELL, unreadable=("models--a--b",)), "unreadable-refs", 30.0),
        (replace(WELL, litter=10**9), "litter", 0.0),
        (replace(WELL, is_offline=True), "offline", math.inf),
        (replace(WELL, aria2_features=("GZip",)), "aria2-without-https", math.inf),
        (replace(WELL, free=10**9), "disk-full", math.inf),
        (replace(WELL, open_files=(100, 128)), "few-open-files", 1e10 / 60e6 * (192 / 68 - 1)),
    ],
)
def test_a_cause_and_its_cost(facts: Facts, code: str, cost: float) -> None:
    (finding,) = findings(facts)
    assert finding.code == code
    assert finding.cost == pytest.approx(max(cost, 600.0) if code == "few-open-files" else cost)


def test_the_dearest_comes_first() -> None:
    facts = replace(WELL, litter=10**9, max_speed=1000, aria2_version=None, sources=(measured(latencies=(0.3,)),))
    assert codes(facts) == ["no-aria2", "max-speed", "far-sources", "litter"]


def test_resolvers_that_lie_are_not_recommended() -> None:
    good, liar, slow = NameServer("1.1.1.1"), NameServer("9.9.9.9"), NameServer("8.8.8.8")
    replies = (
        Reply(None, "hub.example.com", ("8.8.4.4",), 0.5),
        Reply(liar, "hub.example.com", ("10.0.0.1",), 0.001),
        Reply(slow, "hub.example.com", ("8.8.4.4",), 0.4),
        Reply(good, "hub.example.com", ("8.8.4.4",), 0.02),
    )
    lying, lookup = findings(replace(WELL, replies=replies[:]))
    assert (lying.code, lookup.code) == ("lying-resolver", "slow-resolver")
    assert lying.command == "export GLM_ARIA_DNS_RESOLVERS=1.1.1.1,8.8.8.8"


def test_a_command_is_safe_to_type() -> None:
    name = "x'; rm -rf ~ #"
    bad = replace(measured(Source(name, MIRROR.url)), quarantine=Quarantine(0.0, "lied"))
    (finding,) = findings(replace(WELL, sources=(GOOD, bad)))
    assert finding.command == "glm-aria mirrors forgive 'x'\"'\"'; rm -rf ~ #'"


@pytest.mark.parametrize(
    ("spec", "host"), [("https://root.example.com", "root.example.com"), ("huggingface+http://[::1]:80/x", "::1")]
)
def test_the_command_past_a_proxy_names_the_host_as_one_word_of_a_shell(spec: str, host: str) -> None:
    (finding,) = findings(
        replace(WELL, sources=(replace(GOOD, source=parse_source(spec), proxy="http://p", direct=90e6),))
    )
    shell = ["sh", "-c", f'NO_PROXY=; {finding.command}; printf %s "$NO_PROXY"']
    assert subprocess.run(shell, capture_output=True, text=True, check=True).stdout == host


DOWN = SourceFacts(MIRROR, Probe(MIRROR, error=SourcesDownError("no route")))


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (replace(measured(MIRROR), state=Freshness.STALE), "stale-mirror"),
        (replace(measured(MIRROR), quarantine=Quarantine(0.0, "lied")), "quarantined"),
        (measured(MIRROR, ranges=False), "no-range"),
        (measured(MIRROR, http=("http/1.1",)), None),
        (measured(MIRROR, lost=3), "loss"),
        (DOWN, "source-down"),
        (replace(measured(MIRROR), state=Freshness.ABSENT), None),
    ],
)
def test_what_is_wrong_with_one_of_the_mirrors(source: SourceFacts, code: str | None) -> None:
    found = findings(replace(WELL, sources=(GOOD, source)))
    assert [finding.code for finding in found] == ([code] if code else [])
    assert all(finding.source == "mirror" for finding in found)


def test_without_any_answer_it_is_the_network() -> None:
    assert codes(replace(WELL, sources=(DOWN,))) == ["no-network"]


def test_a_clock_that_is_off_is_that_of_most_sources() -> None:
    good, off = GOOD, measured(clock_offset=7200.0)
    assert codes(replace(WELL, sources=(good, good, off))) == []
    (finding,) = findings(replace(WELL, sources=(good, off, off)))
    assert (finding.code, finding.cost, "behind" in finding.message) == ("clock-off", 3600.0, True)


def test_few_connections_are_named_with_those_that_are_faster() -> None:
    slow = measured(rates=((1, 1e6), (4, 4e6), (16, 16e6)))
    few = findings(replace(WELL, sources=(slow,), connections=4))[0]
    assert (few.code, few.command) == ("few-connections", "export GLM_ARIA_CONNECTIONS=16")
    assert "16 are enough" in few.message


def test_more_than_the_budget_is_advised_where_the_rate_still_grows_and_no_mirror_is_known() -> None:
    growing = ((1, 1e6), (4, 4e6), (16, 16e6), (64, 50e6))
    facts = replace(WELL, sources=(measured(rates=growing),))
    (more,) = findings(replace(facts, mirrors_hint="https://a https://b"))
    assert (more.code, more.command) == ("slow-connections", "export GLM_ARIA_MIRRORS='https://a https://b'")
    (more,) = findings(facts)
    assert more.command == "export GLM_ARIA_CONNECTION_BUDGET=128 GLM_ARIA_CONNECTIONS=64"


@pytest.mark.parametrize(
    "rates",
    [
        ((1, 1e6), (4, 4e6), (16, 5e6), (64, 5.1e6)),  # 16 fill the line
        ((1, 1e6), (4, 4e6), (16, 16e6)),  # a pull may open 64, and finds out
        ((1, 5e6), (4, 5e6)),
    ],
)
def test_what_a_pull_finds_out_by_itself_is_no_finding(rates: tuple[tuple[int, float], ...]) -> None:
    assert codes(replace(WELL, sources=(measured(rates=rates),), mirrors_hint="https://a")) == []


@pytest.mark.parametrize(
    ("changes", "is_slowed"),
    [
        ({}, False),
        ({"litter": 10**9}, False),
        ({"sources": (GOOD, measured(MIRROR, latencies=(0.3,)))}, False),
        ({"max_speed": 1_000_000}, True),
        ({"aria2_version": None}, True),
    ],
)
def test_what_costs_little_does_not_slow_a_download_down(changes: dict[str, Any], is_slowed: bool) -> None:
    facts = replace(WELL, **changes)
    assert slows(facts, findings(facts)) is is_slowed


GROWING = measured(rates=((1, 1e6), (4, 4e6), (16, 16e6), (64, 64e6)))


@pytest.mark.parametrize(
    ("size", "code"),
    [
        (10**9, "slow-connections"),
        (10**8, None),  # half a second could be had
    ],
)
def test_how_fast_one_source_is_gets_no_remark_where_nothing_slows_the_download_down(
    size: int, code: str | None
) -> None:
    facts = replace(WELL, size=size, sources=(GROWING,), litter=10**9)
    assert codes(facts) == ([code] if code else []) + ["litter"]
    assert slows(facts, findings(facts)) is (code is not None)


def test_more_connections_to_one_source_are_worth_less_where_others_send_too() -> None:
    alone = replace(WELL, sources=(GROWING,))
    (finding,) = findings(alone)
    assert finding.cost == pytest.approx(1e10 / 64e6 / 3)
    (finding,) = findings(replace(alone, sources=(GROWING, GROWING), together=128e6))
    assert finding.cost == pytest.approx(1e10 / 128e6 / 5)


@pytest.mark.parametrize(("cost", "text"), [(math.inf, "nothing can be fetched"), (0.0, "for your information")])
def test_a_cost_in_words(cost: float, text: str) -> None:
    assert cost_text(cost) == text
