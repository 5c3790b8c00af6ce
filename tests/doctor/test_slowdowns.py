"""Sources that were much slower than at such an hour of other days, and noise of which nothing is said."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from orchestrator.core.refs import parse_ref
from orchestrator.core.sources import Source
from orchestrator.doctor.facts import Facts, SourceFacts
from orchestrator.doctor.history import Past
from orchestrator.doctor.slowdowns import findings_of, slowdowns
from orchestrator.mirrors.probe import Probe

NOW = datetime(2026, 11, 25, 14, 5).astimezone()
"""A Wednesday."""
GB = 10**9
RATES = {"near": 10e6, "far": 5e6}


def pulled(at: datetime, size: float = GB, **rates: float) -> Past:
    """A pull over sources of these rates, all of them busy to its end."""
    together = sum(rates.values())
    sent = {name: round(size * rate / together) for name, rate in rates.items()}
    return Past(at.timestamp(), "org/m@main", round(size), size / together, sent)


def days(number: int, step: int = 1, hour: int = 14) -> Iterator[datetime]:
    """So many moments before NOW, the oldest first, with some minutes between their times of the day."""
    for back in range(number, 0, -1):
        yield NOW.replace(hour=hour) - timedelta(days=step * back, minutes=7 * (back % 5))


def usually(number: int = 40, step: int = 1, **rates: float) -> list[Past]:
    """Pulls whose rates differ by some percent."""
    return [
        pulled(at, GB, **{name: rate * (1 + 0.05 * (number % 5 - 2)) for name, rate in (rates or RATES).items()})
        for number, at in enumerate(days(number, step))
    ]


def test_a_mirror_that_is_five_times_slower_than_on_other_wednesdays() -> None:
    (slow,) = slowdowns([*usually(10, 7), pulled(NOW, near=2e6, far=5e6)])
    assert (slow.source, slow.at, slow.pulls) == ("near", NOW.timestamp(), 10)
    assert slow.times == pytest.approx(5, rel=0.1)
    assert slow.message.endswith("times slower in the pull of 2026-11-25 14:05 than on other Wednesdays around 14:00")
    assert slow.measured == "2.00 MB/s, and 10.0 MB/s in the median of 10 pulls"


def test_where_few_were_on_that_weekday_it_is_compared_with_days_of_its_kind() -> None:
    assert slowdowns([*usually(20), pulled(NOW, near=2e6, far=5e6)])[0].message.endswith(
        "other working days around 14:00"
    )
    on_saturdays = [*usually(60), pulled(NOW + timedelta(days=3), near=2e6, far=5e6)]
    assert slowdowns(on_saturdays)[0].message.endswith("other weekends around 14:00")
    assert slowdowns([*usually(11), pulled(NOW, near=2e6, far=5e6)])[0].message.endswith("other days around 14:00")


def test_a_slow_evening_is_usual_in_the_evening() -> None:
    evenings = [pulled(at, near=2e6, far=5e6) for at in days(40, hour=21)]
    history = sorted([*usually(40), *evenings], key=lambda one: one.at)
    assert slowdowns([*history, pulled(NOW.replace(hour=21), near=2e6, far=5e6)]) == ()
    assert slowdowns([*history, pulled(NOW.replace(hour=14), near=2e6, far=5e6)]) != ()


@pytest.mark.parametrize(
    ("history", "last"),
    [
        (usually(9), pulled(NOW, near=2e6, far=5e6)),
        ([one for at in days(3) for one in [pulled(at, near=10e6, far=5e6)] * 20], pulled(NOW, near=2e6, far=5e6)),
        (usually(), pulled(NOW, 40e6, near=2e6, far=5e6)),
        (usually(near=100e6, far=50e6), pulled(NOW, 300e6, near=20e6, far=50e6)),
        (usually(), pulled(NOW, near=5e6, far=5e6)),
        (usually(), pulled(NOW, near=2e6, far=5e6, new=20e6)),
        (usually(), replace(pulled(NOW, near=2e6, far=5e6), is_held=True)),
        (usually(), pulled(NOW.replace(hour=3), near=2e6, far=5e6)),
    ],
    ids=["few pulls", "few days", "few bytes", "a short pull", "half as fast", "others made up for it", "with a limit",
         "at another hour"],
)  # fmt: skip
def test_nothing_is_said(history: list[Past], last: Past) -> None:
    assert slowdowns([*history, last]) == ()


def test_only_the_last_pull_of_a_source_counts_and_none_before_a_moment() -> None:
    slow, well = pulled(NOW, near=2e6, far=5e6), pulled(NOW + timedelta(hours=1), near=10e6, far=5e6)
    assert slowdowns([*usually(), slow, well]) == ()
    assert slowdowns([*usually(), slow], since=slow.at) != ()
    assert slowdowns([*usually(), slow], since=slow.at + 1) == ()


def test_models_of_one_run_share_its_line() -> None:
    run = [replace(one, seconds=10 * one.seconds) for one in [pulled(NOW, near=10e6, far=5e6)] * 10]
    assert slowdowns([*usually(), *run]) == ()


def test_a_history_of_odd_figures_is_borne() -> None:
    odd = [Past(1e18, "m", 1, 0.0, {"near": GB}), Past(-1e18, "m", 1, 60.0, {"near": -GB}), Past(0.0, "m", 0, 0.0)]
    assert slowdowns(odd) == ()


def noisy(seed: int) -> list[Past]:
    """A history of one to four sources with cycles of day and week, days that are odd, sizes of all kinds, a line that
    all share, and noise with heavy tails; nothing happens in it."""
    chance = random.Random(seed)
    names = [f"mirror-{number}" for number in range(chance.randint(1, 4))]
    mean = {name: math.exp(chance.uniform(13, 18)) for name in names}
    spread = {name: chance.uniform(0.05, 0.6) for name in names}
    line, of_days = math.exp(chance.uniform(14.5, 18.5)), chance.uniform(0, 0.3)
    evening, weekend = chance.uniform(0.3, 1), chance.uniform(0.5, 1.5)
    hours = [chance.randrange(24) for _ in range(chance.randint(1, 3))]
    found = []
    for back in range(chance.choice((15, 40, 100)), -1, -1):
        odd = {name: chance.gauss(0, of_days) for name in names}
        for _ in range(chance.choice((1, 1, 2))):
            at = (NOW - timedelta(days=back)).replace(hour=chance.choice(hours), minute=chance.randrange(60))
            usual = (evening if at.hour >= 18 else 1) * (weekend if at.weekday() >= 5 else 1)
            tails = {
                name: spread[name] * chance.gauss(0, 1) / math.sqrt(chance.gammavariate(3, 1 / 3)) for name in names
            }
            rates = {name: mean[name] * usual * math.exp(odd[name] + tails[name]) for name in names}
            together = min(sum(rates.values()), line)
            size = math.exp(chance.uniform(14, 24))
            sent = {name: round(size * rate / sum(rates.values())) for name, rate in rates.items()}
            seconds = size / together + chance.uniform(0.5, 4)
            found.append(Past(at.timestamp(), "org/m@main", round(size), seconds, sent))
    return sorted(found, key=lambda one: one.at)


def test_noise_is_no_slowdown() -> None:
    wrong = [seed for seed in range(1000) if slowdowns(noisy(seed))]
    print(f"false alarms in 1,000 noisy histories: {len(wrong)}, of the seeds {wrong}")
    assert len(wrong) < 10


def test_a_finding_has_its_cost_and_goes_with_the_source_or_when_it_is_well_again() -> None:
    slow = slowdowns([*usually(), pulled(NOW, near=2e6, far=5e6)])
    near = Source("near", "https://near.example.com")

    def facts(*rates: tuple[int, float]) -> Facts:
        return Facts(10 * GB, (SourceFacts(near, Probe(near, rates=rates)),))

    (finding,) = findings_of(slow, facts((1, 2e6)), parse_ref("org/m"))
    assert (finding.code, finding.source, finding.command) == (
        "slower-than-usual",
        "near",
        "glm-aria mirrors probe org/m@main",
    )
    assert finding.cost == pytest.approx(10 * GB / 7e6 - 10 * GB / 15e6, rel=0.05)
    assert [one.command for one in findings_of(slow, facts())] == ["glm-aria mirrors probe"]
    assert list(findings_of(slow, Facts(GB))) == []
    assert list(findings_of(slow, facts((1, 2e6), (4, 8e6)))) == []
