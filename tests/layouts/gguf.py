"""GGUF files, made of plain values."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

Value = str | int | bool | float | Sequence[str] | Sequence[int]


def gguf(keys: Mapping[str, Value] | None = None, tensors: Mapping[str, Sequence[int]] | None = None) -> bytes:
    """A file with these keys, and with tensors of these shapes, all zeros in 32 bits."""
    said: dict[str, Value] = {"general.architecture": "llama", "general.file_type": 15, **(keys or {})}
    shapes = {"token_embd.weight": (64, 32)} if tensors is None else tensors
    made = [b"GGUF", struct.pack("<IQQ", 3, len(shapes), len(said))]
    for name, value in said.items():
        made += [text(name), _value(value)]
    offset = 0
    for name, shape in shapes.items():
        made += [text(name), struct.pack(f"<I{len(shape)}Q", len(shape), *shape), struct.pack("<IQ", 0, offset)]
        offset += _padded(4 * _product(shape))
    header = b"".join(made)
    return header.ljust(_padded(len(header)), b"\0") + bytes(offset)


def text(value: str) -> bytes:
    """A string as GGUF has it."""
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Value) -> bytes:
    match value:
        case bool():
            return struct.pack("<I?", 7, value)
        case int():
            return struct.pack("<II", 4, value)
        case float():
            return struct.pack("<If", 6, value)
        case str():
            return struct.pack("<I", 8) + text(value)
        case [str(), *_]:
            return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(text(str(item)) for item in value)
        case _:
            return struct.pack("<IIQ", 9, 5, len(value)) + struct.pack(f"<{len(value)}i", *map(int, value))


def _product(shape: Sequence[int]) -> int:
    found = 1
    for size in shape:
        found *= size
    return found


def _padded(size: int) -> int:
    return -(-size // 32) * 32
