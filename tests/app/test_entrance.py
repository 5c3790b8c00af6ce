"""A server whose settings name itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.app.entrance import Auth, Entrance, refuse_itself
from orchestrator.errors import UsageError
from orchestrator.events import Event
from orchestrator.serve.server import ListenAddress
from orchestrator.settings import Settings, load

HERE = ListenAddress("127.0.0.1", 8090)


def settings_of(folder: Path, root: str, *mirrors: str) -> Settings:
    environ = {"HF_HOME": str(folder), "HF_ENDPOINT": root, "GLM_ARIA_MIRRORS": " ".join(mirrors)}
    return load(environ=environ, folder=folder, personal=folder / "none.toml")


@pytest.mark.parametrize(
    "root",
    [
        "http://127.0.0.1:8090",
        "http://127.0.0.1:8090/hub",
        "http://localhost:8090",
        "http://LOCALHOST:8090/hub",
    ],
)
def test_one_that_would_ask_itself_is_refused(tmp_path: Path, root: str) -> None:
    with pytest.raises(UsageError) as refused:
        refuse_itself(settings_of(tmp_path, root), HERE)
    assert "HF_ENDPOINT" in refused.value.message


@pytest.mark.parametrize("root", ["http://127.0.0.1:8091", "http://127.0.0.2:8090", "https://localhost:8090"])
def test_its_neighbours_are_not(tmp_path: Path, root: str) -> None:
    refuse_itself(settings_of(tmp_path, root, "http://localhost"), HERE)


@pytest.mark.parametrize("root", ["http://127.0.0.2:8090", "http://localhost:8090", "http://[::1]:8090"])
def test_one_that_listens_everywhere_is_each_address_of_its_machine(tmp_path: Path, root: str) -> None:
    with pytest.raises(UsageError):
        refuse_itself(settings_of(tmp_path, root), ListenAddress("0.0.0.0", 8090))
    refuse_itself(settings_of(tmp_path, "http://192.0.2.1:8090"), ListenAddress("0.0.0.0", 8090))


def test_one_with_a_certificate_is_met_by_https(tmp_path: Path) -> None:
    secure = ListenAddress("127.0.0.1", 8090, "https")
    refuse_itself(settings_of(tmp_path, "http://127.0.0.1:8090"), secure)
    with pytest.raises(UsageError):
        refuse_itself(settings_of(tmp_path, "https://localhost:8090"), secure)


def test_one_with_a_name_is_met_there_behind_any_proxy(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "https://models.example.org/hub")
    refuse_itself(settings, HERE)
    with pytest.raises(UsageError):
        refuse_itself(replace(settings, serve_hosts=("models.example.org",)), HERE)


def test_a_mirror_is_told_as_one(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "http://127.0.0.1:8091", "http://localhost:8090")
    with pytest.raises(UsageError) as refused:
        refuse_itself(settings, HERE)
    assert "GLM_ARIA_MIRRORS" in refused.value.message


@pytest.mark.parametrize(
    ("auth", "hosts", "needed", "warned"),
    [
        (None, ("127.0.0.1",), False, 0),
        (None, ("127.0.0.1", "::1"), False, 0),
        (None, ("127.0.0.1", "0.0.0.0"), True, 0),
        (None, ("10.0.0.1", "127.0.0.1"), True, 0),
        ("none", ("127.0.0.1", "0.0.0.0"), False, 1),
        ("tokens", ("127.0.0.1", "127.0.0.1"), True, 0),
    ],
)
def test_a_token_is_needed_at_all_addresses_where_others_reach_one(
    auth: Auth | None, hosts: tuple[str, ...], needed: bool, warned: int
) -> None:
    told: list[Event] = []
    addresses = [ListenAddress(host, 1) for host in hosts]
    assert Entrance("", auth=auth).needs_token(addresses, told.append) is needed
    assert len(told) == warned


@pytest.mark.parametrize(
    ("listen", "scheme", "names", "near"),
    [
        ("127.0.0.1", "http", (), "http://127.0.0.1:8090/p"),
        ("0.0.0.0", "http", (), "http://127.0.0.1:8090/p"),
        ("::", "http", ("registry.lab",), "http://[::1]:8090/p"),
        ("192.0.2.7", "http", ("registry.lab",), "http://192.0.2.7:8090/p"),
        ("0.0.0.0", "https", ("registry.lab", "other.lab"), "https://registry.lab:8090/p"),
        ("127.0.0.1", "https", ("localhost",), "https://localhost:8090/p"),
    ],
)
def test_programs_here_find_a_server_by_the_name_in_its_certificate_or_on_loopback(
    listen: str, scheme: str, names: tuple[str, ...], near: str
) -> None:
    certificate = Path("cert.pem") if scheme == "https" else None
    entrance = Entrance("", "/p", None, certificate, certificate)
    assert entrance.near(ListenAddress(listen, 8090, scheme), names) == near
