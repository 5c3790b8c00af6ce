"""The real git against the loopback hub: what it clones is what the hub lists."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo

FILES = {
    "config.json": b"{}\n",
    "empty.txt": b"",
    "weights/model.safetensors": b"w" * 70_000,
    "weights/deep/er.bin": b"deep",
    "big.json": b"1" * 5_000,
    "name with spaces.txt": b"odd",
}


def git(folder: Path, *words: str, version: int = 2) -> subprocess.CompletedProcess[str]:
    """Run git as somebody without settings, without a proxy, and without a way to be asked for a password."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "NO_PROXY": "*",
    }
    command = ["git", "-c", f"protocol.version={version}", *words]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def repo() -> Repo:
    made = Repo("model", "org/tiny", FILES, renamed_from=("old/tiny",))
    made.tag("v1")
    made.commit({"config.json": b'{"a": 1}\n'})
    return made


@pytest.mark.parametrize("version", [0, 2])
@pytest.mark.parametrize("name", ["org/tiny", "org/tiny.git", "old/tiny"])
def test_a_blobless_clone_has_the_true_objects(tmp_path: Path, repo: Repo, name: str, version: int) -> None:
    with LoopbackHub([repo]) as hub:
        cloned = git(tmp_path, "clone", "--bare", "--filter=blob:none", f"{hub.url}/{name}", "c", version=version)
        assert cloned.returncode == 0, cloned.stderr
    assert git(tmp_path, "-C", "c", "rev-parse", "HEAD").stdout.strip() == repo.head
    listed = git(tmp_path, "-C", "c", "ls-tree", "-r", "-z", "--full-tree", "HEAD").stdout.split("\0")[:-1]
    commit = repo.commits[repo.head]
    assert listed == [f"100644 blob {commit.files[path].oid}\t{path}" for path in sorted(FILES)]
    kinds = git(tmp_path, "-C", "c", "cat-file", "--batch-all-objects", "--batch-check=%(objecttype)").stdout.split()
    assert set(kinds) == {"commit", "tree"}
    assert git(tmp_path, "-C", "c", "rev-parse", "v1").stdout.strip() == repo.resolve("v1").oid  # type: ignore[union-attr]


def test_a_whole_clone_has_the_bytes_and_the_pointers(tmp_path: Path, repo: Repo) -> None:
    with LoopbackHub([repo]) as hub:
        assert git(tmp_path, "clone", f"{hub.url}/org/tiny", "c").returncode == 0
        assert git(tmp_path, "-C", "c", "fsck", "--strict").returncode == 0
    for path, file in repo.commits[repo.head].files.items():
        data = file.pointer if file.sha256 else file.content.read(0, file.size)
        assert (tmp_path / "c" / path).read_bytes() == data


def test_a_commit_by_its_id_and_what_came_later(tmp_path: Path, repo: Repo) -> None:
    old = repo.resolve("v1")
    assert old is not None
    with LoopbackHub([repo]) as hub:
        git(tmp_path, "init", "--bare", "c")
        assert git(tmp_path, "-C", "c", "fetch", "--depth=1", f"{hub.url}/org/tiny", old.oid).returncode == 0
        new = repo.commit({"later.txt": b"later"})
        assert git(tmp_path, "-C", "c", "fetch", "--depth=1", f"{hub.url}/org/tiny", new).returncode == 0
        assert git(tmp_path, "-C", "c", "fetch", f"{hub.url}/org/tiny", "0" * 40).returncode != 0


def test_a_gated_repo_is_not_for_everybody(tmp_path: Path) -> None:
    with LoopbackHub([Repo("model", "org/gated", FILES, gated="manual")]) as hub:
        assert git(tmp_path, "clone", f"{hub.url}/org/gated", "c").returncode != 0
        assert hub.log.requests(path="*/info/refs", status=401)
