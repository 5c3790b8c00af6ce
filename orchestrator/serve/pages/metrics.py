"""Metrics of a server in the text form of Prometheus. Labels have few values: no client and no path is one, and no repo
but open ones: those of which most pulls are expected, and the first that were wanted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from orchestrator import __version__
from orchestrator.events import Phase
from orchestrator.serve.http.exchange import Presence
from orchestrator.serve.pages.condition import Condition
from orchestrator.serve.pages.fleet import SeenFleet
from orchestrator.serve.pages.intake import Intake, IntakeState
from orchestrator.serve.pages.looking import Looks
from orchestrator.serve.pages.traffic import BOUNDS, Traffic

_ON_THE_WAY = (Phase.WAITING, Phase.FETCHING, Phase.VERIFYING)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The form that every Prometheus reads."""


def text_of(traffic: Traffic, intake: Intake, looks: Looks) -> bytes:
    """All metrics of a server, with what it sees around it, and those of its process."""
    registry = CollectorRegistry()
    registry.register(_Families(traffic, intake.state(), looks))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, traffic: Traffic, state: IntakeState, looks: Looks) -> None:
        self._traffic = traffic
        self._state = state
        self._looks = looks

    def collect(self) -> Iterator[Metric]:
        looks = self._looks
        yield InfoMetricFamily("glm_aria_build", "The version that runs", value={"version": __version__})
        yield from _of_traffic(self._traffic)
        yield from _of_intake(self._state, self._traffic)
        yield from _of_condition(looks.condition)
        if looks.max_size is not None:
            yield _gauge("glm_aria_cache_limit_bytes", "Bytes that the cache may have", looks.max_size)
        if (contents := looks.contents) is not None:
            yield _gauge("glm_aria_cache_bytes", "Bytes of the files in the cache", contents.size)
            yield _gauge("glm_aria_cache_parts_bytes", "Bytes of downloads that are not whole", contents.parts)
            yield _gauge("glm_aria_cache_repos", "Repos in the cache", len(contents.repos))
        if looks.expected:
            pulls = [((one.model, one.horizon), one.pulls) for one in looks.expected]
            about = "Pulls that are expected within a span of time, by the forecast that is used"
            yield _gauges("glm_aria_predicted_pulls", about, pulls, "model", "horizon")
        about = "Models that clients wanted, by whether all of it was here; counted when they have asked for no more"
        yield _counter("glm_aria_wanted", about, looks.wanted, "model", "found")
        if looks.fleet is not None:
            yield from _of_fleet(looks.fleet)


def _of_traffic(traffic: Traffic) -> Iterator[Metric]:
    answers = [((face, str(status)), count) for (face, status), count in sorted(traffic.answers.items())]
    yield _counter("glm_aria_requests", "Requests by face and status; 499: the client left", answers, "face", "code")
    hits = [((found.value,), traffic.found[found]) for found in (Presence.HIT, Presence.ARRIVING)]
    yield _counter("glm_aria_hits", "Files that needed no fetch of their own", hits, "found")
    yield _counter("glm_aria_misses", "Files that were fetched for a request", [((), traffic.found[Presence.MISS])])
    yield _gauge("glm_aria_answers_active", "Files that are being sent", len(traffic.under_way))
    first = HistogramMetricFamily(
        "glm_aria_first_byte_seconds", "Seconds from a request for a file to its first byte", labels=["found"]
    )
    for found, seen in traffic.first_bytes.items():
        total, buckets = 0, []
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), seen.counts, strict=True):
            total += count
            buckets.append((bound, total))
        first.add_metric([found.value], buckets, seen.seconds)
    yield first


def _of_intake(state: IntakeState, traffic: Traffic) -> Iterator[Metric]:
    fetched = sum(taken.sent for _, taken in state.sources)
    moved = [(("in", name), taken.sent) for name, taken in state.sources]
    moved += [(("out", "clients"), traffic.sent), (("out", "peers"), traffic.sent_to_peers)]
    yield _counter("glm_aria_bytes", "Bytes from each source, to clients and to peers", moved, "direction", "source")
    ended = [(("fetched",), state.files), (("failed",), state.failed)]
    yield _counter("glm_aria_files", "Files that were to be fetched, by how that ended", ended, "result")
    lies = [((name,), taken.lies) for name, taken in state.sources]
    yield _counter("glm_aria_evicted_bytes", "Bytes that were removed to make room", [((), state.evicted)])
    yield _counter("glm_aria_lies", "Files of which a source sent wrong bytes", lies, "source")
    if kept := state.proven + sum(one.done for one in state.transfers):
        yield _gauge("glm_aria_egress_ratio", "Bytes from sources for each byte that is here", fetched / kept)
    phases = [((phase.value,), sum(one.phase is phase for one in state.transfers)) for phase in _ON_THE_WAY]
    yield _gauges("glm_aria_transfers", "Files on their way, by phase", phases, "phase")
    rates = [((name,), taken.rate) for name, taken in state.sources]
    yield _gauges("glm_aria_source_rate_bytes", "Bytes a second from a source now", rates, "source")
    connections = [((name,), taken.connections) for name, taken in state.sources]
    yield _gauges("glm_aria_source_connections", "Connections to a source now", connections, "source")
    out = [((name,), int(taken.is_quarantined)) for name, taken in state.sources]
    yield _gauges("glm_aria_source_quarantined", "1 for a source that sent wrong bytes, and is out", out, "source")


def _of_fleet(fleet: SeenFleet) -> Iterator[Metric]:
    yield _gauge("glm_aria_fleet_up", "1 when a scheduler of the fleet answers", int(not fleet.error))
    if fleet.error:
        return
    states = [((state,), count) for state, count in fleet.states.items()]
    yield _gauges("glm_aria_node_state", "Nodes of the fleet by state", states, "state")
    if fleet.ratio is not None:
        about = "Bytes from outside of the fleet for each byte of the models of its tasks"
        yield _gauge("glm_aria_fleet_egress_ratio", about, fleet.ratio)


def _of_condition(condition: Condition | None) -> Iterator[Metric]:
    yield _gauge("glm_aria_ready", "1 when the server can do its work", int(bool(condition and condition.is_ready)))
    if condition is None:
        return
    checks = [((check.name,), int(check.is_ok)) for check in condition.checks]
    yield _gauges("glm_aria_check", "1 for a part of the server that is well", checks, "check")
    if condition.free is not None and condition.total is not None:
        yield _gauge("glm_aria_disk_free_bytes", "Bytes that are free on the cache's disk", condition.free)
        yield _gauge("glm_aria_disk_bytes", "Bytes of the cache's disk", condition.total)


def _counter(name: str, about: str, values: Iterable[tuple[tuple[str, ...], float]], *labels: str) -> Metric:
    family = CounterMetricFamily(name, about, labels=labels)
    for names, value in values:
        family.add_metric(names, value)
    return family


def _gauges(name: str, about: str, values: Iterable[tuple[tuple[str, ...], float]], *labels: str) -> Metric:
    family = GaugeMetricFamily(name, about, labels=labels)
    for names, value in values:
        family.add_metric(names, value)
    return family


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)
