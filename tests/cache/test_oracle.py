"""Online, against the loopback Hub: the real huggingface_hub takes what we placed and asks for no byte of it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub import RepoFile as HubFile

from orchestrator.core.files import Algorithm, Digest, RepoFile, RepoTree
from orchestrator.core.plan import Have, ResolvedModel
from orchestrator.core.refs import Ref, RepoId, RepoType
from orchestrator.core.trust import Trust
from orchestrator.errors import CannotCreateError, Interrupted, UnsafeError
from orchestrator.folders.local_dir import place_local
from tests.cache.world import CONTENT, World, hf_offline
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo


@pytest.fixture(scope="module")
def repo() -> Repo:
    return Repo("model", "org/model", dict(CONTENT))


@pytest.fixture(scope="module")
def server(repo: Repo) -> Iterator[LoopbackHub]:
    with LoopbackHub([repo]) as hub:
        yield hub


@pytest.fixture
def hub(server: LoopbackHub) -> LoopbackHub:
    server.log.settle()
    server.log.reset()
    return server


@pytest.fixture
def model(server: LoopbackHub) -> ResolvedModel:
    api = HfApi(endpoint=server.url, token=False)
    info = api.model_info("org/model")
    files = [
        RepoFile(
            entry.path,
            entry.size,
            Digest(Algorithm.SHA256, entry.lfs.sha256) if entry.lfs else Digest(Algorithm.GIT_SHA1, entry.blob_id),
            bool(entry.lfs),
            entry.blob_id,
        )
        for entry in api.list_repo_tree("org/model", recursive=True)
        if isinstance(entry, HubFile)
    ]
    tree = RepoTree.checked(str(info.sha), files)
    return ResolvedModel(Ref(RepoId(RepoType.MODEL, "org/model")), tree, tree, Trust("root", server.url))


def sent(hub: LoopbackHub) -> list[str]:
    """The files whose content a client fetched."""
    hub.log.settle()
    return [exchange.file for exchange in hub.log.requests(method="GET") if exchange.file is not None]


def hf(hub: LoopbackHub, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The real command in its own process, with `home` as HF_HOME."""
    hf = Path(sys.executable).with_name("hf")
    env = {**os.environ, **hub.env(home)}
    return subprocess.run([hf, *words], env=env, capture_output=True, text=True, timeout=60, check=False)


def test_hf_download_transfers_nothing(hub: LoopbackHub, tmp_path: Path, model: ResolvedModel) -> None:
    world = World(tmp_path)
    world.pull(model)
    hub.log.reset()
    run = hf(hub, tmp_path, "download", "org/model")
    assert run.returncode == 0, run.stderr
    assert sent(hub) == []
    assert hub.log.bytes_sent(face="cdn") == 0
    assert world.cache.is_complete(model)


def test_hf_cache_verify_and_ls_agree(hub: LoopbackHub, tmp_path: Path, model: ResolvedModel) -> None:
    World(tmp_path).pull(model)
    run = hf(hub, tmp_path, "cache", "verify", "org/model")
    assert run.returncode == 0, run.stdout + run.stderr
    listed = hf(hub, tmp_path, "cache", "ls")
    assert listed.returncode == 0, listed.stderr
    assert "model/org/model" in listed.stdout
    assert "warning" not in (listed.stdout + listed.stderr).lower()


def test_we_take_over_what_hf_downloaded(hub: LoopbackHub, tmp_path: Path, model: ResolvedModel) -> None:
    world = World(tmp_path)
    snapshot_download("org/model", endpoint=hub.url, cache_dir=world.layout.cache_dir, token=False)
    tree = world.layout.tree_file(model.ref.repo, model.commit)
    before = tree.read_bytes()
    assert {item.have for item in world.find(model).values()} == {Have.UNPROVEN}
    world.pull(model, {})
    assert world.cache.is_complete(model)
    assert tree.read_bytes() == before


def test_hf_completes_a_partial_pull_with_the_rest_only(hub: LoopbackHub, tmp_path: Path, model: ResolvedModel) -> None:
    world = World(tmp_path)
    part = ResolvedModel(model.ref, model.tree, model.tree.select(("weights/",)), model.trust)
    world.pull(part)
    hub.log.reset()
    snapshot_download("org/model", endpoint=hub.url, cache_dir=world.layout.cache_dir, token=False)
    assert sent(hub)
    assert not [line for line in sent(hub) if "safetensors" in line]
    assert hf_offline(world, model) == CONTENT


