"""Lock files with the real command: made by a pull, replayed from anybody, and what happens when the world differs."""

from __future__ import annotations

import hashlib
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.lies import DOWN, edited, forged
from tests.hub.content import generate, git_blob_oid
from tests.hub.loopback import LoopbackHub, Site
from tests.hub.repos import Repo
from tests.machine import conditions
from tests.machine.fixtures import MakeHub, sent, wanted
from tests.machine.machine import Machine, Result, content

FILES = {"config.json": b'{"a": 1}\n', "model.safetensors": generate(1 << 20, 9), "code/model.py": b"import os\n" * 50}


@pytest.fixture
def locked(machine: Machine, hub: LoopbackHub) -> Path:
    """A lock file of org/m; the machine is as new again."""
    machine.pull("org/m", "--lock", "my.lock").ended(0)
    shutil.rmtree(machine.hf_home)
    hub.log.reset()
    return machine.work / "my.lock"


def replay(machine: Machine, *words: str, mirrors: tuple[Site, ...] = (), root: str = DOWN) -> Result:
    named = [word for site in mirrors for word in ("--mirror", site.url)]
    return machine.run("pull", "--locked", "my.lock", "--root", root, "--json", *named, *words)


def snapshot(machine: Machine, repo: Repo, commit: str | None = None) -> dict[str, bytes]:
    return content(machine.snapshot("model/org/m", commit or repo.head))


