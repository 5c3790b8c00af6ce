"""The rules over plain values: the order is that of the costs, and commands hold what they were measured with."""

from __future__ import annotations

import math
import subprocess
from dataclasses import replace

import pytest

from orchestrator.core.resolvers import NameServer, Reply
from orchestrator.doctor.findings import Facts, SourceFacts, findings

GOOD = SourceFacts("root", "https://root.example.com", True, 0.02, 0.0, ((1, 30e6), (4, 50e6), (16, 60e6)), True,
                   ("h2", "http/1.1"), 0.0, "fresh")  # fmt: skip
WELL = Facts(10**10, (GOOD,), free=10**12, write_rate=500e6, aria2_version="1.37.0", aria2_features=("HTTPS",),
             open_files=(1024, 4096))  # fmt: skip


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
        (replace(WELL, sources=(replace(GOOD, latency=0.3),)), "far-sources", 12.0),
        (replace(WELL, sources=(replace(GOOD, loss=0.25),)), "loss", 0.25 * 1e10 / 60e6),
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
    facts = replace(WELL, litter=10**9, max_speed=1000, aria2_version=None, sources=(replace(GOOD, latency=0.3),))
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
    (finding,) = findings(replace(WELL, sources=(GOOD, replace(GOOD, name=name, is_root=False, quarantine="lied"))))
    assert finding.command == "glm-aria mirrors forgive 'x'\"'\"'; rm -rf ~ #'"


@pytest.mark.parametrize(
    ("spec", "host"), [("https://root.example.com", "root.example.com"), ("huggingface+http://[::1]:80/x", "::1")]
)
def test_the_command_past_a_proxy_names_the_host_as_one_word_of_a_shell(spec: str, host: str) -> None:
    (finding,) = findings(replace(WELL, sources=(replace(GOOD, spec=spec, proxy="http://p", direct=90e6),)))
    shell = ["sh", "-c", f'NO_PROXY=; {finding.command}; printf %s "$NO_PROXY"']
    assert subprocess.run(shell, capture_output=True, text=True, check=True).stdout == host
