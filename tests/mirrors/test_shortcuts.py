"""Shortcuts: a redirect foretells others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.core.sources import Origin, Source
from orchestrator.mirrors.links import Links
from orchestrator.mirrors.shortcuts import Pattern, Shortcuts
from orchestrator.net.session import Net
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.mirrors.test_links import plain_get

COMMIT = "9216db5781bf21249d130ec9da846c4624c16137"
HUB = "https://huggingface.co"
FILES = {f"{folder}file-{number}.json": b"%d" % number for folder in ("", "sub/", "a/b/") for number in range(3)}
ODD = {"a b.json": b"1", "ü.json": b"2", "100%.json": b"3", "x.py": b"4", "config.json": b"5"}


def where(path: str, name: str = "Qwen/Qwen3-32B", commit: str = COMMIT) -> Origin:
    return Origin(RepoId(RepoType.MODEL, name), commit, path)


def oid(letter: str) -> Digest:
    return Digest(Algorithm.GIT_SHA1, letter * 40)


def as_the_hub_writes_it(origin: Origin, digest: Digest) -> str:
    """Where huggingface.co redirects to, as clients have shown it in 2026."""
    query = f"/{origin.repo.name}/resolve/{origin.commit}/{origin.path}".replace("/", "%2F")
    path = origin.path.replace("/", "%2F")
    return f"{HUB}/api/resolve-cache/models/{origin.repo.name}/{origin.commit}/{path}?{query}=&etag=%22{digest.hex}%22"


@pytest.mark.parametrize(
    ("seen", "other"),
    [
        (where("tokenizer_config.json"), where("README.md", "o/n", "c" * 40)),
        (where("1_Pooling/config.json"), where("onnx/deep/quantize_config.json", "zai-org/AutoGLM-Phone-9B", "d" * 40)),
    ],
)
def test_one_redirect_of_the_hub_foretells_the_others(seen: Origin, other: Origin) -> None:
    pattern = Pattern.of(as_the_hub_writes_it(seen, oid("a")), seen, oid("a"))
    assert pattern is not None
    assert pattern.fill(other, oid("b")) == as_the_hub_writes_it(other, oid("b"))
    assert pattern.fill(seen, oid("a")) == as_the_hub_writes_it(seen, oid("a"))


def test_the_host_is_no_part_of_a_pattern() -> None:
    seen = where("mirror.example")
    pattern = Pattern.of("https://mirror.example/files/mirror.example", seen, oid("a"))
    assert pattern is not None
    assert pattern.fill(where("README.md"), oid("b")) == "https://mirror.example/files/README.md"


def test_an_address_that_names_no_file_is_no_pattern() -> None:
    seen = where("README.md")
    assert Pattern.of(f"{HUB}/blob/12345?commit={COMMIT}", seen, oid("a")) is None
    assert Pattern.of(f"{HUB}/blob/{'a' * 40}", seen, oid("a")) is not None


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub([Repo("model", "org/many", FILES | ODD), Repo("model", "org/other", FILES)]) as running:
        yield running


class Site:
    """A hub as a source, and what a run learns of it."""

    def __init__(self, hub: LoopbackHub, net: Net) -> None:
        self.hub, self.source, self.links = hub, Source("hub", hub.url), Links(net)
        self.shortcuts = Shortcuts()

    def known(self, path: str, name: str) -> tuple[Origin, Digest, int]:
        repo = self.hub.repo(name)
        file = repo.commits[repo.head].files[path]
        return where(path, name, repo.head), Digest(Algorithm.GIT_SHA1, file.oid), file.size

    def address(self, path: str, name: str = "org/many") -> str | None:
        origin, digest, _ = self.known(path, name)
        return self.shortcuts.address(self.source, origin, digest)

    def learn(self, path: str) -> None:
        origin, digest, size = self.known(path, "org/many")
        link = self.links.resolve(self.source, origin, size, digest)
        self.shortcuts.learn(self.source, origin, digest, link.url)


@pytest.fixture
def site(hub: LoopbackHub) -> Iterator[Site]:
    with Net() as net:
        yield Site(hub, net)


def test_after_one_redirect_the_others_are_known(site: Site) -> None:
    assert site.address("file-0.json") is None
    site.learn("file-0.json")
    site.hub.log.reset()
    for name in ("org/many", "org/other"):
        address = site.address("file-2.json", name)
        assert address is not None
        assert "/api/resolve-cache/" in address
        assert plain_get(address) == FILES["file-2.json"]
    assert {seen.path.split("/")[1] for seen in site.hub.log.requests()} == {"api"}
    assert len(site.hub.log.requests()) == 2


def test_files_in_folders_are_another_kind(site: Site) -> None:
    site.learn("file-0.json")
    assert site.address("sub/file-0.json") is None
    site.learn("sub/file-0.json")
    address = site.address("a/b/file-2.json")
    assert address is not None
    assert plain_get(address) == FILES["a/b/file-2.json"]


@pytest.mark.parametrize("path", list(ODD))
def test_these_go_by_their_plain_address(site: Site, path: str) -> None:
    """Names that may be spelled in other ways, or be found by chance, and what the Hub counts downloads by."""
    site.learn(path)
    assert site.address("file-1.json") is None, "nothing is learned from them"
    site.learn("file-0.json")
    assert site.address(path) is None
    assert site.address("file-1.json") is not None


@pytest.mark.parametrize("where_to", ["", "https://cdn.example/org/many/file-0.json?Signature=s", "?name"])
def test_a_site_whose_redirects_foretell_nothing(site: Site, where_to: str) -> None:
    """It has none, they lead to another site, or do not say to which file."""
    origin, digest, _ = site.known("file-0.json", "org/many")
    plain = site.source.file_url(origin)
    url = where_to if "//" in where_to else site.hub.url + where_to if where_to else plain
    site.shortcuts.learn(site.source, origin, digest, url)
    assert site.address("file-1.json") is None


def test_one_that_fails_is_dropped(site: Site) -> None:
    site.learn("file-0.json")
    origin, _, _ = site.known("file-2.json", "org/many")
    site.shortcuts.distrust(site.source, origin)
    assert site.address("file-2.json") is None
    site.learn("file-0.json")
    assert site.address("file-2.json") is None, "for the rest of the run"
