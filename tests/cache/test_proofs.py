"""Which blobs were proven, remembered between runs: a proof is of the very file, and bad ones prove nothing."""

import multiprocessing
import os
from pathlib import Path

import pytest

from orchestrator.cache.proofs import Proofs
from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.refs import RepoId, RepoType
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
