"""Metrics: what Prometheus reads is well formed, and no label has many values."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.core.files import Digest
from orchestrator.events import Evicted, FileProgress, Notice, Phase, SourceRates
from orchestrator.serve.http.exchange import Exchange, Presence
from orchestrator.serve.pages.condition import Check, Condition
from orchestrator.serve.pages.fleet import SeenFleet, SeenNode, SeenTask
from orchestrator.serve.pages.intake import Intake
from orchestrator.serve.pages.looking import Looks
from orchestrator.serve.pages.metrics import text_of
from orchestrator.serve.pages.traffic import Traffic
from orchestrator.upkeep.contents import Contents

BLOB = Digest.parse(f"sha256:{'a' * 64}")
FLEET = SeenFleet(
    (SeenNode("secret-node", "ready", "", "http://10.0.0.9:8092", 5, 1, 9, 0.1),),
    (SeenTask("t1", "org/secret-name", "running", 100, 105, is_closed=False, shares={}),
     SeenTask("t2", "org/secret-name", "submitted", 900, 0, is_closed=False, shares={})),
    {"ready": 1, "lost": 0},
)  # fmt: skip
LABELS = {"version", "face", "code", "found", "direction", "source", "result", "phase", "check", "le", "state"}


def busy() -> bytes:
    traffic, intake = Traffic(), Intake()
    for number, found in enumerate(Presence):
        one = Exchange(f"10.0.0.{number}", "GET", b"/org/secret-name/resolve/main/f", "hub", found=found)
        traffic.began(one)
        one.status, one.sent, one.first_byte, one.ended = 200, 100, one.began + 0.2, one.began + 1
        traffic.ended(one)
    intake.take(FileProgress(BLOB, "org/secret-name", Phase.FETCHING, 50, 100, 9, 2))
    intake.take(SourceRates((("root", 9.0, 2),), (("root", 75),)))
    intake.take(Notice("mirror-lied", "it lied about org/secret-name", mirror="liar"))
    condition = Condition((Check("cache", is_ok=True), Check("root", is_ok=False, is_needed=False)), 10, 20)
    intake.take(Evicted("org/secret-name@1", 70))
    return text_of(traffic, intake, Looks(condition, Contents("somewhere", (), 300, 40), FLEET, (), 1000))


def samples(text: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def of(text: bytes, name: str, **labels: str) -> float:
    return samples(text)[name, frozenset(labels.items())]


def test_what_was_counted_is_told() -> None:
    text = busy()
    assert of(text, "glm_aria_requests_total", face="hub", code="200") == 3
    assert of(text, "glm_aria_hits_total", found="hit") == of(text, "glm_aria_hits_total", found="arriving") == 1
    assert of(text, "glm_aria_misses_total") == 1
    assert of(text, "glm_aria_bytes_total", direction="out", source="clients") == 300
    assert of(text, "glm_aria_bytes_total", direction="in", source="root") == 75
    assert of(text, "glm_aria_egress_ratio") == 1.5
    assert of(text, "glm_aria_lies_total", source="liar") == of(text, "glm_aria_source_quarantined", source="liar") == 1
    assert of(text, "glm_aria_transfers", phase="fetching") == 1
    assert of(text, "glm_aria_first_byte_seconds_bucket", found="miss", le="0.1") == 0
    assert of(text, "glm_aria_first_byte_seconds_bucket", found="miss", le="0.25") == 1
    assert of(text, "glm_aria_first_byte_seconds_count", found="miss") == 1
    assert of(text, "glm_aria_ready") == 1
    assert of(text, "glm_aria_check", check="root") == 0
    assert of(text, "glm_aria_cache_bytes") == 300
    assert of(text, "glm_aria_cache_limit_bytes") == 1000
    assert of(text, "glm_aria_evicted_bytes_total") == 70


def test_wishes_are_told_by_model() -> None:
    text = text_of(Traffic(), Intake(), Looks(wanted=((("org/m@main", "hit"), 3),)))
    assert of(text, "glm_aria_wanted_total", model="org/m@main", found="hit") == 3


def test_a_fleet_is_told_by_its_states_and_egress() -> None:
    text = busy()
    assert of(text, "glm_aria_fleet_up") == 1
    assert (of(text, "glm_aria_node_state", state="ready"), of(text, "glm_aria_node_state", state="lost")) == (1, 0)
    assert of(text, "glm_aria_fleet_egress_ratio") == 1.05
    away = text_of(Traffic(), Intake(), Looks(fleet=SeenFleet(error="nobody answers")))
    assert of(away, "glm_aria_fleet_up") == 0
    assert b"node_state" not in away


def test_no_repo_and_no_client_is_a_label() -> None:
    text = busy()
    assert b"secret-n" not in text
    assert b"10.0.0." not in text
    assert {label for _, labels in samples(text) for label, _ in labels} <= LABELS


def test_a_server_that_is_new_has_metrics() -> None:
    text = text_of(Traffic(), Intake(), Looks())
    assert of(text, "glm_aria_ready") == 0
    assert of(text, "glm_aria_misses_total") == 0


def test_promtool_has_nothing_to_say() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("there is no promtool")
    done = subprocess.run(["promtool", "check", "metrics"], input=busy(), capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