# -- local folders


@pytest.fixture
def placed(tmp_path: Path, model: ResolvedModel) -> World:
    world = World(tmp_path / "home")
    world.pull(model)
    return world


def blobs(world: World, model: ResolvedModel) -> dict[Digest, Path]:
    return {file.digest: world.layout.blob(model.ref.repo, file.digest) for file in model.tree.files}


def content(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and ".cache" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_hf_download_into_our_local_dir_transfers_nothing(
    hub: LoopbackHub, tmp_path: Path, model: ResolvedModel, placed: World
) -> None:
    target = tmp_path / "plain"
    assert place_local(target, model, blobs(placed, model)) == tuple(sorted(CONTENT))
    assert content(target) == CONTENT
    assert not any(path.is_symlink() or path.stat().st_nlink > 1 for path in target.rglob("*") if path.is_file())
    assert (target / ".cache/huggingface/.gitignore").read_text() == "*"
    hub.log.reset()
    # A fresh home: nothing could come from a cache.
    run = hf(hub, tmp_path / "fresh", "download", "org/model", "--local-dir", str(target))
    assert run.returncode == 0, run.stderr
    assert sent(hub) == []
    assert place_local(target, model, {}) == ()


def test_what_hf_put_into_a_local_dir_is_kept(
    hub: LoopbackHub, tmp_path: Path, model: ResolvedModel, placed: World
) -> None:
    target = tmp_path / "plain"
    snapshot_download("org/model", endpoint=hub.url, local_dir=target, cache_dir=tmp_path / "none", token=False)
    assert place_local(target, model, {}) == ()


def test_an_edited_or_missing_file_is_put_right_and_others_stay(
    tmp_path: Path, model: ResolvedModel, placed: World
) -> None:
    target = tmp_path / "plain"
    place_local(target, model, blobs(placed, model))
    (target / "config.json").write_bytes(b"edited!!")
    os.utime(target / "config.json", (2**31, 2**31))
    (target / "sub/same.md").unlink()
    (target / "mine.txt").write_bytes(b"mine")
    before = content(target)
    with pytest.raises(CannotCreateError, match=r"config\.json"):
        place_local(target, model, blobs(placed, model))
    assert content(target) == before
    assert place_local(target, model, blobs(placed, model), force=True) == ("config.json", "sub/same.md")
    assert content(target) == CONTENT | {"mine.txt": b"mine"}
    assert hf_offline(placed, model) == CONTENT


def test_right_files_without_notes_are_kept_and_noted(tmp_path: Path, model: ResolvedModel) -> None:
    target = tmp_path / "plain"
    for path, data in CONTENT.items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_bytes(data)
    assert place_local(target, model, {}) == ()
    note = (target / ".cache/huggingface/download/config.json.metadata").read_text().split("\n")
    assert note[0] == model.commit
    assert float(note[2]) > 0


def test_nothing_is_written_outside_a_local_dir(tmp_path: Path, model: ResolvedModel, placed: World) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    target = tmp_path / "plain"
    target.mkdir()
    (outside / "file").write_bytes(b"theirs")
    (target / "config.json").symlink_to(outside / "file")
    (target / "sub").symlink_to(outside)
    with pytest.raises(UnsafeError, match="symlink"):
        place_local(target, model, blobs(placed, model))
    (target / "sub").unlink()
    with pytest.raises(CannotCreateError, match=r"config\.json"):
        place_local(target, model, blobs(placed, model))
    place_local(target, model, blobs(placed, model), force=True)
    assert content(target) == CONTENT
    assert content(outside) == {"file": b"theirs"}


def test_a_stop_while_copying_leaves_no_scratch(
    tmp_path: Path, model: ResolvedModel, placed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        place_local(tmp_path / "plain", model, blobs(placed, model), stop=stop)
    assert content(tmp_path / "plain") == {}
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        with pytest.raises(Exception, match="Input/output"):
            place_local(tmp_path / "plain", model, blobs(placed, model))
    assert not list((tmp_path / "plain").rglob("scratch-*"))
