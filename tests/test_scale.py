"""Each item costs the same however many there are: counts of calls at n, 2n and 4n. No times are judged here."""

from __future__ import annotations

import cProfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cache.cache import Cache
from orchestrator.core.refs import Target
from orchestrator.system.signals import Stop
from orchestrator.upkeep.collect import collect
from orchestrator.upkeep.contents import contents
from orchestrator.upkeep.garbage import Rules
from orchestrator.upkeep.verify import VerifyRequest, verify
from scripts.scalelib.__main__ import Point, block, picture
from scripts.scalelib.picture import Axis, Level
from scripts.scalelib.worlds import WORLDS, fill
from tests import plain
from tests.cache.world import World, model_of

N = 12
LATER = 7200.0
Work = Callable[[Cache], Any]


def calls(work: Callable[[], Any]) -> int:
    """The number of calls of functions, of Python and of C, that this thread makes."""
    profile = cProfile.Profile()
    profile.runcall(work)
    return sum(entry.callcount for entry in profile.getstats())


def assert_linear(count: Callable[[int], int]) -> None:
    """The second n items may cost a tenth more than the first, as sorting does; what is squared costs twice as much."""
    first, second, fourth = count(N), count(2 * N), count(4 * N)
    assert (fourth - second) / 2 <= 1.1 * (second - first)


def list_all(cache: Cache) -> None:
    assert contents(cache).repos


def remove_all(cache: Cache) -> None:
    targets = tuple(Target(repo.repo) for repo in contents(cache).repos)
    assert collect(Rules(time.time() + LATER, targets=targets), cache, act=True).is_done


def collect_old(cache: Cache) -> None:
    assert collect(Rules(time.time() + LATER, older_than=1.0, litter=True), cache, act=True).is_done


def shrink(cache: Cache) -> None:
    assert collect(Rules(time.time() + LATER, keep_size=0), cache, act=False).garbage


def verify_all(cache: Cache) -> None:
    assert verify(VerifyRequest(fast=True), cache, None, stop=Stop(), emit=plain.Heard()).files


@pytest.mark.parametrize("work", [list_all, remove_all, collect_old, shrink, verify_all])
def test_repos_of_a_cache(tmp_path: Path, work: Work) -> None:
    def count(repos: int) -> int:
        with plain.cache(tmp_path / str(repos)) as cache:
            fill(cache.layout.cache_dir, repos)
            return calls(lambda: work(cache))

    assert_linear(count)


@pytest.mark.parametrize("work", [list_all, remove_all, verify_all])
def test_files_of_a_repo(tmp_path: Path, work: Work) -> None:
    def count(tens: int) -> int:
        world, model, content = _large(tmp_path / str(tens), 5 * tens)
        world.pull(model, content)
        with plain.cache(tmp_path / str(tens)) as cache:
            return calls(lambda: work(cache))

    assert_linear(count)


def test_pins_beside_repos(tmp_path: Path) -> None:
    def count(repos: int) -> int:
        with plain.cache(tmp_path / str(repos)) as cache:
            fill(cache.layout.cache_dir, repos)
            cache.pins.add(Target(repo.repo) for repo in contents(cache).repos)
            return calls(lambda: contents(cache))

    assert_linear(count)


def test_files_that_are_placed_in_batches(tmp_path: Path) -> None:
    def count(batches: int) -> int:
        world, model, content = _large(tmp_path / str(batches), 5 * batches)
        entries = world.entries(model.wanted.files, content)

        def place() -> None:
            for start in range(0, len(entries), 5):
                world.cache.place(model.ref.repo, model.commit, entries[start : start + 5])

        return calls(place)

    assert_linear(count)


def test_models_that_are_looked_for_beside_others(tmp_path: Path) -> None:
    def count(models: int) -> int:
        with plain.cache(tmp_path / str(models)) as cache:
            fill(cache.layout.cache_dir, models)
            verify_all(cache)
        with plain.cache(tmp_path / str(models)) as cache:
            new = [model_of({"a.json": b"%d" % number}, name=f"org/new-{number}") for number in range(models)]
            return calls(lambda: [cache.blobs.find(model.ref.repo, model.wanted.files) for model in new])

    assert_linear(count)


def _large(home: Path, files: int) -> tuple[World, Any, dict[str, bytes]]:
    content = {f"{number % 10}/{number}.json": b"%d" % number for number in range(files)}
    return World(home), model_of(content), content


# -- the pictures of scripts/bench-scale -------------------------------------------------------------------------------


def test_an_axis_of_powers_of_ten() -> None:
    axis = Axis.over([300, 10_000], 200.0)
    assert axis.ticks == ((0.0, "100"), (100.0, "1,000"), (200.0, "10,000"))
    assert axis.at(1000) == pytest.approx(100.0)
    assert Axis.over([0.2, 0.3], 10.0).ticks == ((0.0, "0.1"), (10.0, "1"))


def test_a_linear_axis_from_zero() -> None:
    axis = Level.over([0.3, 1.42], 100.0)
    assert axis.high == 1.5
    assert axis.at(0.75) == pytest.approx(50.0)
    assert axis.ticks[1][1] == "0.3"


def test_a_picture_and_a_table_have_every_point() -> None:
    points = [Point("cache ls", peer, n, n / 100, 40.0) for n in (300, 1000) for peer in ("glm-aria", "hf")]
    world = next(world for world in WORLDS if world.name == "repos")
    drawn = ET.fromstring(picture(world, points))
    space = "{http://www.w3.org/2000/svg}"
    assert len(drawn.findall(f".//{space}circle")) == 2 * len(points)
    texts = {text.text for text in drawn.iter(f"{space}text")}
    assert {"cache ls, glm-aria", "cache ls, hf", "CPU seconds", "MB at the peak"} <= texts
    table = block(world, points, "Made by hand.")
    assert "| cache ls | 1,000 | 10.00 | 10.00 | 40 | 10.00 | 40 |" in table
    assert "pictures/scale-repos.svg" in table