def test_a_pull_writes_both_digests_of_every_file(machine: Machine, hub: LoopbackHub, repo: Repo, locked: Path) -> None:
    (model,) = tomllib.loads(locked.read_text())["model"]
    assert (model["ref"], model["commit"], model["trust"]) == ("org/m@main", repo.head, "root")
    assert model["source"] == hub.url
    for file in model["files"]:
        data = FILES.get(file["path"]) or wanted(repo)[file["path"]]
        assert (file["size"], file["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        if "lfs" not in file:
            assert file["git"] == git_blob_oid(data)
    assert {file["path"] for file in model["files"]} == wanted(repo).keys()
    before = locked.read_bytes(), locked.stat().st_mtime_ns
    machine.pull("org/m", "--lock", "my.lock").ended(0)
    machine.pull("org/m", "--lock", "my.lock").ended(0)
    assert (locked.read_bytes(), locked.stat().st_mtime_ns) == before


def test_a_locked_replay_on_an_empty_machine_from_mirrors_only(
    machine: Machine, hub: LoopbackHub, repo: Repo, locked: Path
) -> None:
    old = repo.head
    repo.commit({"config.json": b'{"a": 2}\n'})
    done = replay(machine, mirrors=(hub.mirror("near"),)).ended(0)
    model = done.model
    assert model["trust"] == {"level": "lock", "source": "my.lock", "confirmed_by": []}
    found = content(machine.snapshot("model/org/m", model["commit"]))
    assert found["config.json"] == b'{"a": 1}\n'
    assert found == wanted(repo, old)
    assert model["commit"] == old
    assert done.warnings == []
    assert hub.log.requests(face="near")
    assert machine.hf("cache", "verify", "org/m", HF_ENDPOINT=hub.url).returncode == 0
    read = machine.hf("download", "org/m")
    assert read.returncode == 0, read.stderr
    assert Path(read.stdout.strip().splitlines()[-1].removeprefix("path=").strip()).name == model["commit"]


def test_from_the_cache_with_the_network_off(machine: Machine, hub: LoopbackHub, repo: Repo, locked: Path) -> None:
    assert replay(machine, "--offline").ended(66).error["hint"]
    replay(machine, mirrors=(hub.mirror("near"),)).ended(0)
    hub.log.reset()
    done = replay(machine, "--offline").ended(0)
    assert done.model["trust"]["level"] == "lock"
    assert {file["state"] for file in done.model["files"]} == {"present"}
    assert snapshot(machine, repo) == wanted(repo)
    assert not hub.log.requests()
    replay(machine).ended(0)


def test_nobody_but_the_lock_is_believed_about_a_branch(
    machine: Machine, hub: LoopbackHub, repo: Repo, locked: Path
) -> None:
    old = repo.head
    repo.commit({"config.json": b'{"a": 2}\n'})
    machine.pull("org/m").ended(0)
    replay(machine, root=hub.url).ended(0)
    assert snapshot(machine, repo, old)["config.json"] == b'{"a": 1}\n'
    assert (machine.cache / "models--org--m" / "refs" / "main").read_text() == old
    machine.pull("org/m").ended(0)
    assert (machine.cache / "models--org--m" / "refs" / "main").read_text() == repo.head


def said(result: Result) -> list[str]:
    return [line.split("  ")[0] for line in result.error["details"]]


def test_a_root_that_changed_its_mind(machine: Machine, hub: LoopbackHub, locked: Path) -> None:
    hub.fault(edited(forged))
    line = "~ model.safetensors"
    done = replay(machine, root=hub.url).ended(81)
    assert said(done) == [line]
    assert (done.error["code"], done.error["file"]) == ("trust", line[2:])
    assert sent(hub) == []
    assert not (machine.cache / "models--org--m").exists()
    human = machine.run("pull", "--locked", "my.lock", "--root", hub.url).ended(81)
    assert f"  {line}" in human.err


def test_a_lock_that_was_edited_is_no_match_for_the_bytes(
    machine: Machine, hub: LoopbackHub, repo: Repo, locked: Path
) -> None:
    """Only the sha256 of a small file: its listing has a git id, so nobody but the bytes can tell."""
    true = hashlib.sha256(FILES["config.json"]).hexdigest()
    locked.write_text(locked.read_text().replace(true, "ab" * 32))
    assert said(replay(machine, root=hub.url).ended(81)) == ["~ config.json"]
    assert not (machine.cache / "models--org--m" / "refs").exists()


def test_a_part_of_a_model(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    machine.pull("org/m", "--include", "*.json", "--lock", "my.lock").ended(0)
    shutil.rmtree(machine.hf_home)
    replay(machine, mirrors=(hub.mirror("near"),)).ended(0)
    assert snapshot(machine, repo) == {"config.json": FILES["config.json"]}
    assert not (machine.cache / "models--org--m" / "trees").exists(), "a part must not pass for the whole"


def test_a_lock_of_several_models(machine: Machine, make_hub: MakeHub, repo: Repo) -> None:
    other = Repo("model", "org/n", {"a.json": b"{}\n"})
    hub = make_hub(repo, other)
    machine.pull("org/m", "--lock", "my.lock").ended(0)
    machine.pull("org/n", "org/nowhere", "--lock", "my.lock").ended(3)
    text = (machine.work / "my.lock").read_text()
    assert [model["ref"] for model in tomllib.loads(text)["model"]] == ["org/m@main", "org/n@main"]
    shutil.rmtree(machine.hf_home)
    replay(machine, "org/n", root=hub.url).ended(0)
    assert not (machine.cache / "models--org--m").exists()
    assert replay(machine, "org/o").ended(2).error["hint"] == "glm-aria pull org/o --lock my.lock adds it"


def diff(machine: Machine, *words: str) -> Any:
    return machine.run("lock", "diff", "--json", *words).ended(0).document["data"]


def test_lock_diff_names_what_changed(machine: Machine, hub: LoopbackHub, repo: Repo, locked: Path) -> None:
    old = repo.head
    shutil.copy(locked, machine.work / "old.lock")
    assert diff(machine, "old.lock", "my.lock") == {"same": True, "models": []}
    repo.commit({"config.json": b'{"a": 2}\n', "new.json": b"[]\n"})
    machine.pull("org/m", "--lock", "my.lock").ended(0)
    found = diff(machine, "old.lock", "my.lock")
    (model,) = found["models"]
    assert not found["same"]
    assert (model["ref"], model["change"]) == ("org/m@main", "changed")
    assert (model["commit_before"], model["commit_after"]) == (old, repo.head)
    assert [(f["change"], f["path"]) for f in model["files"]] == [("changed", "config.json"), ("added", "new.json")]
    text = machine.run("lock", "diff", "old.lock", "my.lock").ended(0).out.splitlines()
    assert [line.split()[0] for line in text] == ["~", "~", "+"]
    machine.run("lock", "diff", "old.lock", "none.lock", "--json").ended(2)


def test_what_a_lock_excludes(machine: Machine, hub: LoopbackHub, locked: Path) -> None:
    for words in (["--include", "*"], ["--trust", "any"], ["--lock", "x"], ["--revision", "v1"]):
        assert "--locked" in replay(machine, *words).ended(2).error["message"]
    machine.pull("org/m", "--lock", "x.lock", "--dry-run").ended(2)
    locked.write_text("version = 1\n[[model]]\nref = 5\n")
    assert "my.lock: [[model]] 1" in machine.pull("org/m", "--lock", "my.lock").ended(2).error["message"]
    assert not hub.log.requests()


@pytest.mark.parametrize("where", ["closed", "missing", "gone"])
def test_a_lock_that_cannot_be_written_is_told_before_the_first_byte(
    machine: Machine, hub: LoopbackHub, where: str
) -> None:
    (machine.work / "closed").mkdir()
    name = "my.lock" if where == "gone" else str(machine.work / where / "my.lock")
    condition = {
        "closed": conditions.read_only(machine.work / "closed"),
        "missing": conditions.PLAIN,
        "gone": conditions.in_removed_folder(machine.folder),
    }[where]
    done = machine.pull("org/m", "--lock", name, **condition.options).ended(2 if where == "gone" else 73)
    assert sent(hub) == []
    assert name in done.error["message"]
    assert "scratch" not in done.err


def test_a_lock_that_needs_no_write_may_lie_in_a_closed_folder(
    machine: Machine, hub: LoopbackHub, repo: Repo, locked: Path
) -> None:
    closed = conditions.read_only(machine.work)
    machine.pull("org/m", "--lock", str(locked), **closed.options).ended(0)
    before = locked.read_bytes()
    repo.commit({"config.json": b"{}"})
    done = machine.pull("org/m", "--lock", str(locked), **closed.options).ended(73)
    assert str(locked) in done.error["message"]
    assert "scratch" not in done.err
    assert locked.read_bytes() == before
    assert sent(hub) != []


def test_two_selections_of_one_model_are_one_entry_with_the_files_of_both(machine: Machine, make_hub: MakeHub) -> None:
    files = {"m-Q4_K_M.gguf": b"4" * 90, "m-Q8_0.gguf": b"8" * 80, "m-BF16.gguf": b"b" * 70}
    hub = make_hub(Repo("model", "org/q", files))
    machine.pull("org/q:Q4_K_M", "org/q:q8_0", "--lock", "my.lock").ended(0)
    (model,) = tomllib.loads((machine.work / "my.lock").read_text())["model"]
    assert [file["path"] for file in model["files"]] == ["m-Q4_K_M.gguf", "m-Q8_0.gguf"]
    shutil.rmtree(machine.hf_home)
    replay(machine, root=hub.url).ended(0)
    assert content(machine.snapshot("model/org/q", model["commit"])).keys() == {"m-Q4_K_M.gguf", "m-Q8_0.gguf"}
