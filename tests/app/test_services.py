"""What the commands call, over a cache that is empty: no server, no aria2."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.app.aria2_input import write_aria2_input
from orchestrator.app.out_of_cache import LinkHow
from orchestrator.app.services import Services
from orchestrator.app.sites.examination import current, request_of
from orchestrator.core.refs import parse_ref, parse_target
from orchestrator.errors import NotFoundError, UsageError
from orchestrator.events import ignore
from orchestrator.settings import load
from orchestrator.upkeep.garbage import Rules
from orchestrator.upkeep.verify import VerifyRequest
from tests.cli.builders import plan_of


@pytest.fixture
def services(tmp_path: Path) -> Services:
    environ = {"HF_HOME": str(tmp_path / "hf"), "GLM_ARIA_MIRRORS": "http://127.0.0.1:9"}
    return Services(load(environ=environ, folder=tmp_path, personal=tmp_path / "none.toml"))


def test_looking_writes_nothing(services: Services, tmp_path: Path) -> None:
    assert services.look().repos == ()
    assert services.watched(None) == ()
    assert services.past_pulls() == ()
    assert services.tuning() == ()
    sources, stats = services.known_mirrors()
    assert [source.is_root for source in sources] == [True, False]
    assert not stats.entries
    assert services.verify(VerifyRequest(), ignore, repair=False).files == ()
    assert not services.collect(Rules(0.0, litter=True), act=False).garbage
    assert list(tmp_path.iterdir()) == []


def test_recipes_know_only_mirrors_that_the_user_named(services: Services, tmp_path: Path) -> None:
    (tmp_path / "glm-aria.toml").write_text("[[mirror]]\nurl = 'http://127.0.0.1:8'\n")
    settings = load(environ={"HF_HOME": str(tmp_path / "hf")}, folder=tmp_path, personal=tmp_path / "none.toml")
    assert "http://127.0.0.1:8" in [source.url for source in Services(settings).known_mirrors()[0]]
    assert [source.url for source in Services(settings).known_to_recipes().sources] == [settings.root.url]
    urls = [source.url for source in services.known_to_recipes().sources]
    assert sorted(urls) == sorted([settings.root.url, "http://127.0.0.1:9"])


def test_pins_stay(services: Services) -> None:
    target = parse_target("org/name")
    services.settings.cache_dir.mkdir(parents=True)
    assert services.pin([target], keep=True)[""] == {target}
    assert services.pin([target], keep=False)[""] == frozenset()


def test_what_is_not_there(services: Services, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        services.link(parse_target("org/name"), tmp_path / "project", "flat", LinkHow("copy"))
    with pytest.raises(UsageError, match="shared Redis"):
        services.node_uses()
    assert services.forgive_mirror("nobody") == ()


def test_an_input_for_aria2_names_every_source(services: Services, tmp_path: Path) -> None:
    write_aria2_input(services.settings, plan_of(), tmp_path / "jobs.txt")
    text = (tmp_path / "jobs.txt").read_text()
    assert "https://huggingface.co/org/name/resolve/" in text
    assert "http://127.0.0.1:9/org/name/resolve/" in text
    assert "checksum=sha-256=" + "a" * 64 in text


def test_an_input_for_aria2_tells_mirrors_nothing_of_a_closed_repo(services: Services, tmp_path: Path) -> None:
    plan = plan_of()
    closed = replace(plan, jobs=tuple(replace(job, is_restricted=True) for job in plan.jobs))
    write_aria2_input(services.settings, closed, tmp_path / "jobs.txt")
    text = (tmp_path / "jobs.txt").read_text()
    assert "https://huggingface.co/org/name/resolve/" in text
    assert "127.0.0.1" not in text


def test_what_the_doctor_is_told(services: Services) -> None:
    request = request_of(services.settings, parse_ref("org/name"), (), None)
    assert (request.connections, request.budget, request.is_offline) == (256, 64, False)
    assert current(services.settings).mirrors == services.settings.mirrors


def test_a_mirror_of_the_working_directorys_file_is_not_tuned_into_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "glm-aria.toml").write_text("[[mirror]]\nurl = 'https://m.example'\n")
    (tmp_path / "glm-aria.toml").chmod(0o600)
    settings = load(environ={"HF_HOME": str(tmp_path)}, folder=tmp_path, personal=tmp_path / "none.toml")
    assert len(settings.mirrors) == 1
    assert current(settings).mirrors == ()
