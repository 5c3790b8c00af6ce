"""aria2's control file, which says what of a download has arrived: written for a span, read when nobody can be asked.

The layout is in aria2's technical notes ("Control file (*.aria2) format", version 1), big-endian: version u16,
extension u32, info-hash length u32, piece length u32, total length u64, upload length u64, bitfield length u32,
bitfield, number of pieces in flight u32, and for each of these: index u32, length u32, bitfield length u32, and a
bitfield of its blocks of 16 KiB.

aria2 asks for whole pieces, and its option takes no piece length below 1 MiB. The one that a metalink tells with its
hashes of pieces may be shorter (measured with aria2 1.36: any multiple of 16 KiB), so that a range may end there.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from orchestrator.core.extents import Range

PIECE = 1 << 20
"""Bytes: the piece length of a download, where its range ends at a boundary of these."""
FINE_PIECE = 64 << 10
"""Bytes: the piece length elsewhere. A bit for each is written with every span: it is less only at a file's end."""
BLOCK = 16 << 10
"""Bytes: aria2 counts what arrived in blocks of this size."""
_LENGTHS = (PIECE, FINE_PIECE, BLOCK)

_HEADER = struct.Struct(">HIIIQQI")
_IN_FLIGHT = struct.Struct(">III")


def piece_length(size: int, end: int) -> int:
    """The longest piece of which a boundary is at `end`, of a file of `size` bytes."""
    return PIECE if end == size else next((piece for piece in _LENGTHS if not end % piece), BLOCK)


def control_file(size: int, start: int, end: int) -> bytes:
    """The control file under which aria2 fetches only the bytes `start` to `end` of a file of `size` bytes.

    `start` is at a block's boundary, `end` at one or at the file's end.
    """
    piece = piece_length(size, end)
    pieces = -(-size // piece)
    bits = bytearray(b"\xff" * -(-pieces // 8))
    bits[-1] &= 0xFF << (len(bits) * 8 - pieces) & 0xFF
    for index in range(start // piece, -(-end // piece)):
        bits[index // 8] &= ~(0x80 >> index % 8)
    head = _HEADER.pack(1, 0, 0, piece, size, 0, len(bits)) + bits
    first, inside = divmod(start, piece)
    if not inside:
        return head + bytes(4)
    length = min(piece, size - first * piece)
    blocks = bytearray(-(-length // (8 * BLOCK)))
    for index in range(inside // BLOCK):
        blocks[index // 8] |= 0x80 >> index % 8
    return head + (1).to_bytes(4, "big") + _IN_FLIGHT.pack(first, length, len(blocks)) + blocks


def arrived(text: bytes, size: int, start: int, end: int) -> Iterator[Range]:
    """The ranges between `start` and `end` that have arrived by this control file of a file of `size` bytes, in order.

    Nothing when it is damaged, or of another file.
    """
    read = _read(text, size)
    if read is None:
        return
    length, field, in_flight = read

    def is_here(index: int) -> bool:
        piece, block = divmod(index, length // BLOCK)
        return _has(field, piece) or _has(in_flight.get(piece, b""), block)

    yield from _runs(is_here, BLOCK, start, end)


def runs_of(bitfield: bytes, size: int, start: int, end: int) -> Iterator[Range]:
    """The ranges between `start` and `end` whose pieces are whole, of a download that was begun with this range of a
    file of `size` bytes; the highest bit is the first piece."""
    yield from _runs(lambda index: _has(bitfield, index), piece_length(size, end), start, end)


def _read(text: bytes, size: int) -> tuple[int, bytes, dict[int, bytes]] | None:
    """The length of a piece, the bitfield of the pieces, and that of the blocks of each piece in flight."""
    try:
        *head, length, total, _, count = _HEADER.unpack_from(text)
        if head != [1, 0, 0] or length not in _LENGTHS or total != size or count != -(-size // (8 * length)):
            return None
        at = _HEADER.size + count
        field, in_flight = text[_HEADER.size : at], {}
        (number,) = struct.unpack_from(">I", text, at)
        at += 4
        for _ in range(number):
            index, _, count = _IN_FLIGHT.unpack_from(text, at)
            at += _IN_FLIGHT.size + count
            in_flight[index] = text[at - count : at]
    except struct.error:
        return None
    return (length, field, in_flight) if at == len(text) else None


def _has(bits: bytes, index: int) -> bool:
    return index // 8 < len(bits) and bool(bits[index // 8] & 0x80 >> index % 8)


def _runs(is_here: Callable[[int], bool], unit: int, start: int, end: int) -> Iterator[Range]:
    at = None
    for index in range(start // unit, -(-end // unit)):
        if is_here(index):
            at = max(index * unit, start) if at is None else at
        elif at is not None:
            yield at, index * unit
            at = None
    if at is not None:
        yield at, end
