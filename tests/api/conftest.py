"""A user, and a hub that has a repo of each kind, for the functions that run in the process of the tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.content import generate
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo

FILES = {
    "config.json": b'{"a": 2}\n',
    "model.safetensors": generate(3 << 20, 1),
    "sub/deep/a.txt": b"a" * 300,
    "sub/b.bin": b"b" * 70_000,
}
TOKEN = "hf_of_the_tests"


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a user who has set nothing."""
    home = tmp_path / "home"
    (home / "run").mkdir(parents=True, mode=0o700)
    for name, below in {"HOME": "", "HF_HOME": "hf", "XDG_RUNTIME_DIR": "run", "XDG_CONFIG_HOME": "config"}.items():
        monkeypatch.setenv(name, str(home / below))
    for name in ("HF_TOKEN", "HF_ENDPOINT", "HF_HUB_CACHE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.chdir(home)
    return home


@pytest.fixture(scope="module")
def hub() -> Iterator[LoopbackHub]:
    """`org/m` with two commits and a tag, a dataset, a space, a gated repo and a private one that TOKEN opens."""
    model = Repo("model", "org/m", {"config.json": b"{}\n", "gone.txt": b"old"})
    model.tag("v1")
    model.commit(FILES, remove=("gone.txt",))
    space = Repo("space", "org/s", {"app.py": b"1\n", "awful/[x] ü?.txt": b"x"})
    space.pull_request(1, {"b.txt": b"b"})
    others = [
        space,
        Repo("dataset", "org/d", {"data/train.jsonl": b"{}\n" * 9}, renamed_from=("org/old",)),
        Repo("model", "org/gated", {"a.txt": b"a", "w.bin": b"w" * 9000}, gated="auto"),
        Repo("model", "org/private", {"a.txt": b"a"}, private=True),
    ]
    with LoopbackHub([model, *others], tokens={TOKEN: frozenset({"org/gated", "org/private"})}) as made:
        yield made


@pytest.fixture
def model(hub: LoopbackHub) -> Repo:
    """`org/m`."""
    return hub.shelf.repos["model", "org/m"]
