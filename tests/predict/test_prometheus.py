"""Demand as a real Prometheus tells it, and other servers do not."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from orchestrator.errors import ProtocolError
from orchestrator.net.session import Net
from orchestrator.predict.forecast import HOUR
from orchestrator.predict.prometheus import demand_at
from tests.servers.prometheus import prometheus


def test_increases_of_counters_are_wishes_in_the_middle_of_their_hour(tmp_path: Path) -> None:
    end = time.time() // HOUR * HOUR
    lines = ["# TYPE glm_aria_wanted counter"]
    for model, jump in (("org/a@main", 2), ("org/b@main", 3)):
        for found in ("hit", "miss"):
            for minute in range(-300, 1):
                # Of the first model in the hour before the last, of the other one in the last.
                count = 10 + (jump if minute > (-90 if jump == 2 else -30) and found == "hit" else 0)
                lines.append(f'glm_aria_wanted_total{{model="{model}",found="{found}"}} {count} {end + 60 * minute}')
    (tmp_path / "history.txt").write_text("\n".join([*lines, "# EOF", ""]))
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", "history.txt", "data"],
        cwd=tmp_path, check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    (tmp_path / "prometheus.yml").write_text("scrape_configs: []\n")
    with prometheus(tmp_path / "prometheus.yml", tmp_path) as server, Net() as net:
        found = demand_at(server.url, net, end + 5)
        with pytest.raises(ProtocolError, match="Prometheus"):
            demand_at(f"{server.url}/api/v1/status/buildinfo?", net, end)
    hours = [(demand.model, demand.at - end) for demand in found]
    assert hours == [("org/a@main", -1.5 * HOUR)] * 2 + [("org/b@main", -0.5 * HOUR)] * 3
