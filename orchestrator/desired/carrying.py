"""A set as one archive: an OCI image layout, as a folder or a tar, with all files, the lock and the status.

    oci-layout  index.json  blobs/sha256/<hex>

The manifest is an artifact whose layers are `set.json`, `set.lock`, `status.json` and every distinct file of the set,
each by its sha256. What names a blob is its digest, so nothing in an archive is believed: a file is hashed while it is
copied, and has its digest or is refused. No path of an archive becomes a path of the disk.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from orchestrator.core.files import Algorithm, Digest
from orchestrator.disk.atomic import drop_all
from orchestrator.disk.state_file import UNREADABLE
from orchestrator.errors import CannotCreateError, IntegrityError, NotFoundError, UsageError
from orchestrator.oci.manifest import (
    EMPTY,
    OCI_INDEX,
    OCI_MANIFEST,
    TITLE,
    Descriptor,
    Index,
    Manifest,
    digest_of,
    parse,
    render,
)
from orchestrator.system.failures import on_disk
from orchestrator.system.small_files import RECORD_BYTES, read_small

SET = "application/vnd.glm-aria.set.v1"
_PART = "application/vnd.glm-aria.set.part"
_FILE = "application/octet-stream"
_LAYOUT, _INDEX = "oci-layout", "index.json"
_LAYOUT_TEXT = b'{"imageLayoutVersion":"1.0.0"}'
_CHUNK = 1 << 20
PARTS = ("set.json", "set.lock", "status.json")
DAMAGED = "bring the archive again; if that does not help, export it again"


@dataclass(frozen=True, slots=True)
class Carried:
    """The contents of an archive by its own word: the texts of the set, and the bytes of its files by their sha256."""

    texts: Mapping[str, bytes]
    blobs: Mapping[str, int]


class ArchiveWriter(Protocol):
    """Puts entries into an archive, in order."""

    def put(self, name: str, size: int, content: BinaryIO) -> None:
        """Add an entry of so many bytes. Raises per `system.failures`."""


def write_archive(writer: ArchiveWriter, texts: Mapping[str, bytes], blobs: Mapping[str, Path]) -> str:
    """Write a set; `blobs` are its files by their sha256. Returns the digest of the manifest.

    Raises IntegrityError for a file that is not what its digest says; the archive is of no use then.
    """
    layers = [Descriptor(_PART, digest_of(text), len(text), {TITLE: name}) for name, text in sorted(texts.items())]
    sizes = {digest: path.stat().st_size for digest, path in sorted(blobs.items())}
    layers += [Descriptor(_FILE, Digest(Algorithm.SHA256, digest), size) for digest, size in sizes.items()]
    config = Descriptor(EMPTY, digest_of(b"{}"), 2)
    manifest = render(Manifest(config, tuple(layers), artifact_type=SET))
    index = render(Index((Descriptor(OCI_MANIFEST, digest_of(manifest), len(manifest), artifact_type=SET),)))
    small = {_blob(digest_of(text).hex): text for text in (b"{}", manifest, *texts.values())}
    for name, text in ((_LAYOUT, _LAYOUT_TEXT), (_INDEX, index), *sorted(small.items())):
        writer.put(name, len(text), io.BytesIO(text))
    for digest, path in sorted(blobs.items()):
        if _blob(digest) in small:
            continue
        with on_disk("read", path), path.open("rb") as file:
            proven = _Proving(file)
            writer.put(_blob(digest), sizes[digest], proven)  # type: ignore[arg-type]
        if proven.digest != digest:
            raise IntegrityError(
                f"{path} is not what was placed; the archive is of no use",
                hint="glm-aria verify --repair",
                file=str(path),
            )
    return str(digest_of(manifest))


@dataclass(frozen=True, slots=True)
class EntryRoom:
    """A file that is to be made, and its bytes."""

    path: Path
    size: int


class ArchiveReader(Protocol):
    """An archive that is read."""

    def small(self, name: str) -> bytes:
        """The content of a small entry. Raises any of UNREADABLE."""

    def copy(self, wanted: Mapping[str, EntryRoom]) -> Iterator[tuple[str, str]]:
        """Copy entries to files that are made: the names that were found, one after another, with the sha256 of what
        was written. Of one that is larger than it should be, that is a part."""


def read_archive(reader: ArchiveReader, shown: str) -> Carried:
    """Read what an archive says. Raises UsageError for what is no set, IntegrityError for what has another digest."""
    try:
        parse_layout = json.loads(reader.small(_LAYOUT))
        if parse_layout["imageLayoutVersion"] != "1.0.0":
            raise ValueError("of another layout")
        index = parse(reader.small(_INDEX), OCI_INDEX, shown)
        if not isinstance(index, Index):
            raise TypeError("no index")
        entry = next(one for one in index.manifests if one.artifact_type == SET)
        manifest = parse(_proven(reader, entry.digest.hex), OCI_MANIFEST, shown)
        if not isinstance(manifest, Manifest):
            raise TypeError("no manifest")
        parts = {layer.path: layer for layer in manifest.layers if layer.media_type == _PART}
        texts = {name: _proven(reader, parts[name].digest.hex) for name in PARTS if name in parts}
    except (StopIteration, *UNREADABLE) as error:
        if isinstance(error, IntegrityError):
            raise
        raise UsageError(f"{shown} is no set of models", hint="glm-aria state export makes one") from error
    return Carried(texts, {layer.digest.hex: layer.size for layer in manifest.layers if layer.media_type == _FILE})


def entry_of(digest: str) -> str:
    """The name of the entry with these bytes."""
    return _blob(digest)


def _proven(reader: ArchiveReader, digest: str) -> bytes:
    content = reader.small(_blob(digest))
    if hashlib.sha256(content).hexdigest() != digest:
        raise IntegrityError(
            f"an entry of the archive is not what its digest says ({digest[:12]}); nothing was imported", hint=DAMAGED
        )
    return content


def _blob(digest: str) -> str:
    return f"blobs/sha256/{digest}"


class _Proving:
    """A file that is hashed while it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def read(self, count: int = -1) -> bytes:
        data = self._file.read(count)
        self._hash.update(data)
        return data

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


