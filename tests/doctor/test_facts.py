"""What is said of a source from what was measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.core.sources import Source
from orchestrator.doctor.facts import Facts, Freshness, SourceFacts
from orchestrator.errors import TemporaryError
from orchestrator.mirrors.probe import Probe
from orchestrator.mirrors.stats import Quarantine

SOURCE = Source("one", "https://one.test")
FACTS = SourceFacts(SOURCE, Probe(SOURCE, rates=((1, 2e6), (4, 9e6), (16, 7e6))))


def test_the_best_rate_has_its_number_of_connections() -> None:
    assert FACTS.best == (4, 9e6)
    assert SourceFacts(SOURCE, Probe(SOURCE)).best is None


@pytest.mark.parametrize(("connections", "rate"), [(1, 2e6), (3, 2e6), (4, 9e6), (64, 9e6)])
def test_the_rate_with_at_most_so_many_connections(connections: int, rate: float) -> None:
    assert FACTS.rate_with(connections) == rate


def test_a_source_is_usable_that_answers_and_has_the_model() -> None:
    assert FACTS.is_usable
    assert not replace(FACTS, state=Freshness.ABSENT).is_usable
    assert not replace(FACTS, quarantine=Quarantine(0.0, "lied")).is_usable
    gone = replace(FACTS, probe=Probe(SOURCE, error=TemporaryError("too slow")))
    assert (gone.is_usable, gone.error) == (False, "too slow")


def test_the_best_of_all_is_that_of_a_usable_source() -> None:
    faster = replace(FACTS, probe=replace(FACTS.probe, rates=((1, 50e6),)), state=Freshness.ABSENT)
    assert Facts(1, (FACTS, faster)).best_rate == 9e6
    assert Facts(1).best_rate is None
