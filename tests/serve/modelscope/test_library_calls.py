"""What programs call of ModelScope's library, through the server: the newest, and the last with its own downloader."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.installs import python_of
from tests.hub.content import MIB, generate
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.machine.machine import Machine
from tests.serve.conftest import Users
from tests.serve.servers import Server

FILES = {"model.safetensors": generate(3 * MIB, 5), "config.json": b"{}", "sub/a.txt": b"a"}
ROWS = {f"rows/{number}.csv": b"%d" % number for number in range(9)}
NEWEST = "from modelscope_hub.compat import dataset_snapshot_download, model_file_download, snapshot_download\n"
OLD = (
    "from modelscope.hub.file_download import model_file_download\n"
    "from modelscope.hub.snapshot_download import dataset_snapshot_download, snapshot_download\n"
)
CALLS = """
import json, pathlib, sys
more = json.loads(sys.argv[1])
whole = pathlib.Path(snapshot_download("org/m", **more))
part = pathlib.Path(snapshot_download("org/m", local_dir="part", allow_patterns=["sub/*"], **more))
one = pathlib.Path(model_file_download("org/m", "config.json", local_dir="one", revision="v1", **more))
rows = pathlib.Path(dataset_snapshot_download("org/rows", **more))
def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.name[0] != ".")
print(json.dumps([files(whole), files(part), one.read_text(), files(rows)]))
"""


@pytest.fixture
def server(machine: Machine, hub: LoopbackHub, repo: Repo) -> Iterator[Server]:
    repo.tag("v1")
    hub.add(Repo("dataset", "org/rows", ROWS))
    made = Server.start(machine, "--mirror", f"modelscope+{hub.modelscope().url}")
    yield made
    made.stop()


@pytest.mark.parametrize("version", ["newest", "modelscope-1.37"])
def test_snapshots_single_files_and_datasets(version: str, server: Server, users: Users) -> None:
    user = users(server)
    is_old = version != "newest"
    python = str(python_of(version) if is_old else Path(sys.executable))
    more = {"endpoint": user.url} if is_old else {}
    done = user.run(python, "-c", (OLD if is_old else NEWEST) + CALLS, json.dumps(more), MODELSCOPE_ENDPOINT=user.url)
    assert done.returncode == 0, done.stdout
    whole, part, one, rows = json.loads(done.stdout.strip().splitlines()[-1])
    assert (whole, part, one, rows) == (sorted(FILES), ["sub/a.txt"], "{}", sorted(ROWS))


def test_a_download_with_a_report(server: Server, users: Users) -> None:
    """The one mode in which it refuses a listing without sizes and digests."""
    user = users(server)
    client = str(Path(sys.executable).with_name("modelscope"))
    words = ("download", "org/m", "--local-dir", "out", "--continue-on-error")
    done = user.run(client, *words, MODELSCOPE_ENDPOINT=user.url)
    assert done.returncode == 0, done.stdout
    assert f"COMPLETE: {len(FILES)}/{len(FILES)} verified" in done.stdout
    assert {path: (user.folder / "out" / path).read_bytes() for path in FILES} == FILES
