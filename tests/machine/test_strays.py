"""What file managers, editors, disks and NAS boxes leave in a cache: no command takes it for a part of a model."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.machine.conditions import needs_root
from tests.machine.fixtures import MakeHub
from tests.machine.machine import Machine, content
from tests.machine.test_caches import FILES, reader
from tests.machine.users import OtherUser

pytestmark = pytest.mark.sampled(4)

NAMES = [
    ".DS_Store",
    "._config.json",
    "Thumbs.db",
    "desktop.ini",
    "config.json~",
    ".config.json.swp",
    "#config.json#",
    ".nfs000000000a1b2c3d",
    ".directory",
    "@eaDir/config.json@SynoEAStream",
    "lost+found/#1234",
    ".ipynb_checkpoints/config-checkpoint.json",
    "__MACOSX/._config.json",
    "notes of mine.txt",
]
PLACES: dict[str, Callable[[Machine, Path], Path]] = {
    "the cache": lambda machine, snapshot: machine.cache,
    "the repo": lambda machine, snapshot: snapshot.parents[1],
    "blobs": lambda machine, snapshot: snapshot.parents[1] / "blobs",
    "refs": lambda machine, snapshot: snapshot.parents[1] / "refs",
    "snapshots": lambda machine, snapshot: snapshot.parent,
    "a snapshot": lambda machine, snapshot: snapshot,
    "a folder of a snapshot": lambda machine, snapshot: snapshot / "sub",
    "locks": lambda machine, snapshot: machine.cache / ".locks",
    "state": lambda machine, snapshot: machine.hf_home / "glm-aria",
}


@pytest.fixture
def hub(make_hub: MakeHub) -> LoopbackHub:
    return make_hub(Repo("model", "org/m", FILES | {"sub/notes.md": b"a note"}))


def scatter(machine: Machine, snapshot: Path) -> list[Path]:
    """Each name in each place; those that the user gave only where the listing tells what they are."""
    made = []
    for place, find in PLACES.items():
        for name in NAMES:
            if name.startswith("notes") and "snapshot" not in place.split():
                continue
            path = find(machine, snapshot) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"\0\0\0\1Bud1 of another program")
            made.append(path)
    for at in (snapshot, snapshot / "sub"):
        # So Emacs notes that a file is open.
        (at / ".#config.json").symlink_to("me@desk.1234:1700000000")
        made.append(at / ".#config.json")
    return made


@pytest.mark.parametrize("kind", ["links", "files", "fetched by hf"])
def test_what_programs_leave_in_a_cache(machine: Machine, hub: LoopbackHub, kind: str) -> None:
    env = {"HF_HUB_DISABLE_SYMLINKS": "1"} if kind == "files" else {}
    if kind == "fetched by hf":
        assert machine.hf("download", "org/m", HF_ENDPOINT=hub.url).returncode == 0
    made = machine.pull("org/m", env=env).ended(0).model
    snapshot = Path(made["snapshot"])
    before = machine.run("cache", "ls", "--json").ended(0).document["data"]
    strays = scatter(machine, snapshot)
    assert {file["state"] for file in machine.pull("org/m", env=env).ended(0).model["files"]} == {"present"}
    machine.pull("--offline", "org/m", env=env).ended(0)
    for words in (("--strict",), ("--strict", "org/m"), ("--strict", "--fast")):
        found = machine.run("verify", "--json", *words).ended(0).document
        assert [file["state"] for file in found["data"]["files"]] == ["ok"] * 3
        assert found["warnings"] == []
    for command in ("ls", "du"):
        after = machine.run("cache", command, "--json").ended(0).document["data"]
        assert (after["size"], [repo["repo"] for repo in after["repos"]]) == (before["size"], ["org/m"])
        (revision,) = after["repos"][0]["revisions"]
        assert (revision["files"], revision["refs"]) == (3, ["main"])
        assert not after["repos"][0]["has_unreadable_refs"]
    assert set(after["left_out"]) <= {str(path) for path in strays} | {str(path.parent) for path in strays}
    assert str(snapshot / ".DS_Store") in after["left_out"]
    for text in (machine.run("cache", "ls"), machine.run("verify")):
        assert text.ended(0).err.count("skipped") == 1
    project = machine.work / "project"
    machine.run("cache", "link", "org/m", str(project), "--layout", "flat").ended(0)
    assert {path for path in content(project) if not path.startswith(".glm-aria")} >= {"config.json", "sub/notes.md"}
    assert not any("DS_Store" in path or "notes of mine" in path for path in content(project))
    machine.run("cache", "gc", "--json", "--yes").ended(0)
    assert [path for path in strays if not os.path.lexists(path)] == []
    assert content(snapshot)["config.json"] == FILES["config.json"]


def test_a_model_that_is_removed_takes_them_along(machine: Machine, hub: LoopbackHub) -> None:
    snapshot = Path(machine.pull("org/m").ended(0).model["snapshot"])
    for at in (snapshot, snapshot.parent, snapshot.parents[1] / "blobs", snapshot.parents[1]):
        (at / ".DS_Store").write_bytes(b"Bud1")
    machine.run("cache", "rm", "org/m", "--yes").ended(0)
    assert not snapshot.parents[1].exists()


def test_a_folder_with_them_is_imported(machine: Machine, hub: LoopbackHub) -> None:
    folder = machine.work / "stick"
    (folder / "lost+found").mkdir(parents=True)
    for name, data in {**FILES, ".DS_Store": b"Bud1...", "Thumbs.db": b"", "lost+found/#1": b"x" * 99}.items():
        (folder / name).write_bytes(data)
    env = {"GLM_ARIA_ROOT": machine.root}
    done = machine.run("cache", "import", str(folder), "--model", "org/m", "--json", env=env).ended(0)
    assert sorted(Path(file["path"]).name for file in done.document["data"]["files"]) == sorted(FILES)


def test_without_a_listing_only_what_nobody_wants_is_left_out(machine: Machine, hub: LoopbackHub) -> None:
    """A file of an unknown name may be one that a reader loads: nobody can say that it is right, and that is told."""
    assert machine.hf("download", "org/m", HF_ENDPOINT=hub.url).returncode == 0
    (tree,) = machine.cache.glob("*/trees/*.json")
    tree.unlink()
    (snapshot,) = machine.cache.glob("*/snapshots/*")
    for name in (".DS_Store", "extra.safetensors"):
        (snapshot / name).write_bytes(b"whose?")
    found = machine.run("verify", "--json").ended(0)
    assert {file["path"]: file["state"] for file in found.document["data"]["files"]}["extra.safetensors"] == "unproven"
    assert found.document["data"]["left_out"] == [str(snapshot / ".DS_Store")]
    machine.run("verify", "--strict").ended(100)


def test_what_the_listing_names_is_no_stray(machine: Machine, hub: LoopbackHub) -> None:
    """An edit of a file in place of its link is found, and so is a link to some other file."""
    snapshot = Path(machine.pull("org/m").ended(0).model["snapshot"])
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").write_bytes(b'{"edited": 1}')
    (snapshot / "sub" / "notes.md").unlink()
    (snapshot / "sub" / "notes.md").symlink_to("/etc/hostname")
    found = machine.run("verify", "--json", "org/m").ended(65).document["data"]["files"]
    assert {file["path"]: file["state"] for file in found if "." in file["path"]} == {
        "config.json": "rotten",
        "model.safetensors": "ok",
        "sub/notes.md": "missing",
    }


@needs_root
def test_a_repo_that_is_closed_to_this_user(machine: Machine, make_hub: MakeHub, other_user: OtherUser) -> None:
    """One private model in a cache that others read: the rest is listed and verified all the same."""
    make_hub(Repo("model", "org/m", FILES), Repo("model", "org/secret", FILES))
    machine.pull("org/m").ended(0)
    machine.pull("org/secret").ended(0)
    closed = machine.cache / "models--org--secret"
    closed.chmod(0o700)
    condition = reader(other_user, machine)
    listed = machine.run("cache", "ls", "--json", **condition.options).ended(0).document["data"]
    assert [repo["repo"] for repo in listed["repos"]] == ["org/m"]
    assert list(listed["closed"]) == [str(closed)]
    assert f"skipped: cannot read '{closed}" in machine.run("cache", "ls", **condition.options).ended(0).err
    assert machine.run("verify", "--json", **condition.options).ended(0).warnings == ["closed"]
    refused = machine.run("verify", "org/secret", "--json", **condition.options).ended(73)
    assert f"{closed} belongs to root" in refused.error["hint"]
    pull = machine.run("pull", "--root", machine.root, "--json", "org/secret", **condition.options).ended(73)
    assert f"{closed} belongs to root" in pull.error["hint"]
    machine.cache.chmod(0o700)
    for words in (("cache", "ls"), ("cache", "gc"), ("verify",), ("cache", "link", "org/m", "x")):
        failed = machine.run(*words, "--json", **condition.options).ended(73)
        assert f"{machine.cache} belongs to root" in failed.error["hint"]
