"""A cache in a temporary folder, models made of bytes, and what the real huggingface_hub makes of the result."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import _tree_cache, scan_cache_dir, snapshot_download

from orchestrator.cache.cache import HfCache
from orchestrator.cache.layout import CacheLayout
from orchestrator.cache.staging import Staging
from orchestrator.cache.state_dir import open_state_dir
from orchestrator.core.files import Algorithm, Digest, RepoFile, RepoTree, git_blob_header, lfs_pointer_oid
from orchestrator.core.plan import Found, Have, ResolvedModel
from orchestrator.core.refs import Ref, RepoId, RepoType
from orchestrator.core.trust import Trust
from orchestrator.proof.verified import VerifiedFile, verify

COMMIT = "c0ffee" * 6 + "c0de"
CONTENT: dict[str, bytes] = {
    "config.json": b'{"a": 1}',
    "empty.txt": b"",
    "sub/deep/notes.md": b"same",
    "sub/same.md": b"same",
    "with space & ünïcode 模型.txt": b"names",
    "weights/model-00001.safetensors": bytes(range(256)) * 4096,
    "weights/model-00002.safetensors": b"\x01" * 70_000,
}


def repo_file(path: str, data: bytes) -> RepoFile:
    if path.endswith(".safetensors"):
        sha256 = hashlib.sha256(data).hexdigest()
        oid = lfs_pointer_oid(sha256, len(data))
        return RepoFile(path, len(data), Digest(Algorithm.SHA256, sha256), is_lfs=True, git_oid=oid)
    oid = hashlib.sha1(git_blob_header(len(data)) + data).hexdigest()
    return RepoFile(path, len(data), Digest(Algorithm.GIT_SHA1, oid), is_lfs=False, git_oid=oid)


def model_of(
    content: Mapping[str, bytes] = CONTENT,
    *,
    name: str = "org/model",
    kind: RepoType = RepoType.MODEL,
    revision: str = "main",
    commit: str = COMMIT,
    include: tuple[str, ...] = (),
) -> ResolvedModel:
    tree = RepoTree.checked(commit, [repo_file(path, data) for path, data in content.items()])
    return ResolvedModel(Ref(RepoId(kind, name), revision), tree, tree.select(include), Trust("root", "https://hub"))


class World:
    """One cache and its store objects; a second World on the same folder stands for another process."""

    def __init__(self, home: Path, *, use_symlinks: bool = True, hub: str = "hub") -> None:
        self.layout = CacheLayout.at(home / hub)
        self.state = open_state_dir(self.layout)
        self.staging = Staging(self.state)
        self.cache = HfCache(self.layout, self.state, use_symlinks=use_symlinks)

    def stage(self, file: RepoFile, data: bytes) -> VerifiedFile:
        self.staging.part(file.digest).write_bytes(data)
        return verify(self.staging.part(file.digest), file.digest, file.size)

    def entries(self, files: Iterable[RepoFile], content: Mapping[str, bytes]) -> list[tuple[VerifiedFile, RepoFile]]:
        staged: dict[Digest, VerifiedFile] = {}
        for file in files:
            if file.digest not in staged:
                staged[file.digest] = self.stage(file, content[file.path])
        return [(staged[file.digest], file) for file in files]

    def pull(self, model: ResolvedModel, content: Mapping[str, bytes] = CONTENT) -> None:
        """What the flow does, in short: use what is there, stage and place the rest, publish."""
        repo = model.ref.repo
        found = self.find(model)
        for file in model.wanted.files:
            unproven = found[file.digest].have is Have.UNPROVEN
            if unproven and not self.cache.prove(repo, file):
                found[file.digest] = Found(Have.NOTHING)
        of = {have: [f for f in model.wanted.files if found[f.digest].have is have] for have in Have}
        self.cache.place(repo, model.commit, self.entries(of[Have.NOTHING], content))
        self.cache.link(repo, model.commit, [(f, Path(found[f.digest].path or "")) for f in of[Have.ELSEWHERE]])
        self.cache.expose(repo, model.commit, [*of[Have.PLACED], *of[Have.UNPROVEN]])
        self.cache.publish(model)

    def find(self, model: ResolvedModel) -> dict[Digest, Found]:
        return self.cache.find(model.ref.repo, model.wanted.files)

    def blob(self, model: ResolvedModel, path: str) -> Path:
        file = next(file for file in model.tree.files if file.path == path)
        return self.layout.blob(model.ref.repo, file.digest)


def hf_scan(world: World) -> list[str]:
    """The warnings of `hf cache ls`."""
    return [str(warning) for warning in scan_cache_dir(world.layout.cache_dir).warnings]


def hf_offline(world: World, model: ResolvedModel, **options: Any) -> dict[str, bytes]:
    """What an offline `snapshot_download` of the model's revision gives: all its files by path."""
    _tree_cache._IN_MEMORY_TREE_CACHE.clear()
    folder = Path(
        snapshot_download(
            model.ref.repo.name,
            repo_type=model.ref.repo.type.value,
            revision=model.ref.revision,
            cache_dir=world.layout.cache_dir,
            local_files_only=True,
            **options,
        )
    )
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
