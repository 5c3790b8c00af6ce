"""The rules of the PrometheusRule are rules, and those for nodes ask for what nodes tell."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from orchestrator.desired.status import SetStatus, SourceStatus, metrics
from tests.kubernetes.manifests import HERE, Manifest, charted, need

STATUS = SetStatus(
    schema="glm-aria-set/1",
    set="site",
    node="node-1",
    version="1",
    labels={},
    generation=2,
    observed_generation=1,
    phase="staging",
    reason=None,
    since=0,
    digest=None,
    current=None,
    path=None,
    bytes_to_go=1,
    drift=0,
    flips=0,
    updated=0,
    expires=None,
    sources=(SourceStatus("/etc/site", None, "fresh", None, 0, 0),),
    models=(),
)


@pytest.fixture(scope="module")
def groups() -> list[Manifest]:
    """The groups of rules of the chart."""
    [rule] = [one for one in charted("monitoring.yaml") if one["kind"] == "PrometheusRule"]
    found: list[Manifest] = rule["spec"]["groups"]
    return found


@pytest.fixture
def written(groups: list[Manifest], tmp_path: Path) -> Path:
    """The folder with these groups as a file for promtool, and its test."""
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump({"groups": groups}))
    shutil.copy(HERE / "node_alerts_test.yml", tmp_path)
    return tmp_path


def promtool(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    need("promtool", "prometheus")
    command = ["promtool", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_promtool_takes_the_rules_and_those_of_nodes_fire_when_they_should(written: Path) -> None:
    for words in (("check", "rules", "alerts.yml"), ("test", "rules", "node_alerts_test.yml")):
        done = promtool(written, *words)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("field", "planted"), [("expr", "sum by ("), ("for", "soon"), ("labels", ["planted"])])
def test_promtool_refuses_a_planted_error(groups: list[Manifest], tmp_path: Path, field: str, planted: object) -> None:
    wrong = yaml.safe_load(yaml.safe_dump({"groups": groups}))
    wrong["groups"][0]["rules"][0][field] = planted
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump(wrong))
    assert promtool(tmp_path, "check", "rules", "alerts.yml").returncode != 0


def test_rules_of_nodes_ask_for_metrics_that_nodes_have(groups: list[Manifest]) -> None:
    told = set(re.findall(r"^(glm_aria_\w+)", metrics(STATUS, now=1), re.MULTILINE))
    [node] = [group for group in groups if group["name"] == "glm-aria-node"]
    asked = {name for rule in node["rules"] for name in re.findall(r"glm_aria_\w+", rule["expr"])}
    assert asked
    assert asked <= told
