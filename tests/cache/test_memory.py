"""What is remembered between runs (proofs, records), where it lies, and how much room there is."""

import errno
import json
import multiprocessing
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.cache import state_dir
from orchestrator.cache.layout import CacheLayout
from orchestrator.cache.proofs import Proofs
from orchestrator.cache.records import Record, Records
from orchestrator.cache.state_dir import find_state_dir, open_state_dir
from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.core.trust import Seen, Trust
from orchestrator.disk.space import check, space
from orchestrator.errors import CannotCreateError, DiskIOError, GlmAriaError, NoSpaceError
from orchestrator.system.failures import on_disk, translate
from tests.cache.world import COMMIT, World, hf_scan, model_of

REPO = RepoId(RepoType.MODEL, "org/model")


def digest(number: int) -> Digest:
    return Digest(Algorithm.GIT_SHA1, f"{number:040x}")


# -- where it lies


def test_the_state_lies_beside_the_cache(tmp_path: Path) -> None:
    layout = CacheLayout.at(tmp_path / "hub")
    assert find_state_dir(layout) == tmp_path / "glm-aria"
    assert list(tmp_path.iterdir()) == []
    state = open_state_dir(layout)
    assert state == tmp_path / "glm-aria"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert open_state_dir(CacheLayout.at(tmp_path / "mine")) == tmp_path / "mine.glm-aria"
    state.chmod(0o755)
    assert open_state_dir(layout) == state
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


@pytest.mark.parametrize("way", ["file", "link", "other volume"])
def test_where_the_place_beside_is_not_usable_the_locks_folder_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    beside = tmp_path / "glm-aria"
    if way == "file":
        beside.write_bytes(b"")
    elif way == "link":
        (tmp_path / "elsewhere").mkdir()
        beside.symlink_to(tmp_path / "elsewhere")
    else:
        monkeypatch.setattr(state_dir, "_on_one_volume", lambda one, other: one != beside)
    world = World(tmp_path)
    assert world.state == tmp_path / "hub" / ".locks" / "glm-aria"
    model = model_of()
    world.pull(model)
    assert world.cache.is_complete(model)
    assert hf_scan(world) == []
    assert way == "file" or not beside.exists() or not any(beside.iterdir())


def test_a_volume_is_told_by_a_rename_that_does_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert state_dir._on_one_volume(tmp_path / "a", tmp_path)
    assert not state_dir._on_one_volume(tmp_path, Path("/proc"))
    shared = Path("/dev/shm")
    if shared.is_dir():
        assert not state_dir._on_one_volume(tmp_path, shared)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_no_place_at_all_is_an_error_that_says_which(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CannotCreateError, match="file"):
        open_state_dir(CacheLayout.at(tmp_path / "file" / "hub"))


# -- proofs


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


# -- records


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    records = Records(World(tmp_path).state)
    model = model_of()
    record = Record(model.tree, model.trust, is_restricted=True)
    assert records.load(REPO, COMMIT) is None
    records.save(REPO, record)
    assert Records(tmp_path / "glm-aria").load(REPO, COMMIT) == record
    records.save(REPO, replace(record, is_restricted=False))
    again = records.load(REPO, COMMIT)
    assert again is not None
    assert not again.is_restricted


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: data.update(version=2),
        lambda data: data.pop("trust"),
        lambda data: data["files"][0].__setitem__(0, "../../escape"),
        lambda data: data["files"][0].__setitem__(1, -1),
        lambda data: data["files"][0].__setitem__(2, "sha256:../x"),
        lambda data: data["files"].append(data["files"][0]),
        lambda data: data["files"].append([]),
    ],
)
def test_a_record_that_was_tampered_with_is_absent(tmp_path: Path, harm: object) -> None:
    records = Records(World(tmp_path).state)
    model = model_of()
    records.save(REPO, Record(model.tree, model.trust))
    path = tmp_path / "glm-aria" / "repos" / REPO.folder / f"{COMMIT}.json"
    data = json.loads(path.read_text())
    harm(data)  # type: ignore[operator]
    path.write_text(json.dumps(data))
    assert records.load(REPO, COMMIT) is None
    for text in ("", "[" * 100_000, "null"):
        path.write_text(text)
        assert records.load(REPO, COMMIT) is None
    assert records.load(REPO, "../../x") is None


def test_a_record_of_an_older_version_has_nobody_who_confirms(tmp_path: Path) -> None:
    records = Records(World(tmp_path).state)
    model = model_of()
    records.save(REPO, Record(model.tree, Trust("agree", "https://a", ("https://b",))))
    path = tmp_path / "glm-aria" / "repos" / REPO.folder / f"{COMMIT}.json"
    data = json.loads(path.read_text())
    assert data["trust"].pop("confirmed_by") == ["https://b"]
    path.write_text(json.dumps(data))
    found = records.load(REPO, COMMIT)
    assert found is not None
    assert found.trust == Trust("agree", "https://a")
    data["trust"]["level"] = "certain"
    path.write_text(json.dumps(data))
    assert records.load(REPO, COMMIT) is None


