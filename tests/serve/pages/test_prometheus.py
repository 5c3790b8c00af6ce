"""The files for Prometheus and Grafana that ship, as the real programs read them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from orchestrator.cli.main import main
from tests.hub.models import tiny_model
from tests.machine.machine import until
from tests.serve.conftest import Users
from tests.serve.servers import Server
from tests.servers.prometheus import prometheus

FILES: dict[str, Any] = tiny_model(1, shard_size=1 << 20)


@pytest.fixture
def rendered(tmp_path: Path) -> Callable[..., Path]:
    """Writes a template as a user has it."""

    def write(name: str, *words: str, to: str = "") -> Path:
        path = tmp_path / (to or name)
        given = [word for one in words for word in ("--set", one)]
        assert main(["render", name, *given, "-o", str(path)]) == 0
        return path

    return write


def promtool(*words: str, folder: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("there is no promtool")
    done = subprocess.run(["promtool", *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_takes_the_rules_and_they_fire_when_they_should(rendered: Callable[..., Path], tmp_path: Path) -> None:
    rendered("prometheus-alerts.yml", to="alerts.yml")
    promtool("check", "rules", "alerts.yml", folder=tmp_path)
    tests = ("alerts_test.yml", "slow_source_test.yml")
    for name in tests:
        shutil.copy(Path(__file__).with_name(name), tmp_path)
    promtool("test", "rules", *tests, folder=tmp_path)


def test_a_prometheus_scrapes_a_server_and_answers_what_the_dashboard_asks(
    server: Server, users: Users, rendered: Callable[..., Path], tmp_path: Path
) -> None:
    user = users(server)
    for path in FILES:
        user.get(f"/org/m/resolve/main/{path}")
    rendered("prometheus-alerts.yml", to="glm-aria-alerts.yml")
    scrape = rendered("prometheus-scrape.yml", f"target={urlsplit(server.url).netloc}").read_text()
    config = tmp_path / "prometheus.yml"
    config.write_text("global: {scrape_interval: 1s}\nrule_files: [glm-aria-alerts.yml]\n" + scrape)
    board = json.loads(rendered("grafana-dashboard.json").read_text())
    promtool("check", "config", "prometheus.yml", folder=tmp_path)
    with prometheus(config, tmp_path) as found:
        assert until(lambda: found.values("up") == [1.0], 60)
        assert found.values("glm_aria_ready") == [1.0]
        assert found.values("sum(glm_aria_hits_total) + sum(glm_aria_misses_total)") == [len(FILES)]
        assert sum(found.values('glm_aria_bytes_total{direction="in"}')) >= sum(map(len, FILES.values()))
        (group,) = found.ask("rules")["groups"]
        assert {rule["health"] for rule in group["rules"]} <= {"ok", "unknown"}
        assert until(lambda: len(found.values("count_over_time(glm_aria_ready[1m]) > 2")) == 1, 30)
        for panel in board["panels"]:
            for target in panel["targets"]:
                query = target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*")
                assert found.values(query), f"{panel['title']}: {query}"


def test_grafana_finds_in_its_file_what_it_needs(rendered: Callable[..., Path]) -> None:
    board = json.loads(rendered("grafana-dashboard.json").read_text())
    assert board["uid"] == "glm-aria-serve"
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    boxes = [panel["gridPos"] for panel in board["panels"]]
    assert all(box["x"] + box["w"] <= 24 for box in boxes)
    assert re.search(r"\{[{%]-?\s*(raw|version)", json.dumps(board)) is None
