"""Demand as a real Prometheus tells it, and other servers do not."""

from __future__ import annotations

import subprocess
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from orchestrator.errors import ProtocolError
from orchestrator.net.session import Net
from orchestrator.predict.forecast import HOUR
from orchestrator.predict.prometheus import demand_at
from tests.servers.prometheus import prometheus
from tests.servers.threads import serving


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
        wishes = demand_at(server.url, net, end + 5)
        with pytest.raises(ProtocolError, match="Prometheus"):
            demand_at(f"{server.url}/api/v1/status/buildinfo?", net, end)
    hours = [(demand.model, demand.at - end) for demand in wishes]
    assert hours == [("org/a@main", -1.5 * HOUR)] * 2 + [("org/b@main", -0.5 * HOUR)] * 3


def answered(body: str) -> type[BaseHTTPRequestHandler]:
    class Face(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *args: object) -> None:
            pass

    return Face


def result(values: str, model: str = '"org/a@main"') -> str:
    return f'{{"status": "success", "data": {{"result": [{{"metric": {{"model": {model}}}, "values": {values}}}]}}}}'


@pytest.mark.parametrize(
    "body",
    ["{}", "[]", '{"status": "error"}', '{"status": "success", "data": 1}', result("7"), result("[[1]]"),
     result('[[1, "x"]]'), result('[["x", "1"]]'), result(f"[[{10**400}, \"1\"]]")],
)  # fmt: skip
def test_what_is_no_answer_of_prometheus_is_told(body: str) -> None:
    with (
        serving(ThreadingHTTPServer(("127.0.0.1", 0), answered(body))) as server,
        Net() as net,
        pytest.raises(ProtocolError, match="Prometheus"),
    ):
        demand_at(f"http://127.0.0.1:{server.server_address[1]}", net, 1e9)


@pytest.mark.parametrize(
    ("body", "wishes"),
    [
        (result('[[1e400, "1"], [5, "1"], [-5, "1"], [2e9, "1"]]'), 0),
        (result('[[999997200, "NaN"], [999997200, "-3"], [999997200, "+Inf"]]'), 0),
        (result('[[999997200, "1"]]', "7"), 0),
        (result('[[999997200, "1"]]', '""'), 0),
        (result('[[999997200, "2"]]'), 2),
        (result('[[999997200, "1e18"]]'), 10_000),
        # Before they were passed over, ten thousand wishes were made of each.
        (result("[" + ", ".join(['[5, "1e18"]'] * 200_000) + "]"), 0),
    ],
    ids=["no times", "no counts", "no text", "no name", "two", "too many", "of times that were not asked for"],
)
def test_values_that_cannot_be_are_left_out_or_bounded(body: str, wishes: int) -> None:
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), answered(body))) as server, Net() as net:
        assert len(demand_at(f"http://127.0.0.1:{server.server_address[1]}", net, 1e9)) == wishes
