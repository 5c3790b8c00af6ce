"""How measurements are averaged and how they age; `sources.json` keeps them, whatever befalls the file."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from orchestrator.core.sources import Source
from orchestrator.mirrors.stats import FAILURE_HALF_LIFE, HALF_LIFE, Evidence, Observation, Remembered, SourceStats

NOW = 1_800_000_000.0
FAILED = (Observation(failed=True),)
NEAR, FAR = Source("near", "https://near.example/hf"), Source("far", "http://far.example:8000")
EVIDENCE = Evidence("model.safetensors", "sha256:aa", "sha256:bb", 0, 1023)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "stage").mkdir()
    return tmp_path


@pytest.fixture
def memory(state: Path) -> SourceStats:
    return SourceStats(state, now=lambda: NOW)


def test_a_transfer_is_remembered(memory: SourceStats, state: Path) -> None:
    memory.observe({NEAR: (Observation(0.05, 15e6),)})
    memory.observe({NEAR: (Observation(None, 40e6, 8),)})
    known = SourceStats(state, now=lambda: NOW).read().of(NEAR)
    assert (known.rate_one, known.rate_many, known.latency, known.seen) == (15e6, 40e6, 0.05, NOW)
    assert memory.read().of(FAR).rate is None


def test_the_file_is_private_and_nothing_is_left_beside_it(memory: SourceStats, state: Path) -> None:
    memory.observe({FAR: FAILED})
    assert stat.S_IMODE((state / "sources.json").stat().st_mode) == 0o600
    assert list((state / "stage").iterdir()) == []
    assert {path.name for path in state.iterdir()} == {"sources.json", "sources.lock", "stage"}


def test_a_renamed_source_is_the_same_source(memory: SourceStats) -> None:
    memory.quarantine(NEAR, "lied", EVIDENCE)
    assert memory.read().quarantine_of(Source("another name", NEAR.url)) is not None
    assert memory.read().quarantine_of(FAR) is None


def test_quarantine_stays_with_its_first_evidence_until_forgiven(memory: SourceStats) -> None:
    memory.quarantine(NEAR, "lied", EVIDENCE)
    memory.quarantine(NEAR, "lied again")
    memory.observe({NEAR: (Observation(None, 10e6),)})
    found = memory.read().quarantine_of(NEAR)
    assert found is not None
    assert (found.since, found.reason, found.evidence) == (NOW, "lied", EVIDENCE)
    assert memory.forgive("near") == ("near.example/hf",)
    assert memory.read().quarantine_of(NEAR) is None
    assert memory.read().of(NEAR).rate_one == 10e6
    assert memory.forgive("near") == ()


@pytest.mark.parametrize("name", ["far", "far.example:8000", "http://far.example:8000/", "FAR.example:8000"])
def test_forgiven_by_name_or_address(memory: SourceStats, name: str) -> None:
    memory.quarantine(FAR, "lied")
    assert memory.forgive(name) == ("far.example:8000",)


def test_forgiving_writes_nothing_where_there_is_nothing(tmp_path: Path) -> None:
    assert SourceStats(tmp_path / "none").forgive("near") == ()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"version": 2, "sources": {}}',
        '{"version": 1, "sources": {"a": {}}}',
        '{"version": 1, "sources": {"a": {"name": "a", "latency": NaN}}}',
        "[" * 100_000,
    ],
)
def test_a_bad_file_counts_as_empty_and_is_replaced(memory: SourceStats, state: Path, text: str) -> None:
    (state / "sources.json").write_text(text)
    assert memory.read().entries == {}
    memory.observe({FAR: FAILED})
    assert list(memory.read().entries) == [FAR.address]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-1", '"x"', "[]", "1e999"])
def test_numbers_that_are_no_measurements(memory: SourceStats, state: Path, number: str) -> None:
    memory.observe({NEAR: (Observation(0.1, 123456.0),)})
    text = (state / "sources.json").read_text()
    assert "123456.0" in text
    (state / "sources.json").write_text(text.replace("123456.0", number))
    assert memory.read().entries == {}


def test_what_was_not_seen_for_half_a_year_is_forgotten_but_no_liar(state: Path) -> None:
    SourceStats(state, now=lambda: NOW).observe({FAR: FAILED})
    SourceStats(state, now=lambda: NOW).quarantine(NEAR, "lied")
    later = SourceStats(state, now=lambda: NOW + 200 * 86_400)
    later.observe({Source("new", "https://new"): FAILED})
    assert set(later.read().entries) == {NEAR.address, "new"}


def test_no_sample_writes_nothing(memory: SourceStats, state: Path) -> None:
    memory.observe({NEAR: ()})
    assert not (state / "sources.json").exists()


def _write(state: Path, number: int) -> None:
    SourceStats(state).observe({Source(f"s{number}", f"https://s{number}"): (Observation(0.1, 1e6),)})


def test_writers_at_once_lose_nothing(state: Path) -> None:
    with ProcessPoolExecutor(4) as pool:
        list(pool.map(_write, [state] * 24, range(24)))
    found = json.loads((state / "sources.json").read_text())
    assert set(found["sources"]) == {f"s{number}" for number in range(24)}


LADDER = ((1, 1e6), (4, 4e6), (16, 16e6))


def test_rates_by_number_of_connections_are_those_of_the_widest_probe(memory: SourceStats, state: Path) -> None:
    memory.observe({NEAR: (Observation(0.05, 1e6, rates=LADDER),)})
    memory.observe({NEAR: (Observation(0.05, 2e6, rates=((1, 2e6), (8, 9e6))), Observation(None, 9e6, 8))})
    assert SourceStats(state, now=lambda: NOW).read().of(NEAR).rates == LADDER
    newer = ((1, 3e6), (4, 5e6), (16, 6e6))
    memory.observe({NEAR: (Observation(0.05, 3e6, rates=newer),)})
    assert memory.read().of(NEAR).rates == newer
    memory.observe({FAR: (Observation(0.05, 3e6, rates=((1, 3e6),)),)})
    assert memory.read().of(FAR).rates == ()


def test_rates_of_an_older_doctor_are_taken_over(memory: SourceStats, state: Path) -> None:
    memory.observe({NEAR: (Observation(0.05, 15e6),), FAR: (Observation(0.05, 1e6, rates=LADDER),)})
    old = state / "doctor.json"
    old.write_text('{"version": 1, "rates": {"near": [[1, 15e6], [4, 30e6]], "far": [[1, 7.0], [4, 8.0]]}}')
    assert (memory.read().of(NEAR).rates, memory.read().of(FAR).rates) == (((1, 15e6), (4, 30e6)), LADDER)
    memory.observe({FAR: FAILED})
    assert not old.exists()
    assert memory.read().of(NEAR).rates == ((1, 15e6), (4, 30e6))


def test_a_file_without_those_rates_is_read(memory: SourceStats, state: Path) -> None:
    memory.observe({NEAR: (Observation(0.05, 15e6),)})
    file = state / "sources.json"
    data = json.loads(file.read_text())
    del data["sources"][NEAR.address]["rates"]
    file.write_text(json.dumps(data))
    (state / "doctor.json").write_text("{")
    assert memory.read().of(NEAR).rate_one == 15e6


# -- averages and age


def test_the_first_sample_is_taken_as_it_is() -> None:
    known = Remembered("m").after(Observation(0.05, 1e6), NOW)
    assert (known.latency, known.rate_one, known.rate_many, known.seen) == (0.05, 1e6, None, NOW)


def test_the_newest_sample_weighs_half_and_old_averages_less() -> None:
    known = Remembered("m").after(Observation(0.1, 1e6), NOW)
    assert known.after(Observation(0.3, 3e6), NOW).rate_one == pytest.approx(2e6)
    assert known.after(Observation(0.3, 3e6), NOW + HALF_LIFE).rate_one == pytest.approx(2.5e6)
    assert known.after(Observation(0.3, 3e6), NOW + 20 * HALF_LIFE).latency == pytest.approx(0.3, rel=1e-4)


def test_several_connections_are_another_rate() -> None:
    known = Remembered("m").after(Observation(None, 1e6), NOW).after(Observation(None, 8e6, 16), NOW)
    assert (known.rate_one, known.rate_many, known.rate) == (1e6, 8e6, 8e6)


def test_failures_count_fade_and_are_forgiven_by_work() -> None:
    known = Remembered("m").after(Observation(0.1, 1e6), NOW)
    for _ in range(2):
        known = known.after(Observation(failed=True), NOW)
    assert known.failures_at(NOW) == 2
    assert known.failures_at(NOW + FAILURE_HALF_LIFE) == pytest.approx(1)
    assert known.after(Observation(0.1), NOW).failures == 1
    assert known.rate_one == 1e6


def test_a_clock_that_was_set_back_makes_nothing_new() -> None:
    known = Remembered("m").after(Observation(0.1, 1e6), NOW + 10 * HALF_LIFE)
    assert known.confidence(NOW) < 0.01


FINE = {"family": 4, "hour": 3, "connections": 8, "at": 1}


@pytest.mark.parametrize(
    "odd",
    [None, 5, "x", [None], [[1]], [{"family": 4}], [FINE | {"hour": 30}], [FINE | {"connections": -8}], [FINE] * 99],
)
def test_odd_counts_are_forgotten_alone(memory: SourceStats, state: Path, odd: object) -> None:
    """A quarantine beside them stays."""
    memory.observe({NEAR: (Observation(0.05, 1e6, count=32, family=4),)})
    memory.quarantine(NEAR, "wrong bytes")
    path = state / "sources.json"
    data = json.loads(path.read_text())
    assert [one["connections"] for one in data["sources"][NEAR.address]["counts"]] == [32]
    data["sources"][NEAR.address]["counts"] = odd
    path.write_text(json.dumps(data))
    known = memory.read().of(NEAR)
    assert known.quarantine
    assert known.counts == ()
