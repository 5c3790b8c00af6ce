"""Where the registry of a server answers by gRPC, and where it must not; and what is told of the registry below."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.app.registry.facade import open_registry
from orchestrator.app.registry.faces import rpc_place
from orchestrator.errors import UsageError
from orchestrator.events import Event, Notice
from orchestrator.net.session import Net
from orchestrator.oci.registries import Registries
from orchestrator.settings import Settings, load
from tests.servers.ports import free_port
from tests.servers.registry import Answered, SmallServer

REGISTRY = "http://127.0.0.1:5000"
CERTIFICATE, KEY = Path("cert.pem"), Path("key.pem")


@pytest.fixture(autouse=True)
def open_files() -> Iterator[None]:
    """Few open files at first."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (800, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def settings_of(folder: Path, place: str, registry: str = REGISTRY) -> Settings:
    environ = {"HF_HOME": str(folder), "GLM_ARIA_SERVE_REGISTRY_GRPC": place, "GLM_ARIA_SERVE_REGISTRY": registry}
    return load(environ={name: text for name, text in environ.items() if text}, folder=folder, personal=folder / "none")


def test_there_is_none_unless_it_is_named(tmp_path: Path) -> None:
    assert rpc_place(settings_of(tmp_path, ""), None, None) is None


@pytest.mark.parametrize("place", ["127.0.0.1:8092", "[::1]:8092", "127.0.0.1:0"])
def test_this_machine_needs_no_certificate(tmp_path: Path, place: str) -> None:
    found = rpc_place(settings_of(tmp_path, place), None, None)
    assert found is not None
    assert (found.listen, found.files.certificate) == (place, None)


@pytest.mark.parametrize("place", ["0.0.0.0:8092", "*:8092", "192.0.2.7:8092", "[::]:8092"])
def test_other_machines_are_answered_with_a_certificate_alone(tmp_path: Path, place: str) -> None:
    settings = settings_of(tmp_path, place)
    with pytest.raises(UsageError) as refused:
        rpc_place(settings, None, None)
    assert "--registry-grpc 127.0.0.1:8092" in str(refused.value.hint)
    found = rpc_place(settings, CERTIFICATE, KEY)
    assert found is not None
    assert (found.files.certificate, found.files.key) == (CERTIFICATE, KEY)


def test_it_is_for_a_server_with_a_registry(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        rpc_place(settings_of(tmp_path, "127.0.0.1:8092", ""), None, None)


def test_connections_leave_descriptors_for_all_else(tmp_path: Path) -> None:
    found = rpc_place(settings_of(tmp_path, "127.0.0.1:8092"), None, None)
    assert found is not None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert found.most_connections == min(1024, soft // 8)


def test_a_registry_below_that_is_of_no_use_is_told_when_the_server_starts(tmp_path: Path) -> None:
    refusing = SmallServer(lambda _: Answered(401, b"", {"WWW-Authenticate": 'Bearer realm="http://127.0.0.1:1/t"'}))
    with refusing, Net(sleep=lambda _: None) as net:
        for address, words in ((f"http://127.0.0.1:{free_port()}", "cannot be reached"), (refusing.url, "certificate")):
            told: list[Event] = []
            (tmp_path / "stage").mkdir(exist_ok=True)
            facade = open_registry(settings_of(tmp_path, "", address), tmp_path, Registries(net), told.append)
            assert facade is not None
            facade.look(told.append)
            (notice,) = told
            assert isinstance(notice, Notice)
            assert (notice.code, words in notice.message) == ("registry-below", True), notice
