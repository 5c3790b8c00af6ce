"""What a probe finds out about a source, and how little it asks for."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.dialects import MODELSCOPE
from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.core.sources import Origin, Source
from orchestrator.errors import IntegrityError, NotFoundError, ProtocolError, SourcesDownError
from orchestrator.mirrors.crowd import Crowd
from orchestrator.mirrors.probe import Bounds, Probe, SampleFile, probe
from orchestrator.mirrors.stats import Observation
from orchestrator.net.answers import Limits
from orchestrator.net.credentials import Credentials
from orchestrator.net.session import Net
from tests.hub.certificates import make_certificate, server_context
from tests.hub.content import MIB, generate
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.hub.modelscope import foreign_id
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.machine import until

CANARY = "hf_canary_probe"
BOUNDS = Bounds(seconds=0.3, one=MIB, many=2 * MIB, piece=MIB // 2, total=4 * MIB, steps=(4,))


@pytest.fixture(scope="module")
def repo() -> Repo:
    return Repo("model", "org/m", {"model.safetensors": generate(8 * MIB, 3), "config.json": b"{}"})


@pytest.fixture
def hub(repo: Repo) -> Iterator[LoopbackHub]:
    with LoopbackHub([repo], tokens={CANARY: set()}) as running:
        yield running


@pytest.fixture
def net(hub: LoopbackHub) -> Iterator[Net]:
    limits = Limits(connect=2, read=2, deadline=4, attempts=1)
    with Net(Credentials(CANARY, frozenset({hub.host})), limits=limits) as made:
        yield made


def target(repo: Repo, path: str = "model.safetensors", commit: str | None = None) -> SampleFile:
    file = repo.commits[repo.head].files[path]
    algorithm = Algorithm.SHA256 if file.sha256 else Algorithm.GIT_SHA1
    origin = Origin(RepoId(RepoType.MODEL, repo.name), commit or repo.head, path)
    return SampleFile(origin, file.size, Digest(algorithm, file.etag))


def test_a_good_source_is_measured_in_full(net: Net, hub: LoopbackHub, repo: Repo) -> None:
    # It is over with the bytes; the time is for a machine that has other things to do.
    found = probe(net, Source("hub", hub.url), target(repo), replace(BOUNDS, seconds=10))
    assert found.error is None
    assert (found.ranges, found.announces_digest, found.loss, len(found.latencies)) == (True, True, 0, 3)
    assert found.http == ("http/1.1",)
    assert found.handshake is not None
    assert min(found.rate_one or 0, found.rate_many or 0) > MIB
    assert found.connections == 4
    hub.log.settle()
    assert MIB <= hub.log.bytes_sent(face="cdn") <= 4 * MIB
    ranges = {seen.range for seen in hub.log.requests(face="cdn", method="GET")}
    assert len(ranges) >= 4, "each connection asks for a range of its own"
    assert hub.log.tokens(face="cdn") == set()


def test_the_rate_is_that_of_the_line(net: Net, hub: LoopbackHub, repo: Repo) -> None:
    hub.faces["cdn"].shape = Shape(rate_per_connection=2 * MIB)

    def is_that_of_the_line() -> bool:
        found = probe(net, Source("hub", hub.url), target(repo), BOUNDS)
        assert [sample.connections for sample in found.samples[1:]] == [4]
        one, many = found.rate_one or 0.0, found.rate_many or 0.0
        return one == pytest.approx(2 * MIB, rel=0.4) and many > 2 * one

    # What else the machine does slows a probe down, but not each of them.
    assert until(is_that_of_the_line, 60)


class ToldCrowd(Crowd):
    """Reads, and tells the next of these rates: what a busy machine measures decides nothing."""

    rates: list[float]

    def rate(self, seconds: float, most: int, patience: float) -> float:
        super().rate(seconds, most, patience)
        return self.rates.pop(0)


@pytest.mark.parametrize(
    ("rates", "numbers"),
    [([2, 2.2, 9], [1, 4]), ([0.5, 2, 4, 4, 9], [1, 4, 16, 64]), ([1, 2, 3, 4, 5], [1, 4, 16, 64, 128])],
)
def test_connections_are_added_while_the_rate_grows(
    net: Net, hub: LoopbackHub, repo: Repo, rates: list[float], numbers: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToldCrowd, "rates", list(rates), raising=False)
    monkeypatch.setattr("orchestrator.mirrors.probe.Crowd", ToldCrowd)
    hub.faces["cdn"].shape = Shape(rate_per_connection=MIB)
    found = probe(
        net, Source("hub", hub.url), target(repo), Bounds(0.05, total=160 * MIB, steps=(4, 16, 64, 128), climb=60)
    )
    assert found.rates == tuple(zip(numbers, rates, strict=False))
    assert (found.rate_one, found.rate_many) == (rates[0], rates[len(numbers) - 1])
    hub.log.settle()
    assert len(hub.log.requests(face="cdn", method="GET")) >= numbers[-1]


def test_a_ladder_asks_for_no_more_than_its_bytes(
    net: Net, hub: LoopbackHub, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToldCrowd, "rates", [1, 2, 3, 4], raising=False)
    monkeypatch.setattr("orchestrator.mirrors.probe.Crowd", ToldCrowd)
    hub.faces["cdn"].shape = Shape(rate_per_connection=2 * MIB)
    probe(net, Source("hub", hub.url), target(repo), Bounds(total=6 * MIB, steps=(4, 16, 64)))
    hub.log.settle()
    assert len(hub.log.requests(face="cdn", method="GET")) == 6
    assert hub.log.bytes_sent(face="cdn") <= 6 * MIB


def test_a_ladder_ends_with_its_time(net: Net, hub: LoopbackHub, repo: Repo) -> None:
    hub.faces["cdn"].shape = Shape(rate_per_connection=MIB / 2)
    found = probe(net, Source("hub", hub.url), target(repo), Bounds(0.2, climb=0.2, total=64 * MIB, steps=(4, 16)))
    assert [number for number, _ in found.rates] == [1]


def test_the_latency_is_that_of_the_line(net: Net, hub: LoopbackHub, repo: Repo) -> None:
    hub.faces["hub"].shape = Shape(latency_s=0.05)
    found = probe(net, Source("hub", hub.url), target(repo), BOUNDS)
    # A busy machine adds to it, and never takes from it.
    assert 0.05 <= min(found.latencies) < 5
    assert found.first_byte is not None
    assert found.first_byte >= 0.1
    assert found.jitter is not None


def test_without_a_file_only_the_way_is_measured(net: Net, hub: LoopbackHub) -> None:
    found = probe(net, Source("hub", hub.url), None, BOUNDS)
    assert found.error is None
    assert (found.rate_one, found.ranges) == (None, None)
    assert len(found.latencies) == 3
    assert {seen.path for seen in hub.log.requests()} == {"/"}


def test_one_connection_leaves_the_second_sample_out(net: Net, hub: LoopbackHub, repo: Repo) -> None:
    found = probe(net, Source("hub", hub.url), target(repo), Bounds(one=MIB))
    assert found.rate_many is None
    assert found.samples == (Observation(found.latency, found.rate_one, rates=found.rates),)


def test_a_source_that_ignores_ranges(net: Net, hub: LoopbackHub, repo: Repo) -> None:
    hub.fault(Fault("range_ignored"), face="cdn")
    hub.faces["cdn"].shape = Shape(total_rate=8 * MIB)
    found = probe(net, Source("hub", hub.url), target(repo), BOUNDS)
    assert found.ranges is False
    assert found.rate_many is None
    assert found.rate_one
    hub.log.settle()
    assert hub.log.bytes_sent(face="cdn") < 8 * MIB, "it hangs up instead of reading all"


@pytest.mark.parametrize("kind", ["wrong_content_range", "status"])
def test_odd_answers_to_a_range(net: Net, hub: LoopbackHub, repo: Repo, kind: str) -> None:
    hub.fault(Fault(kind, method="GET", status=404), face="cdn")
    found = probe(net, Source("hub", hub.url), target(repo), BOUNDS)
    assert isinstance(found.error, ProtocolError)
    assert found.error.source == "hub"
    assert found.latencies
    assert found.rate_one is None


def test_another_digest_is_an_integrity_error(net: Net, hub: LoopbackHub, repo: Repo) -> None:
    right = target(repo)
    wrong = SampleFile(right.origin, right.size, Digest(Algorithm.SHA256, "0" * 64))
    found = probe(net, Source("hub", hub.url), wrong, BOUNDS)
    assert isinstance(found.error, IntegrityError)
    assert found.announces_digest is False
    assert hub.log.requests(face="cdn") == []


def test_a_file_that_is_not_there(net: Net, hub: LoopbackHub, repo: Repo) -> None:
    found = probe(net, Source("hub", hub.url), target(repo, commit="0" * 40), BOUNDS)
    assert isinstance(found.error, NotFoundError)
    assert found.samples == (Observation(found.latency, None),), "it is near, even so"


def test_a_source_that_is_down_is_told(net: Net, repo: Repo) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        found = probe(net, Source("gone", f"http://127.0.0.1:{closed.getsockname()[1]}"), target(repo), BOUNDS)
    assert isinstance(found.error, SourcesDownError)
    assert (found.latency, found.handshake, found.loss, found.http) == (None, None, None, ())
    assert found.samples == (Observation(failed=True),)


def test_lost_requests_are_counted(net: Net, hub: LoopbackHub) -> None:
    hub.fault(Fault("status", status=503, skip=1, times=2))
    found = probe(net, Source("hub", hub.url), None, Bounds(pings=4))
    assert (found.lost, len(found.latencies), found.loss) == (2, 2, 0.5)


def test_modelscope_is_measured_as_well(net: Net, hub: LoopbackHub, repo: Repo) -> None:
    site = hub.modelscope()
    there = target(repo, commit=foreign_id(repo.head))
    found = probe(net, Source("ms", site.url, MODELSCOPE), there, BOUNDS)
    assert found.error is None
    assert found.ranges is True
    assert hub.log.tokens(face="modelscope") == hub.log.tokens(face="modelscope-cdn") == set()


def test_versions_of_http(tmp_path: Path, repo: Repo) -> None:
    certificate, key = make_certificate(tmp_path)
    context = server_context(certificate, key, alpn=("h2", "http/1.1"))
    with LoopbackHub([repo], tls=context) as hub, Net(ca_bundle=certificate) as net:
        hub.fault(Fault("headers", headers={"Alt-Svc": 'h3=":443"; ma=86400'}))
        found = probe(net, Source("hub", hub.url), target(repo), BOUNDS)
    assert found.error is None
    assert found.http == ("h2", "http/1.1", "h3")
    assert found.handshake is not None
    assert found.handshake.tls is not None


def test_jitter_and_median() -> None:
    found = Probe(Source("x", "https://x"), latencies=(0.1, 0.3, 0.2), lost=1)
    assert (found.latency, found.loss) == (0.2, 0.25)
    assert found.jitter == pytest.approx(0.15)
