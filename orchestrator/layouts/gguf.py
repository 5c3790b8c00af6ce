"""Facts in the header of a GGUF file: what a model is, without a look at its weights.

Source: `docs/gguf.md` of ggml. A file begins with `GGUF`, its version, and the numbers of its tensors and its keys.
Then come the keys with their values, and names, shapes and places of tensors. All numbers are little-endian here.
"""

from __future__ import annotations

import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from orchestrator.system.failures import on_disk
from orchestrator.system.small_files import open_regular

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_MOST_BYTES = 128 << 20
"""At most so many bytes of a header: the words of 250,000 tokens with their merges take about 15 MB."""
_MOST_TEXT = 1 << 20
_MOST_KEYS = 1 << 16
_MOST_TENSORS = 1 << 20
_MOST_DIMENSIONS = 8
_STRING, _ARRAY = 8, 9
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""The formats of `struct` for the types of plain values."""


@dataclass(frozen=True, slots=True)
class GgufFacts:
    """The facts that programs show of a model: `parameters` are the elements of all tensors in this file.

    `shards` is 1 for a model in one file.
    """

    architecture: str
    parameters: int
    shards: int


def read_gguf(path: Path) -> GgufFacts:
    """The facts of a file. Raises ValueError, with words for people, when it is no GGUF file, and DiskIOError."""
    with on_disk("read", path), os.fdopen(open_regular(path, follow=True), "rb") as file:
        return _facts(_Reader(file))


def _facts(reader: _Reader) -> GgufFacts:
    if reader.take(4) != _MAGIC:
        raise ValueError("it does not begin with GGUF")
    version = reader.number("I")
    if version not in _VERSIONS:
        raise ValueError(f"version {version}")
    tensors, keys = reader.number("Q"), reader.number("Q")
    if tensors > _MOST_TENSORS or keys > _MOST_KEYS:
        raise ValueError(f"{tensors} tensors and {keys} keys")
    values: dict[str, object] = {}
    for _ in range(keys):
        name = reader.text()
        values[name] = reader.value(reader.number("I"))
    architecture, shards = values.get("general.architecture"), values.get("split.count")
    return GgufFacts(
        architecture if isinstance(architecture, str) else "",
        sum(_elements(reader) for _ in range(tensors)),
        shards if isinstance(shards, int) and shards > 1 else 1,
    )


def _elements(reader: _Reader) -> int:
    reader.text()
    dimensions = reader.number("I")
    if dimensions > _MOST_DIMENSIONS:
        raise ValueError(f"a tensor of {dimensions} dimensions")
    shape = [reader.number("Q") for _ in range(dimensions)]
    reader.number("I")
    reader.number("Q")
    return math.prod(shape)


class _Reader:
    """Reads values one after the other, and not more than a header may have."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = _MOST_BYTES

    def take(self, count: int) -> bytes:
        """The next bytes."""
        self._left -= count
        if self._left < 0:
            raise ValueError("its header does not end")
        data = self._file.read(count)
        if len(data) != count:
            raise ValueError("its header is cut off")
        return data

    def number(self, kind: str) -> int:
        """An unsigned number, `I` of 4 or `Q` of 8 bytes."""
        (value,) = struct.unpack(f"<{kind}", self.take(struct.calcsize(f"<{kind}")))
        return int(value)

    def text(self) -> str:
        """A string."""
        length = self.number("Q")
        if length > _MOST_TEXT:
            raise ValueError(f"a string of {length} bytes")
        return self.take(length).decode(errors="replace")

    def value(self, kind: int) -> object:
        """A value of a key; None for an array, whose values nobody asks for."""
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY:
            plain = _FORMATS.get(kind)
            if plain is None:
                raise ValueError(f"a value of type {kind}")
            (found,) = struct.unpack(f"<{plain}", self.take(struct.calcsize(f"<{plain}")))
            return found
        items, count = self.number("I"), self.number("Q")
        if items in _FORMATS:
            self.take(count * struct.calcsize(f"<{_FORMATS[items]}"))
        elif items == _STRING and count <= _MOST_BYTES // 8:
            for _ in range(count):
                self.text()
        else:
            raise ValueError(f"an array of {count} values of type {items}")
        return None
