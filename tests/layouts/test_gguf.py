"""The header of a GGUF file: what it says, and files that say nonsense."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from orchestrator.layouts.gguf import GgufFacts, read_gguf
from tests.layouts.gguf import Value, gguf, text

BEGIN = b"GGUF" + struct.pack("<IQQ", 3, 0, 1)


def test_a_header_tells_what_programs_show(tmp_path: Path) -> None:
    keys: dict[str, Value] = {
        "general.architecture": "qwen3", "a.float": 1.5, "a.flag": True, "tokenizer.ggml.tokens": ["<s>", "é"],
        "tokenizer.ggml.token_type": [1, 2, -3], "split.count": 3,
    }  # fmt: skip
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf(keys, {"a": (64, 32), "b": (10,), "none": ()}))
    assert read_gguf(path) == GgufFacts("qwen3", 64 * 32 + 10 + 1, 3)
    path.write_bytes(gguf({"general.architecture": 1}, {}))
    assert read_gguf(path) == GgufFacts("", 0, 1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GGU",
        b"version https://git-lfs.github.com/spec/v1\n",
        gguf()[:50],
        b"GGUF" + struct.pack("<I", 1),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 2**63),
        b"GGUF" + struct.pack("<IQQ", 3, 2**40, 0),
        BEGIN + struct.pack("<Q", 2**62),
        BEGIN + text("a") + struct.pack("<I", 99),
        BEGIN + text("a") + struct.pack("<IIQ", 9, 8, 2**60),
        BEGIN + text("a") + struct.pack("<IIQ", 9, 0, 2**60),
        BEGIN + text("a") + struct.pack("<IIQ", 9, 9, 1) * 2000,
        b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + text("t") + struct.pack("<I", 2**31),
    ],
)
def test_what_is_no_header_is_refused_soon(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"begin|version|keys|string|type|dimensions|header"):
        read_gguf(path)
