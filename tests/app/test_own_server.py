"""Whose registry of models is asked where the settings name none, or a server that their user runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from orchestrator.app.compose import runtime_of
from orchestrator.app.registry.own_server import with_own_registry
from orchestrator.oci.login import Login
from orchestrator.oci.logins import keep_login
from orchestrator.servers import announced
from orchestrator.settings import Settings, load

NEAR = "https://registry.lab:8090"


@pytest.fixture
def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ExitStack]:
    """A place for servers of this user, who has no logins."""
    runtime, home = tmp_path / "runtime", tmp_path / "home"
    for folder in (runtime, home):
        folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    with ExitStack() as stack:
        yield stack


def settings_of(folder: Path, registry: str = "") -> Settings:
    environ = {"HF_HOME": str(folder / "hf"), "GLM_ARIA_REGISTRY": registry}
    return load(environ={name: text for name, text in environ.items() if text}, folder=folder, personal=folder / "none")


def start(servers: ExitStack, settings: Settings, token: str, near: str = NEAR, *, has_registry: bool = True) -> None:
    runtime = runtime_of(settings)
    url = "http://[::1]:1"
    served = announced(runtime, url, settings.cache_dir, token, near=near, has_registry=has_registry)
    servers.enter_context(served)


def asked(settings: Settings, state: Path) -> tuple[str | None, str | None]:
    found = with_own_registry(settings, state)
    return found.registry_url, found.registry_token


def test_the_server_that_its_user_runs_is_meant(servers: ExitStack, tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    assert asked(settings, tmp_path) == (None, None)
    start(servers, settings, "none", "https://mirror.lab", has_registry=False)
    assert asked(settings, tmp_path) == (None, None)
    start(servers, settings, "own")
    assert asked(settings, tmp_path) == (NEAR, "own")
    assert asked(settings_of(tmp_path, NEAR), tmp_path) == (NEAR, "own")
    other = "https://models.example"
    assert asked(settings_of(tmp_path, other), tmp_path) == (other, None)
    start(servers, settings, "another", "https://second.lab")
    assert asked(settings, tmp_path) == (None, None), "which one is for its user to say"
    assert asked(settings_of(tmp_path, "https://second.lab"), tmp_path) == ("https://second.lab", "another")


def test_a_login_counts_before(servers: ExitStack, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, NEAR)
    start(servers, settings, "own")
    keep_login(tmp_path / "auth.json", "registry.lab:8090", Login("ann", "gla_of_a_reader"))
    assert asked(settings, tmp_path) == (NEAR, None)