# -- folders and tars


@contextmanager
def writing(target: Path) -> Iterator[ArchiveWriter]:
    """An archive at a path: a tar where it ends with `.tar`, else a folder. It appears under its name when it is
    whole. Raises UsageError where something is there already, CannotCreateError where its folder is not."""
    if os.path.lexists(target):
        raise UsageError(f"{target} is there already; nothing was written", hint="choose another name, or remove it")
    if not target.parent.is_dir():
        raise CannotCreateError(f"there is no folder {target.parent}; nothing was written", hint="make it first")
    from orchestrator.system.processes import scratch_name

    scratch = target.parent / scratch_name()
    with on_disk("write", target):
        try:
            if target.suffix == ".tar":
                with tarfile.open(scratch, "w", format=tarfile.PAX_FORMAT) as tar:
                    yield _TarWriter(tar)
            else:
                scratch.mkdir()
                yield _FolderWriter(scratch)
            os.replace(scratch, target)  # noqa: PTH105
        except BaseException:
            drop_all(scratch)
            raise


@contextmanager
def reading(source: Path) -> Iterator[ArchiveReader]:
    """The archive at a path. Raises NotFoundError where nothing is, UsageError for what is none, and per
    `system.failures`."""
    if not os.path.lexists(source):
        raise NotFoundError(f"there is no {source}", file=str(source))
    if source.is_dir():
        yield _FolderReader(source)
        return
    with on_disk("read", source):
        try:
            with tarfile.open(source, "r:") as tar:
                yield _TarReader(tar)
        except tarfile.TarError as error:
            raise UsageError(
                f"{source} cannot be read as an archive: {error}", hint="glm-aria state export makes one"
            ) from error


@dataclass(frozen=True, slots=True)
class _TarWriter:
    tar: tarfile.TarFile

    def put(self, name: str, size: int, content: BinaryIO) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = size, 0o644
        self.tar.addfile(entry, content)


@dataclass(frozen=True, slots=True)
class _FolderWriter:
    folder: Path

    def put(self, name: str, size: int, content: BinaryIO) -> None:  # noqa: ARG002 - of the port
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            while data := content.read(_CHUNK):
                file.write(data)


@dataclass(frozen=True, slots=True)
class _TarReader:
    tar: tarfile.TarFile

    def small(self, name: str) -> bytes:
        entry = self.tar.getmember(name)
        if not entry.isreg() or entry.size > RECORD_BYTES:
            raise ValueError(f"{name} is no small file")
        file = self.tar.extractfile(entry)
        return file.read() if file else b""

    def copy(self, wanted: Mapping[str, EntryRoom]) -> Iterator[tuple[str, str]]:
        for entry in self.tar:
            if entry.name in wanted and entry.isreg() and (file := self.tar.extractfile(entry)) is not None:
                yield entry.name, _copied(file.read, wanted[entry.name])


@dataclass(frozen=True, slots=True)
class _FolderReader:
    folder: Path

    def small(self, name: str) -> bytes:
        return read_small(self.folder / name, RECORD_BYTES)

    def copy(self, wanted: Mapping[str, EntryRoom]) -> Iterator[tuple[str, str]]:
        from orchestrator.system.small_files import open_regular

        for name, room in wanted.items():
            try:
                fd = open_regular(self.folder / name)
            except OSError:
                continue
            with os.fdopen(fd, "rb") as file:
                yield name, _copied(file.read, room)


def _copied(read: Callable[[int], bytes], room: EntryRoom) -> str:
    # An archive of a few bytes can have an entry of holes that would fill any disk.
    found, left = hashlib.sha256(), room.size + 1
    with on_disk("write", room.path), room.path.open("xb") as file:
        while left and (data := read(min(left, _CHUNK))):
            found.update(data)
            file.write(data)
            left -= len(data)
    return found.hexdigest()
