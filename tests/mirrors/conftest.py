"""A hub with open and gated repos, and the values that name their files."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator.core.dialects import HUGGINGFACE, Dialect
from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.core.sources import Origin, Source
from orchestrator.net.answers import Limits
from orchestrator.net.credentials import Credentials
from orchestrator.net.session import Net
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo, RepoFile

CANARY = "hf_canary_Zq7"
FILES = {
    "config.json": b"{}\n",
    "w.safetensors": b"w" * 70_000,
    "sub dir/100% ü#.txt": b"odd name\n",
    "big.txt": b"line\n" * 60_000,
    "empty.txt": b"",
}


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    open_repo, gated = Repo("model", "org/open", FILES), Repo("model", "org/gated", FILES, gated="manual")
    with LoopbackHub([open_repo, gated, Repo("dataset", "org/data", FILES)], tokens={CANARY: {"org/gated"}}) as running:
        yield running


@pytest.fixture
def net(hub: LoopbackHub) -> Iterator[Net]:
    """Holds the canary token for the hub, and does not wait."""
    credentials = Credentials(CANARY, frozenset({hub.host}))
    with Net(credentials, sleep=lambda _: None, limits=Limits(attempts=2, read=0.5)) as made:
        yield made


def source(url: str, kind: Dialect = HUGGINGFACE) -> Source:
    return Source("the-mirror", url, kind)


def origin(hub: LoopbackHub, path: str, name: str = "org/open", repo_type: str = "model") -> Origin:
    return Origin(RepoId(RepoType(repo_type), name), hub.repo(name, repo_type).head, path)


def listed(hub: LoopbackHub, path: str) -> tuple[int, Digest]:
    """Size and digest of a file, as the hub lists it."""
    repo = hub.repo("org/open")
    file: RepoFile = repo.commits[repo.head].files[path]
    algorithm = Algorithm.SHA256 if file.sha256 else Algorithm.GIT_SHA1
    return file.size, Digest(algorithm, file.etag)
