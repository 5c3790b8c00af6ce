"""A Hub and a ModelScope with models to be found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.hub.loopback import LoopbackHub, Site
from tests.hub.models import safetensors
from tests.hub.repos import Repo

WEIGHTS = safetensors([("a", (100, 50)), ("b", (7,))], 1)
GGUF = {
    "phone-Q4_K_M.gguf": b"4" * 4000,
    "phone-Q8_0-00001-of-00002.gguf": b"8" * 5000,
    "phone-Q8_0-00002-of-00002.gguf": b"9" * 3000,
    "mmproj-phone-F16.gguf": b"m" * 100,
    "README.md": b"read\n",
}
TOKENS = {"hf_in": {"org/phone-private"}}


@dataclass(frozen=True)
class Shops:
    """The Hub, and its ModelScope face."""

    hub: LoopbackHub
    modelscope: Site


def repos() -> list[Repo]:
    return [
        Repo("model", "zai/Phone-9B", {"config.json": b"{}", "twin.json": b"{}", "model.safetensors": WEIGHTS},
             downloads=500, likes=7, task="image-text-to-text"),
        Repo("model", "ggml/phone-GGUF", GGUF, downloads=50, likes=90),
        Repo("model", "org/phone-gated", {"a.bin": b"a" * 10}, gated="manual", downloads=5),
        Repo("model", "org/phone-private", {"a.bin": b"a" * 20}, private=True),
        Repo("model", "org/other", {"a.bin": b"a"}, downloads=10_000),
        Repo("dataset", "org/phone-calls", {"calls.parquet": b"p" * 77}, downloads=3),
        Repo("space", "org/phone-demo", {"app.py": b"x" * 11}, likes=1),
    ]  # fmt: skip


@pytest.fixture
def shops() -> Iterator[Shops]:
    with LoopbackHub(repos(), tokens=TOKENS) as hub:
        own = [
            Repo("model", "zai/Phone-9B", {"a": b"a" * 999}, downloads=9000, likes=1),
            Repo("model", "china/Phone-only", {"b": b"b" * 123}, downloads=20_000, task="chat"),
        ]
        yield Shops(hub, hub.modelscope(repos=own, aliases={"Zhipu/Phone-9B": "zai/Phone-9B"}))
