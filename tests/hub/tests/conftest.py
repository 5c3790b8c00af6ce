"""Shared hub: reading tests use one server for a module; tests that switch faults or clocks make their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.loopback import LoopbackHub
from tests.hub.models import tiny_model
from tests.hub.repos import Repo


def sample_repos() -> list[Repo]:
    """A public model with a tag, a branch and a PR; gated, private and renamed ones; a dataset; a wide one."""
    tiny = Repo("model", "org/tiny", tiny_model(1, shard_size=1 << 20), renamed_from=("old/tiny",))
    tiny.tag("v1")
    tiny.commit({"README.md": b"# second\n", "sub/deep/note.txt": b"note\n"}, title="second")
    tiny.branch("dev", "v1")
    tiny.pull_request(1, {"README.md": b"# from the pull request\n"})
    return [
        tiny,
        Repo("model", "org/gated", {"config.json": b"{}", "w.safetensors": b"w" * 1000}, gated="manual"),
        Repo("model", "org/private", {"config.json": b"{}"}, private=True),
        Repo("model", "gpt", {"config.json": b'{"legacy": true}'}),
        Repo("dataset", "org/data", {"train.parquet": b"p" * 5000, "README.md": b"data\n"}),
        Repo("model", "org/wide", {f"d{n % 7}/f{n:04d}.txt": b"%d" % n for n in range(2500)}),
    ]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment must not come between a client and the loopback."""
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture(scope="module")
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub(sample_repos(), tokens={"hf_in": {"org/gated", "org/private"}, "hf_out": set()}) as running:
        yield running


@pytest.fixture
def payload() -> bytes:
    """3 MiB that no two 4 KiB of are alike."""
    from tests.hub.content import generate

    return generate(3 << 20, seed=7)


@pytest.fixture
def fresh(payload: bytes, tmp_path: Path) -> Iterator[LoopbackHub]:
    """A hub of its own for one test, with `big.bin` (LFS, on disk), `mem.bin` (LFS, in memory) and `small.txt`."""
    path = tmp_path / "big.bin"
    path.write_bytes(payload)
    files: dict[str, Path | bytes] = {"big.bin": path, "mem.bin": payload, "small.txt": b"small text\n" * 50}
    with LoopbackHub([Repo("model", "org/m", files)], page_size=2) as running:
        yield running
