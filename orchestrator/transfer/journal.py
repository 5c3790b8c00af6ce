"""Journal of the arrived bytes of a part, in a form that survives a killed aria2c.

aria2 trusts any part that lies beside a control file, and continues a part without one into a corrupt file. So its
control file is never believed: while spans run, what aria2 says has arrived is journalled here, and each span gets a
control file that is made from it. A part without a valid journal starts over.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
from pathlib import Path

from orchestrator.aria2.control import BLOCK, FINE_PIECE
from orchestrator.core.extents import Extent, Extents, Ranges, outward
from orchestrator.core.files import Digest
from orchestrator.disk.folders import open_fresh
from orchestrator.platform.files import occupied
from orchestrator.platform.libc import last_error, system_call
from orchestrator.platform.open_flags import CLOEXEC, NOFOLLOW
from orchestrator.system.small_files import RECORD_BYTES, read_small

_FORMAT = "glm-aria-journal/2"
_UNSUPPORTED = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


def journal_path(part: Path) -> Path:
    """The path of the journal of a part."""
    return part.with_name(part.name + ".journal")


def span_path(part: Path, number: int) -> Path:
    """The name of the part that a span writes to."""
    return part.with_name(f"{part.name}.span-{number}")


def save(part: Path, digest: Digest, size: int, extents: Extents) -> None:
    """Replace the part's journal in one step. Raises OSError."""
    target = journal_path(part)
    temporary = target.with_name(target.name + ".new")
    names = list(dict.fromkeys(item.source for item in extents.items))
    text = json.dumps(
        {
            "format": _FORMAT,
            "digest": str(digest),
            "size": size,
            "sources": names,
            "extents": [[item.start, item.end, names.index(item.source)] for item in extents.items],
        },
        separators=(",", ":"),
    )
    with os.fdopen(open_fresh(temporary), "w", encoding="ascii") as file:
        file.write(text)
    temporary.replace(target)


def load(part: Path, digest: Digest, size: int) -> Extents | None:
    """The arrived bytes by the journal, or None if it is absent, damaged, or of another blob."""
    try:
        stored = json.loads(read_small(journal_path(part), RECORD_BYTES))
        if (stored["format"], stored["digest"], stored["size"]) != (_FORMAT, str(digest), size):
            return None
        names = [str(name) for name in stored["sources"]]
        items = tuple(Extent(int(start), int(end), names[source]) for start, end, source in stored["extents"])
        bounds = [0, *(number for item in items for number in (item.start, item.end)), size]
    except (OSError, ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError):
        return None
    is_ordered = all(left <= right for left, right in itertools.pairwise(bounds))
    return Extents.of(items) if is_ordered else None


def prepare(part: Path, digest: Digest, size: int, *, is_sparse: bool = False) -> Extents:
    """Make a part ready for spans: continue what the journal proves, or start from nothing.

    Returns what is there. The part has its full size then, and unless it `is_sparse` that is reserved on the disk,
    where the file system can do that. Raises OSError; a full disk shows here, before the first byte.
    """
    discard_spans(part)
    known = load(part, digest, size)
    # The whole file is allocated before the first byte, so a shorter part is not the one that was journalled.
    if known is not None and _has_size(part, size):
        if not is_sparse:
            reserve(part, size)
        return known.aligned(size, block=BLOCK, piece=FINE_PIECE)
    clear(part)
    part.unlink(missing_ok=True)
    with part.open("xb") as file:
        if is_sparse or not _reserve(file.fileno(), size):
            file.truncate(size)
    return Extents()


def reserve(part: Path, size: int) -> None:
    """Reserve the space of a part that was sparse up to now. Raises OSError."""
    if occupied(part.lstat()) < size:
        with os.fdopen(os.open(part, os.O_WRONLY | NOFOLLOW | CLOEXEC)) as file:
            _reserve(file.fileno(), size)


def forget(part: Path, digest: Digest, size: int, ranges: Ranges) -> Ranges:
    """Take bytes back of a part that nobody writes: they are to come again. Returns what is forgotten, in whole pieces.
    Raises OSError."""
    ranges = outward(ranges, size, FINE_PIECE)
    known = load(part, digest, size)
    if known is not None:
        save(part, digest, size, known.minus(ranges))
    return ranges


def clear(part: Path) -> None:
    """Remove the journal of a part that is complete, or that starts again."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(journal_path(part))  # noqa: PTH108 - thousands of small files


def discard_spans(part: Path) -> None:
    """Remove the names that a killed run's spans left."""
    for path in part.parent.glob(f"{part.name}.span-*"):
        path.unlink(missing_ok=True)


def _has_size(part: Path, size: int) -> bool:
    try:
        return part.lstat().st_size == size
    except OSError:
        return False


def _reserve(fd: int, size: int) -> bool:
    """Reserve the space; False where fallocate(2) is not supported (ZFS, FAT, NFS before 4.2). Raises OSError.

    Not `os.posix_fallocate`: where it is not supported, the C library writes zeros instead.
    """
    fallocate = system_call("fallocate", "iiLL")
    if fallocate is None:
        return False
    while fallocate(fd, 0, 0, size):
        error = last_error()
        if error.errno in _UNSUPPORTED:
            return False
        if error.errno != errno.EINTR:
            raise error
    return True
