"""What has arrived of a part, in a form that survives a killed aria2c.

aria2 trusts any part that lies beside a control file, and continues a part without one into a corrupt file. So its
control file is never believed: while a download runs, the bitfield that aria2 reports is journalled here, and before a
part is continued the control file is written anew from the journal. A part without a valid journal starts over.

The control file's layout is in aria2's technical notes ("Control file (*.aria2) format", version 1), big-endian:
version u16, extension u32, info-hash length u32, piece length u32, total length u64, upload length u64, bitfield
length u32, bitfield, number of in-flight pieces u32.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.files import Digest

_FORMAT = "glm-aria-journal/1"
_HEADER = struct.Struct(">HIIIQQI")


@dataclass(frozen=True, slots=True)
class Journal:
    """Which pieces of a blob lie in its part.

    `piece_length` is in bytes; the highest bit of the bitfield is the first piece.
    """

    digest: Digest
    size: int
    piece_length: int
    bitfield: bytes

    @property
    def pieces(self) -> int:
        """Number of pieces, the last one possibly short."""
        return -(-self.size // self.piece_length)

    @property
    def is_valid(self) -> bool:
        """True when the bitfield has the right length, no bit beyond the last piece, and aria2 can hold it."""
        if not 0 < self.piece_length < 1 << 32 or not 0 < self.size < 1 << 63:
            return False
        if len(self.bitfield) != -(-self.pieces // 8):
            return False
        spare = len(self.bitfield) * 8 - self.pieces
        return int.from_bytes(self.bitfield[-1:], "big") & ((1 << spare) - 1) == 0

    @property
    def prefix(self) -> int:
        """Bytes from the start without a gap."""
        return prefix(self.bitfield, self.piece_length, self.size)

    @property
    def done(self) -> int:
        """Bytes of all finished pieces."""
        count = int.from_bytes(self.bitfield, "big").bit_count()
        last = self.pieces - 1
        has_last = self.bitfield[last // 8] >> (7 - last % 8) & 1
        return count * self.piece_length - has_last * (self.pieces * self.piece_length - self.size)

    def control_file(self) -> bytes:
        """aria2's control file for this state."""
        header = _HEADER.pack(1, 0, 0, self.piece_length, self.size, 0, len(self.bitfield))
        return header + self.bitfield + bytes(4)


def prefix(bitfield: bytes, piece_length: int, size: int) -> int:
    """Bytes from the start that lie in finished pieces without a gap."""
    whole = len(bitfield) - len(bitfield.lstrip(b"\xff"))
    pieces = whole * 8
    if whole < len(bitfield):
        pieces += 8 - (bitfield[whole] ^ 0xFF).bit_length()
    return min(pieces * piece_length, size)


def journal_path(part: Path) -> Path:
    """Where the journal of a part lies."""
    return part.with_name(part.name + ".journal")


def control_path(part: Path) -> Path:
    """Where aria2 looks for a part's control file."""
    return part.with_name(part.name + ".aria2")


def save(part: Path, journal: Journal) -> None:
    """Replace the part's journal in one step. Raises OSError."""
    target = journal_path(part)
    temporary = target.with_name(target.name + ".new")
    temporary.write_text(
        json.dumps(
            {
                "format": _FORMAT,
                "digest": str(journal.digest),
                "size": journal.size,
                "piece_length": journal.piece_length,
                "bitfield": journal.bitfield.hex(),
            }
        ),
        encoding="ascii",
    )
    temporary.replace(target)


def load(part: Path, digest: Digest, size: int) -> Journal | None:
    """The part's journal, or None when it is absent, damaged, or speaks of another blob."""
    try:
        stored = json.loads(journal_path(part).read_bytes())
        journal = Journal(digest, size, int(stored["piece_length"]), bytes.fromhex(stored["bitfield"]))
        same = (stored["format"], stored["digest"], stored["size"]) == (_FORMAT, str(digest), size)
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return journal if same and journal.is_valid else None


def prepare(part: Path, digest: Digest, size: int) -> Journal | None:
    """Make a part ready for aria2: continue what the journal proves, or start from nothing.

    Returns the journal that the next download continues. Raises OSError.
    """
    journal = load(part, digest, size)
    # aria2 allocates the whole file before the first piece, so a shorter part is not the one that was journalled.
    if journal is None or not _has_size(part, size):
        for path in (part, control_path(part), journal_path(part)):
            path.unlink(missing_ok=True)
        return None
    control_path(part).write_bytes(journal.control_file())
    return journal


def clear(part: Path) -> None:
    """Remove journal and control file of a part that is complete."""
    for path in (control_path(part), journal_path(part)):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108 - thousands of small files


def _has_size(part: Path, size: int) -> bool:
    try:
        return part.stat().st_size == size
    except OSError:
        return False
