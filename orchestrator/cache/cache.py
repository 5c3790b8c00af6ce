"""The Hugging Face cache as flows see it: what it holds, and how proven files get into it.

Everything that is written here is read by huggingface_hub, transformers and vLLM as if their own code had put it
there; tests hold that against the real huggingface_hub.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from orchestrator.cache import inventory, publishing
from orchestrator.cache.claims import ALONE, Owners, Use
from orchestrator.cache.layout import CacheLayout
from orchestrator.cache.moved import open_cache_folder
from orchestrator.cache.placing import Placer
from orchestrator.cache.proofs import Proofs, stamp
from orchestrator.cache.records import Records
from orchestrator.cache.retention.on_demand import OnDemand
from orchestrator.cache.retention.pins import Pins
from orchestrator.cache.staging import Staging
from orchestrator.cache.state_dir import refuse_closed, refuse_nowhere
from orchestrator.core.files import Digest, RepoFile
from orchestrator.core.plan import Found, Have, ResolvedModel
from orchestrator.core.refs import Ref, RepoId
from orchestrator.disk.atomic import make_folder
from orchestrator.disk.locks import Patience, blob_lock
from orchestrator.errors import CannotCreateError, IntegrityError
from orchestrator.proof.hashing import OnBytes, read_whole
from orchestrator.proof.pieces import PieceStore
from orchestrator.proof.verified import VerifiedFile
from orchestrator.system.failures import on_disk


@dataclass(frozen=True, slots=True)
class Cache:
    """One cache, and what we keep beside it: what catalogs said (`records`), what must stay (`pins`), unproven parts
    (`staging`), all in `state_dir`.
    """

    blobs: HfCache
    records: Records
    pins: Pins
    staging: Staging
    state_dir: Path

    @classmethod
    @contextlib.contextmanager
    def open(
        cls, layout: CacheLayout, state_dir: Path, *, owners: Owners = ALONE, use_symlinks: bool = True
    ) -> Iterator[Cache]:
        """The cache of a run; every claim on a part is dropped at the end."""
        blobs = HfCache(layout, state_dir, use_symlinks=use_symlinks, owners=owners)
        with contextlib.closing(Staging(state_dir, owners)) as staging:
            yield cls(blobs, Records(state_dir), Pins(layout, state_dir), staging, state_dir)

    @property
    def layout(self) -> CacheLayout:
        """The paths in the cache."""
        return self.blobs.layout

    def refuse_no_staging(self) -> None:
        """Raise why there is no folder for parts, where there is none; to be asked before one is made."""
        refuse_nowhere(self.layout, self.state_dir)


class HfCache:
    """One cache. `use_symlinks=False` is HF_HUB_DISABLE_SYMLINKS; file systems without symlinks are found out.

    `owners` are asked right before a blob gets its name. `lends` says from which repos others may have blobs: from all.
    """

    def __init__(
        self,
        layout: CacheLayout,
        state_dir: Path,
        *,
        use_symlinks: bool = True,
        owners: Owners = ALONE,
    ) -> None:
        self._owners = owners
        self.layout = layout
        self.state_dir = state_dir
        self.proofs = Proofs(state_dir, layout.cache_dir)
        self.pieces = PieceStore(state_dir)
        self.on_demand = OnDemand(state_dir)
        self.patience = Patience()
        self.lends: inventory.Lends = lambda _: True
        self._use_symlinks = use_symlinks

    def find(self, repo: RepoId, files: Iterable[RepoFile]) -> dict[Digest, Found]:
        """The state in the cache of each distinct blob; the answer has every requested digest.

        PLACED and UNPROVEN name the blob in this repo, ELSEWHERE a proven one in another repo. A blob of another size
        and a symlink that leads out of the cache are NOTHING. Raises UnsafeError when a folder of the repo is a
        symlink, DiskIOError when it cannot be read.
        """
        return inventory.find(self.layout, self.proofs, repo, files, self.lends)

    def use(self) -> Use:
        """Holds repos while a run works with them, so that `cache gc` keeps out.

        A run has its own patience, and looks for itself which repos have which blobs.
        """
        self.patience = Patience()
        self.proofs.begin_run()
        return Use(self.state_dir)

    def is_complete(self, model: ResolvedModel) -> bool:
        """True when `pull` has nothing to do: each wanted file is exposed and proven, listing and ref are right."""
        return inventory.is_complete(self.layout, self.proofs, model)

    def refuse_closed(self, ref: Ref) -> None:
        """Raise CannotCreateError, naming the folder, when a repo cannot get new blobs from us; to be asked early.

        NoSpaceError and DiskIOError when there is no room for parts of it.
        """
        refuse_closed(self.layout, ref)

    def snapshot(self, model: ResolvedModel) -> Path:
        """The folder that readers open."""
        return self.layout.snapshot(model.ref.repo, model.commit)

    def prove(
        self,
        repo: RepoId,
        file: RepoFile,
        *,
        stop: threading.Event | None = None,
        on_bytes: OnBytes | None = None,
    ) -> bool:
        """Read an UNPROVEN blob. Right: it is made durable and its proof remembered. Wrong: it is removed; False.

        A wrong blob goes together with the snapshot links to it, links first, so that readers miss a file (and say
        so) instead of loading wrong bytes or meeting a dangling link. Raises Interrupted, DiskIOError.
        """
        blob = self.layout.blob(repo, file.digest)
        if inventory.look(blob, self.layout.cache_dir) is None:
            return False
        real = Path(os.path.realpath(blob))
        read = read_whole(real, file.digest.algorithm, size=file.size, stop=stop, on_bytes=on_bytes, durable=True)
        if read.digest == file.digest and read.found.st_size == file.size:
            self.proofs.add(repo.folder, [(file.digest, read.found)])
            if read.pieces:
                # A cache that is read-only can be proven, too.
                with contextlib.suppress(CannotCreateError):
                    self.pieces.save(file.digest, read.pieces)
            return True
        self.remove_blob(repo, file.digest, read.found)
        return False

    def remove_blob(self, repo: RepoId, digest: Digest, seen: os.stat_result, *, keep: bool = False) -> None:
        """Remove a blob that was found wrong as the file with the stat `seen`, and the snapshot links to it.

        When another file lies there by now, nothing is done. A symlink to the shared store goes, the store stays. With
        `keep` only the links go, so that readers miss the file: the next pull reads it again, and decides.
        """
        blob = self.layout.blob(repo, digest)
        lock = blob_lock(self.layout.lock_file(repo, digest), self.patience)
        with on_disk("remove", blob), lock, contextlib.ExitStack() as stack:
            now = inventory.look(blob, self.layout.cache_dir)
            if now is None or stamp(now) != stamp(seen):
                return
            root = stack.enter_context(open_cache_folder(self.layout.cache_dir))
            blobs = stack.enter_context(root.beneath(f"{repo.folder}/blobs"))
            with contextlib.suppress(FileNotFoundError), root.beneath(f"{repo.folder}/snapshots") as snapshots:
                snapshots.unlink_links(digest.hex)
            if not keep:
                blobs.unlink(digest.hex)
        self.proofs.forget(repo.folder, [digest])

    @contextlib.contextmanager
    def hold(self, repo: RepoId, digest: Digest) -> Iterator[Path | None]:
        """Hold the lock of a blob at once, made where it is missing, so that huggingface_hub waits for the blob.

        Yields the lock's file, None when another process holds it. Raises CannotCreateError, DiskIOError, UnsafeError.
        """
        path = self.layout.lock_file(repo, digest)
        with contextlib.ExitStack() as stack:
            with open_cache_folder(self.layout.cache_dir) as root:
                folder, _ = make_folder(root, f".locks/{repo.folder}")
                with folder:
                    is_held = stack.enter_context(blob_lock(path.name, create_in=folder))
            yield path if is_held else None

    def place(self, repo: RepoId, commit: str, entries: Sequence[tuple[VerifiedFile, RepoFile]]) -> None:
        """Move verified files into the snapshot, as one batch; several paths may share one verified file.

        After it returns all of them are durable, exposed and proven, and none is left in the stage. After an error
        each file is either still staged or in place. Doing it again is harmless. Raises IntegrityError when a file
        changed since it was verified, UnsafeError for planted symlinks, NoSpaceError, CannotCreateError, DiskIOError.
        """
        if entries:
            with self._placer(repo, commit) as placer:
                placer.place(entries)

    def link(self, repo: RepoId, commit: str, entries: Sequence[tuple[RepoFile, PurePath]]) -> None:
        """Take blobs from other repos of the cache: hard-linked, else copied and verified. The path is `Found.path`.

        Permanent after it returns, as `place`. Raises IntegrityError when a source no longer is what was proven.
        """
        if entries:
            with self._placer(repo, commit) as placer:
                placer.link(entries)

    def expose(self, repo: RepoId, commit: str, files: Iterable[RepoFile]) -> None:
        """Make the snapshot's links to blobs that this repo already has (KEEP, and CHECK that came out right)."""
        wanted = tuple(files)
        if wanted:
            with self._placer(repo, commit) as placer:
                placer.expose(wanted)

    def settle(self, repo: RepoId, commit: str, files: Sequence[RepoFile], staged: dict[Digest, VerifiedFile]) -> None:
        """Bring files into the snapshot from wherever they are: `staged`, in this repo, or proven in another one.

        What is placed leaves `staged`: from then on other repos find it in the cache. Raises what `place` and `link`
        do, and IntegrityError for a file that is nowhere.
        """
        fresh = [file for file in files if file.digest in staged]
        others = [file for file in files if file.digest not in staged]
        self.place(repo, commit, [(staged[file.digest], file) for file in fresh])
        for file in fresh:
            staged.pop(file.digest, None)
        found = self.find(repo, others)
        linked: list[tuple[RepoFile, PurePath]] = []
        for file in others:
            here = found[file.digest]
            if here.have is Have.ELSEWHERE and here.path is not None:
                linked.append((file, here.path))
            elif here.have is not Have.PLACED:
                raise IntegrityError(f"{file.path!r} vanished from the cache", hint="run it again", file=file.path)
        self.link(repo, commit, linked)
        self.expose(repo, commit, [file for file in others if found[file.digest].have is Have.PLACED])

    def publish(self, model: ResolvedModel) -> publishing.Flip | None:
        """Write CACHEDIR.TAG, the listing, and last the ref, each when not already right; durable when it returns.

        Returns what that changed for readers: the ref moved, or a commit that was asked for is here for the first time.

        To be called once all wanted files are placed. No ref is written for a revision that is a commit, no listing
        when a git id is unknown (some catalogs do not tell). Raises TemporaryError when one of the files is gone again.
        """
        flip = publishing.publish(self.layout, self.state_dir, model)
        self.proofs.settle(model.ref.repo.folder)
        return flip

    def _placer(self, repo: RepoId, commit: str) -> Placer:
        return Placer(
            self.layout,
            self.proofs,
            self.pieces,
            repo,
            commit,
            stage=self.state_dir / "stage",
            use_symlinks=self._use_symlinks,
            owners=self._owners,
            patience=self.patience,
        )
