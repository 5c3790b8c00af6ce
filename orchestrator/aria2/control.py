"""aria2's control file, which says what of a download has arrived: written for a span, read when nobody can be asked.

The layout is in aria2's technical notes ("Control file (*.aria2) format", version 1), big-endian: version u16,
extension u32, info-hash length u32, piece length u32, total length u64, upload length u64, bitfield length u32,
bitfield, number of pieces in flight u32, and for each of these: index u32, length u32, bitfield length u32, and a
bitfield of its blocks of 16 KiB.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from orchestrator.core.extents import Range

PIECE = 1 << 20
"""Bytes: aria2's least piece length."""
BLOCK = 16 << 10
"""Bytes: aria2 counts what arrived in blocks of this size."""

_HEADER = struct.Struct(">HIIIQQI")
_IN_FLIGHT = struct.Struct(">III")


def control_file(size: int, start: int, end: int) -> bytes:
    """The control file under which aria2 fetches only the bytes `start` to `end` of a file of `size` bytes.

    `start` is at a block's boundary, `end` at a piece's or the file's end.
    """
    pieces = -(-size // PIECE)
    bits = bytearray(b"\xff" * -(-pieces // 8))
    bits[-1] &= 0xFF << (len(bits) * 8 - pieces) & 0xFF
    for index in range(start // PIECE, -(-end // PIECE)):
        bits[index // 8] &= ~(0x80 >> index % 8)
    head = _HEADER.pack(1, 0, 0, PIECE, size, 0, len(bits)) + bits
    first, inside = divmod(start, PIECE)
    if not inside:
        return head + bytes(4)
    length = min(PIECE, size - first * PIECE)
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
    field, in_flight = read

    def is_here(index: int) -> bool:
        piece, block = divmod(index, PIECE // BLOCK)
        return _has(field, piece) or _has(in_flight.get(piece, b""), block)

    yield from _runs(is_here, BLOCK, start, end)


def runs_of(bitfield: bytes, start: int, end: int) -> Iterator[Range]:
    """The ranges between `start` and `end` whose pieces are whole; the highest bit is the first piece."""
    yield from _runs(lambda index: _has(bitfield, index), PIECE, start, end)


def _read(text: bytes, size: int) -> tuple[bytes, dict[int, bytes]] | None:
    """The bitfield of the pieces, and that of the blocks of each piece in flight."""
    pieces = -(-size // PIECE)
    try:
        *head, _, count = _HEADER.unpack_from(text)
        if head != [1, 0, 0, PIECE, size] or count != -(-pieces // 8):
            return None
        at = _HEADER.size + count
        field, in_flight = text[_HEADER.size : at], {}
        (number,) = struct.unpack_from(">I", text, at)
        at += 4
        for _ in range(number):
            index, _, length = _IN_FLIGHT.unpack_from(text, at)
            at += _IN_FLIGHT.size + length
            in_flight[index] = text[at - length : at]
    except struct.error:
        return None
    return (field, in_flight) if at == len(text) else None


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
