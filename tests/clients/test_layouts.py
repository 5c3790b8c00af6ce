"""Models that `cache link` put into the cache of ModelScope's client: its versions find them without a network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.core.refs import RepoId, RepoType, Target
from orchestrator.folders.link import LinkRequest, link
from orchestrator.layouts.interface import ToolFolder
from orchestrator.layouts.known import layouts
from orchestrator.system.signals import Stop
from tests import plain
from tests.clients.installs import python_of
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo

REPO = RepoId(RepoType.MODEL, "org/m-1.5")
ASK = """
from {package}.snapshot_download import snapshot_download
from {package}.file_download import model_file_download
print(snapshot_download("org/m-1.5", local_files_only=True))
print(model_file_download("org/m-1.5", "config.json", local_files_only=True))
"""


@pytest.mark.parametrize(
    ("layout", "package", "environment"),
    [
        ("modelscope", "modelscope_hub.compat", None),
        ("modelscope-1.37", "modelscope_hub.compat", None),
        ("modelscope-1.37", "modelscope.hub", "modelscope-1.37"),
    ],
)
def test_the_client_finds_a_linked_model(tmp_path: Path, layout: str, package: str, environment: str | None) -> None:
    folder = tmp_path / "scope"
    with plain.cache(tmp_path) as cache:
        plain.put(cache, repo=REPO)
        link(LinkRequest(Target(REPO), ToolFolder(folder, ""), layouts()[layout]), cache, stop=Stop())
    python = str(python_of(environment)) if environment else sys.executable
    # Nothing listens there: a client that asked a server would fail.
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MODELSCOPE_CACHE": str(folder),
               "MODELSCOPE_DOMAIN": "127.0.0.1:9"}  # fmt: skip
    command = [python, "-c", ASK.format(package=package)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    snapshot, config = map(Path, done.stdout.splitlines()[-2:])
    assert {path: (snapshot / path).read_bytes() for path in plain.FILES} == plain.FILES
    assert config == snapshot / "config.json"


def test_the_client_fetches_nothing_of_it_when_it_may(tmp_path: Path) -> None:
    folder = tmp_path / "scope"
    with plain.cache(tmp_path) as cache:
        plain.put(cache, repo=REPO)
        link(LinkRequest(Target(REPO), ToolFolder(folder, ""), layouts()["modelscope"]), cache, stop=Stop())
    ask = "from modelscope_hub.compat.snapshot_download import snapshot_download as get; print(get('org/m-1.5'))"
    with LoopbackHub([Repo("model", REPO.name, dict(plain.FILES))]) as hub:
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MODELSCOPE_CACHE": str(folder),
                   "MODELSCOPE_ENDPOINT": hub.modelscope().url}  # fmt: skip
        command = [sys.executable, "-c", ask]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        hub.log.settle()
        asked = [exchange.path.partition("?")[0] for exchange in hub.log.requests()]
    assert set(asked) == {f"/api/v1/models/{REPO.name}/repo/files"}
