"""A server fetches what a forecast makes worth it before a client asks, and never beside one."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cache.layout import CacheLayout
from orchestrator.cache.state_dir import open_state_dir
from orchestrator.predict.demand import Demand
from orchestrator.predict.forecast import HOUR, Forecast
from orchestrator.predict.learning.generate import START
from orchestrator.predict.learning.generate import generate as demand_of
from orchestrator.predict.log import DemandLog
from orchestrator.predict.trained import Trained, TrainedFile
from orchestrator.serve.foresight.wanted import WantedModels
from orchestrator.serve.pages.condition import Condition
from orchestrator.serve.pages.intake import Intake
from orchestrator.serve.pages.looking import Looks
from orchestrator.serve.pages.metrics import text_of
from orchestrator.serve.pages.traffic import Traffic
from tests.hub.content import generate
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.machine import Machine, content, until
from tests.serve.conftest import Users, assert_unseen
from tests.serve.servers import Server, ended, hf
from tests.servers.prometheus import prometheus

SIZE = 8 << 20
FILES: dict[str, Any] = {"config.json": b"{}", "big.safetensors": generate(SIZE, 7)}
TOTAL = sum(len(bytes(file)) for file in FILES.values())
"""The bytes of the model that is foreseen."""


def asked(hub: LoopbackHub) -> list[str]:
    """The files of which bytes were asked for."""
    return [seen.file for seen in hub.log.requests(method="GET") if seen.file is not None]


def state_of(machine: Machine) -> Path:
    machine.cache.mkdir(parents=True, exist_ok=True)
    return open_state_dir(CacheLayout.at(machine.cache))


def trained(machine: Machine, model: str = "org/foreseen@main", *, is_used: bool = True) -> None:
    """A forecast by which somebody asks for a model within the hour, after users waited for models of a kind."""
    now = time.time()
    start = now - now % HOUR
    forecast = Forecast(start, {model: (9.0,) * 48}, "ridge", is_used)
    state = state_of(machine)
    TrainedFile(state).save(Trained(forecast, (), 1000, 1000, "a test says so"))
    DemandLog(state).add([*others(now), Demand(now - 24 * HOUR, model, TOTAL, TOTAL, 10.0)])


def others(now: float) -> list[Demand]:
    """What users had fetched and waited for, of which guesses get their credit."""
    return [Demand(now - 7 * 24 * HOUR, "org/other@main", 10**9, 10**9, 1000.0)] * 10


ON = {"GLM_ARIA_PREDICT": "1"}
WEEKS = 4 * 168 * HOUR


def started(machine: Machine, *words: str, **env: str) -> Server:
    return Server.start(machine, "--no-mirrors", "--progress", "json", *words, env=env)


def deeds(server: Server) -> list[tuple[str, str]]:
    """What a server that is stopped now had told of what it foresaw, but for what is about all models."""
    lines = [json.loads(line) for line in server.stop().err.splitlines() if line.startswith('{"event"')]
    return [(line["model"], line["deed"]) for line in lines if line["event"] == "foreseen" and line["model"]]


def is_here(machine: Machine) -> bool:
    repo = machine.cache / "models--org--foreseen"
    ref = repo / "refs" / "main"
    return ref.exists() and content(repo / "snapshots" / ref.read_text()).keys() == FILES.keys()


def last_uses(machine: Machine) -> list[float]:
    return [path.stat().st_mtime for path in state_of(machine).glob("on-demand/*foreseen/*")]


def test_a_foreseen_model_is_here_before_a_client_asks(machine: Machine, hub: LoopbackHub, users: Users) -> None:
    hub.add(Repo("model", "org/foreseen", FILES))
    trained(machine)
    server = started(machine, **ON)
    assert until(lambda: is_here(machine))
    assert last_uses(machine) == [0.0]
    assert 'glm_aria_predicted_pulls{horizon="1h",model="org/foreseen@main"}' in server.shown()
    hub.stop_face("hub")
    assert users(server).hf("download", "org/foreseen").returncode == 0
    assert last_uses(machine) > [time.time() - 600]
    assert deeds(server) == [("org/foreseen@main", "fetches"), ("org/foreseen@main", "has fetched")]
    assert_unseen(machine, hub)


def slowly_fetched(machine: Machine, hub: LoopbackHub) -> Server:
    """A server that is fetching ahead, and has hardly begun."""
    hub.add(Repo("model", "org/foreseen", FILES))
    hub.faces["cdn"].shape = Shape(total_rate=2e5)
    trained(machine)
    server = started(machine, **ON)
    assert until(lambda: "big.safetensors" in asked(hub))
    return server


def test_a_client_that_comes_meanwhile_has_the_line_alone(machine: Machine, hub: LoopbackHub, users: Users) -> None:
    hub.add(Repo("model", "org/small", {"small.bin": generate(50_000, 3)}))
    server = slowly_fetched(machine, hub)
    assert users(server).hf("download", "org/small").returncode == 0
    files = asked(hub)
    assert "big.safetensors" not in files[files.index("small.bin") :]
    assert hub.log.bytes_sent(file="big.safetensors") < SIZE
    assert not is_here(machine)
    assert deeds(server) == [("org/foreseen@main", "fetches"), ("org/foreseen@main", "stops")]


def test_a_client_that_wants_what_is_fetched_ahead_gets_the_rest_of_it(
    machine: Machine, hub: LoopbackHub, users: Users
) -> None:
    server = slowly_fetched(machine, hub)
    user = users(server)
    running = user.start(*hf("download", "org/foreseen"))
    assert until(lambda: '"clients": []' not in server.shown())
    hub.faces["cdn"].shape = Shape()
    assert ended(running).returncode == 0
    assert user.hf("cache", "verify", "org/foreseen").returncode == 0
    assert deeds(server)[:2] == [("org/foreseen@main", "fetches"), ("org/foreseen@main", "stops")]


def test_a_pull_of_the_user_has_the_line_alone(machine: Machine, hub: LoopbackHub) -> None:
    hub.add(Repo("model", "org/small", {"small.bin": generate(400_000, 3)}))
    server = slowly_fetched(machine, hub)
    machine.pull("org/small", "--no-mirrors").ended(0)
    assert not is_here(machine)
    assert deeds(server) == [("org/foreseen@main", "fetches"), ("org/foreseen@main", "stops")]


def test_a_dry_run_tells_and_fetches_nothing(machine: Machine, hub: LoopbackHub) -> None:
    hub.add(Repo("model", "org/foreseen", FILES))
    trained(machine)
    server = started(machine, **ON, GLM_ARIA_PREDICT_DRY_RUN="1")
    assert until(lambda: '"code": "foreseen"' in server.shown())
    assert asked(hub) == []
    assert deeds(server) == [("org/foreseen@main", "would fetch")]


@pytest.mark.parametrize(("env", "is_used"), [({}, True), (ON, False)], ids=["switched off", "no better than naive"])
def test_nothing_is_asked_of_the_hub(
    machine: Machine, hub: LoopbackHub, users: Users, env: dict[str, str], is_used: bool
) -> None:
    hub.add(Repo("model", "org/foreseen", FILES))
    trained(machine, is_used=is_used)
    server = started(machine, **env)
    assert "glm_aria_predicted_pulls" not in server.shown()
    assert users(server).hf("download", "org/m").returncode == 0
    assert not [seen for seen in hub.log.requests() if "foreseen" in seen.path]
    assert deeds(server) == []


def test_what_clients_want_is_noted_once_a_session(machine: Machine, hub: LoopbackHub, users: Users) -> None:
    for _ in range(2):
        server = started(machine)
        assert users(server).hf("download", "org/m").returncode == 0
        server.stop()
    log = DemandLog(state_of(machine))
    first, second = log.read()
    assert (first.model, second.model) == ("org/m@main", "org/m@main")
    assert first.size == second.size == first.came
    assert first.waited > 0
    assert (second.came, second.waited) == (0, 0)
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600


def scraped(model: str, now: float) -> str:
    """What a Prometheus scraped in four weeks of a server whose clients have a pattern by day: `now` is the hour at
    which they want this model most."""
    demands = [demand for demand in demand_of("daily", 1, models=4, weeks=5) if demand.at < START + WEEKS + 14 * HOUR]
    moved = now - (START + WEEKS + 14 * HOUR)
    names = {f"org/model-{number:03d}@main": f"org/other-{number}@main" for number in range(1, 4)}
    wanted, lines, at = WantedModels(), ["# TYPE glm_aria_wanted counter"], now - WEEKS
    wishes = [replace(demand, at=demand.at + moved, model=names.get(demand.model, model)) for demand in demands]
    while at <= now:
        wanted.add(demand for demand in wishes if at - HOUR / 2 < demand.at <= at)
        shown = text_of(Traffic(), Intake(), Looks(Condition((), 0, 0), None, None, (), None, wanted.counts())).decode()
        lines += [f"{line} {at}" for line in shown.splitlines() if line.startswith("glm_aria_wanted_total{")]
        at += HOUR / 2
    return "\n".join([*sorted(lines[1:]), "# EOF", ""])


def test_what_a_prometheus_scraped_is_learned_from_and_fetched_ahead(
    machine: Machine, hub: LoopbackHub, users: Users, tmp_path: Path
) -> None:
    hub.add(Repo("model", "org/foreseen", FILES))
    server = started(machine)
    # Now what it has is known.
    assert users(server).hf("download", "org/foreseen").returncode == 0
    server.stop()
    machine.run("cache", "rm", "org/foreseen", "--yes").ended(0)
    DemandLog(state_of(machine)).add(others(time.time()))

    (tmp_path / "history.txt").write_text(scraped("org/foreseen@main", time.time()))
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "--max-block-duration=672h", "openmetrics", "history.txt", "data"],
        cwd=tmp_path, check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    (tmp_path / "prometheus.yml").write_text("scrape_configs: []\n")
    with prometheus(tmp_path / "prometheus.yml", tmp_path, "--storage.tsdb.retention.time=90d") as source:
        forecast = (
            machine.run("predict", "train", "--prometheus", source.url, "--json", env=ON).ended(0).document["data"]
        )
    assert forecast["used"], forecast["scores"]

    server = started(machine, **ON)
    assert until(lambda: is_here(machine))
    assert last_uses(machine) == [0.0]
    assert ("org/foreseen@main", "has fetched") in deeds(server)
    assert_unseen(machine, hub)


def test_room_for_a_guess_is_made_when_a_client_needs_room_and_not_before(
    machine: Machine, hub: LoopbackHub, users: Users
) -> None:
    sizes = {"old": 8 << 20, "older": 3 << 19, "kept": 3 << 20, "new": 1 << 20}
    for number, (name, size) in enumerate(sizes.items()):
        hub.add(Repo("model", f"org/{name}", {"model.bin": generate(size, number)}))
    hub.add(Repo("model", "org/foreseen", FILES))
    limit = ("--max-size", "13600000")
    server = started(machine, *limit)
    for name in ("older", "old", "kept"):
        assert users(server).hf("download", f"org/{name}").returncode == 0
    server.stop()
    for age, name in ((9000, "older"), (8000, "old"), (7000, "kept")):
        for path in state_of(machine).glob(f"on-demand/*--{name}/*"):
            os.utime(path, (time.time() - age,) * 2)
    trained(machine)

    def here() -> set[str]:
        return {path.parents[1].name.rpartition("--")[2] for path in machine.cache.glob("models--*/snapshots/*")}

    server = started(machine, *limit, **ON)
    assert until(lambda: '"code": "foreseen"' in server.shown())
    assert here() == {"older", "old", "kept"}
    assert users(server).hf("download", "org/new").returncode == 0
    assert here() == {"kept", "new"}
    server.stop()
    server = started(machine, *limit, **ON)
    assert until(lambda: is_here(machine))
    assert here() == {"kept", "new", "foreseen"}
    assert deeds(server)[0] == ("org/foreseen@main", "fetches")
