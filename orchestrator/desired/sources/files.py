"""A file or a folder of this machine as a source, such as a ConfigMap that is mounted into a pod."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.desired.sources.interface import MOST
from orchestrator.desired.wish.document import NAMES
from orchestrator.disk import places
from orchestrator.disk.file_stat import Identity
from orchestrator.errors import FileAbsentError, NotFoundError, TemporaryError, UnsafeError
from orchestrator.system.failures import translate
from orchestrator.system.small_files import read_small

SETTLED = 0.5
"""Seconds without a change after which files count as written."""

_Look = tuple[Identity | None, ...]


class FileSource:
    """Implements `DesiredSource`. A Kubernetes volume exchanges all of its files by one link, which is followed once
    for each reading."""

    is_near = True

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._path = places.absolute(path)
        self._known: tuple[Path, ...] = ()
        self._seen: _Look = ()
        self._since = 0.0
        self._settled = ""

    def look(self) -> str:
        now = self._clock()
        files = (self._path, *self._tops(), *self._known)
        seen = tuple(Identity.at(file) for file in files)
        if seen[0] is None:
            raise NotFoundError(f"there is no {self._path}", file=str(self._path))
        if seen != self._seen:
            self._seen, self._since = seen, now
        if not self._settled or now - self._since >= SETTLED:
            self._settled = hashlib.sha256(repr(seen).encode()).hexdigest()
        return self._settled

    @contextlib.contextmanager
    def open(self) -> Iterator[FileTree]:
        is_folder = self._path.is_dir()
        folder = self._path if is_folder else self._path.parent
        # The names in the volume are links through this one; it may be exchanged while they are read.
        data = folder / "..data"
        real = Path(os.path.realpath(data if data.is_dir() else folder))
        tree = FileTree(real, None if is_folder else self._path.name, folder)
        yield tree
        self._known = tuple(folder / name for name in tree.identities)
        if Path(os.path.realpath(data if data.is_dir() else folder)) != real or any(
            Identity.at(real / name) != identity for name, identity in tree.identities.items()
        ):
            raise TemporaryError(f"{self._path} changes while it is read")

    def _tops(self) -> tuple[Path, ...]:
        return tuple(self._path / name for name in NAMES) if self._path.is_dir() else ()


@dataclass(slots=True)
class FileTree:
    """Implements `SourceTree`; `shown` is the folder as the user calls it."""

    folder: Path
    top: str | None
    shown: Path
    identities: dict[str, Identity | None] = field(default_factory=dict)
    _contents: dict[str, bytes] = field(default_factory=dict)
    moment: None = None

    @property
    def revision(self) -> str:
        found = hashlib.sha256()
        for name, content in sorted(self._contents.items()):
            found.update(f"{len(name.encode())}:{name}{len(content)}:".encode() + content)
        return f"sha256:{found.hexdigest()}"

    def read(self, name: str) -> bytes:
        if name in self._contents:
            return self._contents[name]
        path = self.folder / name
        real = os.path.realpath(path)
        if self.folder not in Path(real).parents and name != self.top:
            raise UnsafeError(f"{self.shown / name} leads out of the folder of the desired state", file=name)
        self.identities[name] = Identity.at(path)
        try:
            self._contents[name] = read_small(real, MOST)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                raise FileAbsentError(f"there is no {self.shown / name}", file=name) from error
            raise translate(error, "read", str(self.shown / name)) from error
        return self._contents[name]
