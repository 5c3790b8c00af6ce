"""Units and pieces: how a blob is cut for a swarm, and sets of its pieces.

A unit is what one node fetches from the origin for all. A piece is what is checked and passed on; `proof.pieces` has
its length. A unit is a whole number of pieces, and a blob has at most 512 units up to 32 GiB.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from orchestrator.core.extents import Range, Ranges
from orchestrator.core.files import Digest
from orchestrator.proof.pieces import PIECE

Piece = int
"""The number of a piece of a blob."""

LEAST_UNIT, MOST_UNIT = PIECE, 16 * PIECE
_UNITS = 256


def unit_bytes(size: int) -> int:
    """The bytes of a unit of a blob of `size` bytes: a power of two, so that a file has about 256 to 512 of them."""
    return min(max(1 << max(0, (size // _UNITS).bit_length() - 1), LEAST_UNIT), MOST_UNIT)


@dataclass(frozen=True, slots=True, order=True)
class Unit:
    """The bytes `start` up to `end` of a blob: its unit number `index`."""

    digest: Digest
    index: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Bits:
    """A set of numbers below `count`: of the pieces of a blob, say. `mask` has bit `n` for the number `n`."""

    count: int
    mask: int = 0

    @classmethod
    def of(cls, count: int, numbers: Iterable[int]) -> Bits:
        """The set of these numbers. Raises ValueError for one that is none of the `count`."""
        mask = 0
        for number in numbers:
            if not 0 <= number < count:
                raise ValueError(f"{number} is not below {count}")
            mask |= 1 << number
        return cls(count, mask)

    @classmethod
    def full(cls, count: int) -> Bits:
        """All numbers."""
        return cls(count, (1 << count) - 1)

    @classmethod
    def parse(cls, count: int, data: bytes) -> Bits:
        """The set that `bytes` gave. Raises ValueError when it is of another length, or has numbers beyond `count`."""
        mask = int.from_bytes(data, "little")
        if len(data) != -(-count // 8) or mask >> count:
            raise ValueError(f"no set of {count} bits")
        return cls(count, mask)

    def __contains__(self, number: int) -> bool:
        return bool(self.mask >> number & 1)

    def __iter__(self) -> Iterator[int]:
        mask = self.mask
        while mask:
            low = mask & -mask
            yield low.bit_length() - 1
            mask ^= low

    def __len__(self) -> int:
        return self.mask.bit_count()

    def __or__(self, other: Bits) -> Bits:
        return Bits(self.count, self.mask | other.mask)

    def __and__(self, other: Bits) -> Bits:
        return Bits(self.count, self.mask & other.mask)

    def __sub__(self, other: Bits) -> Bits:
        return Bits(self.count, self.mask & ~other.mask)

    def __bytes__(self) -> bytes:
        """Little-endian, bit 0 first."""
        return self.mask.to_bytes(-(-self.count // 8), "little")

    @property
    def is_full(self) -> bool:
        """True when it has all numbers."""
        return len(self) == self.count

    def ranges(self, size: int, each: int = PIECE) -> Ranges:
        """The bytes of a blob of `size` bytes that these pieces of `each` bytes are."""
        return _ranges(self, size, each)


@lru_cache(maxsize=512)  # what each of some peers has of some blobs, asked for many times a second
def _ranges(bits: Bits, size: int, each: int) -> Ranges:
    found: list[Range] = []
    mask, number = bits.mask, 0
    while mask:
        gap = (mask & -mask).bit_length() - 1
        mask >>= gap
        run = (~mask & (mask + 1)).bit_length() - 1
        found.append(((number + gap) * each, min(size, (number + gap + run) * each)))
        mask, number = mask >> run, number + gap + run
    return tuple(found)


def piece_count(size: int) -> int:
    """The number of pieces of a blob of `size` bytes."""
    return -(-size // PIECE)


def pieces_within(size: int, ranges: Iterable[Range]) -> Bits:
    """The pieces of a blob of `size` bytes that lie whole within `ranges`, which are in order and do not touch."""
    count, mask = piece_count(size), 0
    for start, end in ranges:
        mask |= _run(-(-start // PIECE), count if end >= size else end // PIECE)
    return Bits(count, mask)


def pieces_of(size: int, ranges: Iterable[Range]) -> Bits:
    """The pieces of a blob of `size` bytes that have some byte of `ranges`."""
    count, mask = piece_count(size), 0
    for start, end in ranges:
        mask |= _run(start // PIECE, min(count, -(-end // PIECE)))
    return Bits(count, mask)


def piece_range(size: int, piece: Piece) -> Range:
    """The bytes of a piece of a blob of `size` bytes."""
    return piece * PIECE, min(size, (piece + 1) * PIECE)


def _run(first: int, last: int) -> int:
    return (1 << last) - (1 << first) if first < last else 0
