"""Files that are larger than a file of this process, or of this file system, may be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub.content import generate
from tests.hub.repos import Repo
from tests.machine import conditions as on
from tests.machine.fixtures import MakeHub
from tests.machine.machine import REPOSITORY, Machine

FILES = {"config.json": b"{}", "small.bin": generate(300_000, 1), "large.bin": generate(3_000_000, 1)}


@pytest.mark.parametrize("limit", [100_000, 1_000_000])
def test_a_limit_of_file_sizes_is_told_before_the_first_byte(
    machine: Machine, make_hub: MakeHub, repo: Repo, limit: int
) -> None:
    hub = make_hub(repo)
    done = machine.pull("org/m", **on.limited(fsize=limit).options).ended(73)
    assert "cannot hold a file of 3.00 MB" in done.error["message"]
    assert "ulimit -f" in done.error["hint"]
    assert not [seen for seen in hub.log.requests(method="GET") if seen.file]
    machine.pull("org/m", "--include", "config.json", **on.limited(fsize=limit).options).ended(0)


@pytest.mark.parametrize("words", [("cache", "link", "org/m", "folder"), ("pull", "org/m", "--local-dir", "folder")])
def test_a_limit_of_file_sizes_where_the_cache_is_whole(
    machine: Machine, make_hub: MakeHub, repo: Repo, words: tuple[str, ...]
) -> None:
    make_hub(repo)
    machine.pull("org/m").ended(0)
    root = ("--root", machine.root) if words[0] == "pull" else ()
    done = machine.run(*words, *root, **on.limited(fsize=1_000_000).options).ended(73)
    assert "cannot hold a file of 3.00 MB" in done.err
    assert not (machine.work / "folder" / "large.bin").exists()


def test_efbig_of_a_system_call(tmp_path: Path) -> None:
    """What cannot be foreseen: the file system's own word, in a process that has such a limit."""
    code = """
import sys
from pathlib import Path
from orchestrator.system.failures import on_disk
try:
    with on_disk("write", sys.argv[1]), open(sys.argv[1], "wb") as file:
        file.write(bytes(200_000))
except Exception as error:
    print(type(error).__name__, error.exit_code, error.hint)
"""
    words = [*on.limited(fsize=100_000).under, sys.executable, "-c", code, str(tmp_path / "file")]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(REPOSITORY)})
    assert done.stdout.startswith("CannotCreateError 73 FAT32")
