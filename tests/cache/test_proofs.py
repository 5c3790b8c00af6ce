"""Which blobs were proven, remembered between runs: a proof is of the very file, and bad ones prove nothing."""

import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cache.proofs import Proofs
from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.plan import Have
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.disk import growing_state
from orchestrator.disk.state_file import read_state
from tests.cache.world import World, model_of

REPO = RepoId(RepoType.MODEL, "org/model")


def digest(number: int) -> Digest:
    return Digest(Algorithm.GIT_SHA1, f"{number:040x}")


def test_a_proof_holds_for_the_file_it_was_made_for(tmp_path: Path) -> None:
    world = World(tmp_path)
    model = model_of()
    world.pull(model)
    proofs = Proofs(world.state, world.layout.cache_dir)
    blob, file = world.blob(model, "config.json"), model.tree.files[0]
    assert proofs.is_proven(REPO.folder, file.digest, blob.stat())
    assert not proofs.is_proven(REPO.folder, digest(1), blob.stat())
    os.utime(blob, (1, 1))
    assert not proofs.is_proven(REPO.folder, file.digest, blob.stat())
    proofs.add(REPO.folder, [(file.digest, blob.stat())])
    assert proofs.is_proven(REPO.folder, file.digest, blob.stat())
    proofs.forget(REPO.folder, [file.digest])
    assert not proofs.is_proven(REPO.folder, file.digest, blob.stat())


def test_a_proof_for_a_file_that_is_no_longer_there_is_not_kept(tmp_path: Path) -> None:
    world = World(tmp_path)
    model = model_of()
    world.pull(model)
    blob = world.blob(model, "config.json")
    seen = blob.stat()
    blob.write_bytes(b"12345678")
    os.utime(blob, ns=(1, 1))
    proofs = Proofs(world.state, world.layout.cache_dir)
    proofs.add(REPO.folder, [(model.tree.files[0].digest, seen)])
    assert not proofs.is_proven(REPO.folder, model.tree.files[0].digest, blob.stat())


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version":2,"blobs":{}}', '{"version":1,"blobs":{"a":[1]}}'])
def test_a_bad_proof_file_proves_nothing_and_is_replaced(tmp_path: Path, text: str) -> None:
    world = World(tmp_path)
    world.pull(model_of())
    path = world.state / "proofs" / f"{REPO.folder}.json"
    path.write_text(text)
    proofs = Proofs(world.state, world.layout.cache_dir)
    assert proofs.of(REPO.folder) == {}
    proofs.add(REPO.folder, [(digest(1), path.stat())])
    assert list(proofs.of(REPO.folder)) == [digest(1).hex]


def _add(state: Path, cache: Path, start: int) -> None:
    proofs = Proofs(state, cache)
    for number in range(start, start + 20):
        proofs.add(REPO.folder, [(digest(number), state.stat())])


def test_proofs_of_many_processes_are_merged(tmp_path: Path) -> None:
    world = World(tmp_path)
    context = multiprocessing.get_context("fork")
    runs = [
        context.Process(target=_add, args=(world.state, world.layout.cache_dir, start)) for start in range(0, 80, 20)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join(30)
    assert len(world.cache.proofs.of(REPO.folder)) == 80


def test_who_has_a_blob_is_found_once_a_run_and_learned_as_it_goes(tmp_path: Path) -> None:
    world = World(tmp_path)
    found = world.state.stat()
    others = Proofs(world.state, world.layout.cache_dir)
    others.add("models--org--a", [(digest(1), found)])
    mine = Proofs(world.state, world.layout.cache_dir)
    assert mine.holders(digest(1)) == ("models--org--a",)
    assert mine.holders(digest(2)) == ()
    mine.add("models--org--b", [(digest(2), found)])
    others.add("models--org--c", [(digest(3), found)])
    assert mine.holders(digest(2)) == ("models--org--b",)
    assert mine.holders(digest(3)) == ()
    mine.begin_run()
    assert mine.holders(digest(3)) == ("models--org--c",)


def test_a_pull_reads_the_proofs_of_other_repos_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reads(models: int) -> int:
        """How often a proof file is read while so many models are looked for, of which each has a neighbour."""
        world, count = World(tmp_path / str(models)), 0
        for number in range(models):
            content = {"a.json": f"other {number}".encode()}
            world.pull(model_of(content, name=f"org/other-{number}"), content)

        def counted(path: Path, *rest: Any) -> Any:
            nonlocal count
            count += path.parent.name == "proofs"
            return read_state(path, *rest)

        fresh = World(tmp_path / str(models))
        with monkeypatch.context() as patch:
            patch.setattr(growing_state, "read_state", counted)
            for number in range(models):
                content = {"a.json": f"new {number}".encode(), "b.json": f"other {number}".encode()}
                found = fresh.find(model_of(content, name=f"org/new-{number}"))
                assert sorted(item.have for item in found.values()) == [Have.ELSEWHERE, Have.NOTHING]
        return count

    assert reads(5) == 5
    assert reads(20) == 20


def test_proofs_of_a_large_repo_are_in_one_file_after_a_pull(tmp_path: Path) -> None:
    world, model = World(tmp_path), model_of({f"{number}.json": b"%d" % number for number in range(1500)})
    content = {file.path: file.path.removesuffix(".json").encode() for file in model.tree.files}
    entries = world.entries(model.wanted.files, content)
    for start in range(0, len(entries), 100):
        world.cache.place(REPO, model.commit, entries[start : start + 100])
    path = world.state / "proofs" / f"{REPO.folder}.json"
    assert path.with_suffix(".log").exists()
    assert len(World(tmp_path).cache.proofs.of(REPO.folder)) == 1500
    world.cache.publish(model)
    assert not path.with_suffix(".log").exists()
    assert len(json.loads(path.read_text())["blobs"]) == 1500
    assert World(tmp_path).cache.is_complete(model)
