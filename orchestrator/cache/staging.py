"""Parts: files that aria2 writes and nobody believes yet, named by digest, so that any run can resume any other's.

A part belongs to the holder of its claim (`claims.py`). Beside it lie aria2's control file, our journal, piece hashes
and the owner, all with names that begin with the part's.
"""

# Over thousands of files, strings and os calls cost a third of what Path objects do.
# ruff: noqa: PTH108
from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.cache.claims import ALONE, FileClaims, Grant, Owners, is_orphaned
from orchestrator.core.files import Algorithm, Digest
from orchestrator.platform.files import occupied
from orchestrator.system import processes
from orchestrator.system.failures import on_disk

# What may lie beside a part: aria2's control file and its temporary, our journal, piece hashes, the owner.
_SIDECARS = (".aria2", ".aria2__temp", ".journal", ".journal.new", ".pieces", ".owner")
_TAKEN_OVER = re.compile(r"(?:[0-9a-f]{64}|[0-9a-f]{40})-[0-9a-f]{8}")


@dataclass(slots=True)
class Claim:
    """The sole right to write, verify and place one part, until `release` or the process ends."""

    digest: Digest
    _staging: Staging
    _held: bool = field(default=True)

    def release(self) -> None:
        """Give it up. Idempotent. What the part holds stays for the next claimant."""
        if self._held:
            self._held = False
            self._staging._release(self.digest)

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Staging:
    """The parts in `<state_dir>/stage`. One instance may be used by many threads.

    `owners` are asked as well, after the locks of this machine.
    """

    def __init__(self, state_dir: Path, owners: Owners = ALONE) -> None:
        self._owners = owners
        self.folder = state_dir / "stage"
        self._locks = state_dir / "claims.lock"
        self._files = FileClaims(self.folder, self._locks)
        self._held: dict[str, Digest] = {}
        self._names: dict[str, str] = {}
        self._guard = threading.Lock()

    def part(self, digest: Digest) -> Path:
        """The part's path, the only name that aria2 is given. Another one once the part was taken over from a node."""
        return self.folder / self._name(digest)

    def control(self, digest: Digest) -> Path:
        """aria2's control file of the part."""
        return self.folder / f"{self._name(digest)}.aria2"

    def journal(self, digest: Digest) -> Path:
        """Our journal of the part."""
        return self.folder / f"{self._name(digest)}.journal"

    def held(self, digest: Digest) -> int:
        """Bytes that the part takes up on the disk, 0 when there is none."""
        try:
            return occupied(os.lstat(self.part(digest)))
        except OSError:
            return 0

    def claim(self, digest: Digest) -> Claim | None:
        """The claim on a part, or None while another process or thread holds it. Never waits."""
        with self._guard, on_disk("lock", self._locks):
            if digest.hex in self._held or not self._files.take(digest):
                return None
            is_ours = False
            try:
                is_ours = self._ask_owners(digest)
            finally:
                if not is_ours:
                    self._files.give_back(digest)
            if not is_ours:
                return None
            self._held[digest.hex] = digest
        return Claim(digest, self)

    def discard(self, digest: Digest) -> None:
        """Remove the part, its control file and all else beside it, but keep the claim. Fine when nothing is there.

        Nothing is done when another node has taken the claim over: it is that one's part now.
        """
        if self.is_ours(digest):
            self._discard(digest)

    def remove(self, digest: Digest) -> bool:
        """Claim the part and discard it; False while another run holds the claim. Fine when nothing is there."""
        claim = self.claim(digest)
        if claim is None:
            return False
        with claim:
            self.discard(digest)
        return True

    def is_ours(self, digest: Digest) -> bool:
        """False once another node has taken over what we claimed."""
        return self._owners.is_ours(digest)

    def _discard(self, digest: Digest) -> None:
        with on_disk("remove", self.part(digest)):
            for suffix in ("", *_SIDECARS[:-1]):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{self.folder}/{self._name(digest)}{suffix}")

    def _name(self, digest: Digest) -> str:
        return self._names.get(digest.hex, digest.hex)

    def parts(self) -> tuple[tuple[Digest, float], ...]:
        """All parts, each with the seconds since it was last written to."""
        with on_disk("read", self.folder):
            try:
                names = sorted(os.listdir(self.folder))  # noqa: PTH208 - names are all that is wanted
            except (FileNotFoundError, NotADirectoryError):
                return ()
            lengths = {64: Algorithm.SHA256, 40: Algorithm.GIT_SHA1}
            digests = [Digest(lengths[len(n)], n) for n in names if len(n) in lengths and "." not in n and "-" not in n]
            return tuple((d, min(processes.age(self.part(d)), processes.age(self.journal(d)))) for d in digests)

    def litter(self) -> tuple[Path, ...]:
        """Files that serve nobody: sidecars without a part, owners that died, scratch files of crashed runs.

        Parts are never litter, since they save a download; `gc` decides about those. What a living claim covers is
        left out.
        """
        with on_disk("read", self.folder):
            try:
                names = {entry.name: entry for entry in os.scandir(self.folder)}
            except (FileNotFoundError, NotADirectoryError):
                return ()
            return tuple(sorted(self._litter(names)))

    def sweep(self) -> int:
        """Remove the litter; returns how many files that were."""
        count = 0
        with on_disk("clean", self.folder):
            for path in self.litter():
                with contextlib.suppress(FileNotFoundError):
                    # A folder: a snapshot that a killed `cache gc` had taken out of the cache.
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
                    count += 1
        return count

    def close(self) -> None:
        """Drop every claim and the descriptor."""
        with self._guard:
            for digest in self._held.values():
                self._owners.give_back(digest)
                with contextlib.suppress(OSError):  # a dead owner's file is in nobody's way
                    self._files.give_back(digest)
            self._held.clear()
            self._files.close()

    def _release(self, digest: Digest) -> None:
        with self._guard, on_disk("unlock", self._locks):
            if digest.hex not in self._held:
                return
            self._owners.give_back(digest)
            if digest.hex in self._names:
                self._discard(digest)
                del self._names[digest.hex]
            del self._held[digest.hex]
            self._files.give_back(digest)

    def _ask_owners(self, digest: Digest) -> bool:
        grant = self._owners.take(digest)
        if grant is Grant.NEW_PART:
            # The holder before may wake up and write on: into a file that has no name any more. And it may still make
            # and remove names that begin with the digest, so from here on ours is another one.
            self._names.pop(digest.hex, None)
            self._discard(digest)
            self._names[digest.hex] = f"{digest.hex}-{os.urandom(4).hex()}"
        return grant is not Grant.NO

    def _litter(self, names: dict[str, os.DirEntry[str]]) -> Iterator[Path]:
        for name in names:
            path = self.folder / name
            stem, _, suffix = name.partition(".")
            if processes.is_left_behind(path) or (
                _TAKEN_OVER.fullmatch(name) and processes.age(path) > processes.FOREIGN_AGE
            ):
                yield path
            elif suffix == "owner":
                if is_orphaned(path):
                    yield path
            elif suffix == "meta4" and processes.age(path) <= processes.FOREIGN_AGE:
                continue  # by which another run finds out, at this moment, whether its aria2c writes here
            elif suffix and stem not in names and f"{stem}.owner" not in names:
                yield path