ROOT = "https://root.example"


def test_the_commits_of_each_revision_are_remembered(tmp_path: Path) -> None:
    records = Records(World(tmp_path).state)
    assert records.last_seen(REPO, "main") is None
    assert records.history(REPO, "main", ROOT) == ()
    one, two, three = Seen(COMMIT, 1.5), Seen("2" * 40), Seen("3" * 40, 3.0)
    records.saw(REPO, "main", one, ROOT)
    records.saw(REPO, "refs/pr/1", Seen("1" * 40), ROOT)
    records.saw(REPO, "main", two, ROOT)
    records.saw(REPO, "main", Seen(two.commit, 9.0), ROOT)
    assert records.last_seen(REPO, "main") == "2" * 40
    assert records.last_seen(REPO, "refs/pr/1") == "1" * 40
    assert Records(tmp_path / "glm-aria").history(REPO, "main", ROOT) == (one, two)
    records.saw(REPO, "main", three, "https://other.example")
    assert records.last_seen(REPO, "main") == three.commit
    assert records.history(REPO, "main", ROOT) == (one, two)
    records.saw(REPO, "main", one, ROOT)
    assert records.last_seen(REPO, "main") == one.commit
    assert records.history(REPO, "main", ROOT) == (one,)
    assert records.history(REPO, "main", "https://other.example") == (three,)


def test_a_history_does_not_grow_for_ever(tmp_path: Path) -> None:
    records = Records(World(tmp_path).state)
    for number in range(230):
        records.saw(REPO, "main", Seen(f"{number:040x}"), ROOT)
    history = records.history(REPO, "main", ROOT)
    assert [history[0].commit, history[-1].commit, len(history)] == [f"{30:040x}", f"{229:040x}", 200]


def test_a_history_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    records = Records(World(tmp_path).state)
    records.saw(REPO, "main", Seen(COMMIT), ROOT)
    path = tmp_path / "glm-aria" / "repos" / REPO.folder / "refs.json"
    bad = [
        json.dumps({"main": COMMIT}),
        '{"main": "../x"}',
        '{"main": 7}',
        '{"main": [["../x", "r", null]]}',
        '{"main": [[7, "r", null]]}',
        "[]",
    ]
    for text in (*bad, '{"main": [["' + COMMIT + '", "r", "x"]]}', '{"main": [[1]]}', "[" * 100_000, ""):
        path.write_text(text)
        assert records.last_seen(REPO, "main") is None, text
    records.saw(REPO, "main", Seen(COMMIT), ROOT)
    assert records.last_seen(REPO, "main") == COMMIT


# -- room and errors


def test_room_is_measured_where_the_folder_will_be(tmp_path: Path) -> None:
    room = space(tmp_path / "not" / "yet" / "there")
    assert room.free > 0
    assert check(0, tmp_path / "x") == space(tmp_path)
    with pytest.raises(NoSpaceError, match="TB are missing"):
        check(room.free + (5 << 40), tmp_path)
    with pytest.raises(NoSpaceError, match="missing"):
        check(1, tmp_path, reserve=2 * room.free)


def test_inodes_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs(tmp_path)
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((*real[:6], 10, 7, *real[8:])))
    with pytest.raises(NoSpaceError, match="inodes"):
        check(0, tmp_path, files=2)
    assert check(0, tmp_path, files=1).inodes == 7
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((*real[:5], 0, 0, 0, *real[8:])))
    assert check(0, tmp_path, files=10**9).inodes is None


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, NoSpaceError),
        (errno.EDQUOT, NoSpaceError),
        (errno.EROFS, CannotCreateError),
        (errno.EACCES, CannotCreateError),
        (errno.EPERM, CannotCreateError),
        (errno.EEXIST, CannotCreateError),
        (errno.ENOTDIR, CannotCreateError),
        (errno.EIO, DiskIOError),
        (errno.EMFILE, DiskIOError),
        (errno.ENOENT, DiskIOError),
        (errno.ESTALE, DiskIOError),
    ],
)
def test_every_os_error_has_one_meaning(number: int, kind: type[GlmAriaError]) -> None:
    error = translate(OSError(number, os.strerror(number), "a/b"), "place", "c")
    assert type(error) is kind
    assert "'a/b'" in error.message
    assert error.file == "a/b"
    assert error.hint
    with pytest.raises(kind, match="cannot place 'c'") as raised, on_disk("place", Path("c")):
        raise OSError(number, os.strerror(number))
    assert isinstance(raised.value.__cause__, OSError)


def test_a_rename_error_names_its_target() -> None:
    assert translate(OSError(1, "x", "source", None, "target"), "place", "c").file == "target"


def test_what_is_no_os_error_passes() -> None:
    with pytest.raises(KeyError), on_disk("place", "c"):
        raise KeyError
