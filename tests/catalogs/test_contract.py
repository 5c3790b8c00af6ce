"""What `Catalog` promises, held on every implementation."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pytest

from orchestrator.catalogs.interface import Catalog
from orchestrator.core.files import Algorithm
from orchestrator.core.refs import CatalogKind, Ref
from orchestrator.errors import NotFoundError, ProtocolError, SourcesDownError, TemporaryError
from tests.catalogs.conftest import FILES, huggingface, model, modelscope_catalog
from tests.support.faults import Fault
from tests.support.hub import LoopbackHub, Site
from tests.support.repos import Repo


@dataclass
class Subject:
    """A catalog under test: `main` is its name for the main branch, `face` its face at the hub."""

    catalog: Catalog
    kind: CatalogKind
    main: str
    face: str

    def ref(self, name: str, revision: str | None = None) -> Ref:
        return Ref(model(name), revision or self.main, self.kind)


@pytest.fixture(params=list(CatalogKind))
def kind(request: pytest.FixtureRequest) -> CatalogKind:
    return CatalogKind(request.param)


@pytest.fixture
def subject(kind: CatalogKind, shared_hub: LoopbackHub, shared_site: Site) -> Subject:
    if kind is CatalogKind.HUGGINGFACE:
        return Subject(huggingface(shared_hub), kind, "main", "hub")
    return Subject(modelscope_catalog(shared_hub, shared_site), kind, "master", "modelscope")


@pytest.fixture
def own(kind: CatalogKind, hub: LoopbackHub) -> Subject:
    """Like `subject`, at a hub that the test may spoil."""
    if kind is CatalogKind.HUGGINGFACE:
        return Subject(huggingface(hub), kind, "main", "hub")
    return Subject(modelscope_catalog(hub, hub.modelscope()), kind, "master", "modelscope")


def test_revision_takes_one_request(subject: Subject, shared_hub: LoopbackHub) -> None:
    shared_hub.log.reset()
    revision = subject.catalog.revision(subject.ref("org/tiny"))
    assert (len(revision.commit), revision.is_restricted, revision.name_now) == (40, False, "org/tiny")
    assert len(shared_hub.log.requests()) == 1


def test_revisions_of_every_form(subject: Subject) -> None:
    ask = subject.catalog.revision
    main, tag, branch = (ask(subject.ref("org/tiny", name)).commit for name in (None, "v1.0", "dev"))
    assert main != tag == branch
    assert ask(subject.ref("org/tiny", "refs/pr/1")).commit not in (main, tag)
    assert ask(subject.ref("org/tiny", tag)).commit == tag


def test_tags_are_told_from_branches(own: Subject, hub: LoopbackHub) -> None:
    is_tag = own.catalog.is_tag
    assert is_tag(own.ref("org/tiny", "v1.0"))
    assert not is_tag(own.ref("org/tiny", "dev"))
    assert not is_tag(own.ref("org/tiny", "no-such"))
    assert not is_tag(own.ref("org/none", "v1.0"))
    hub.fault(Fault("html_portal", body=b"[7]"), face=own.face)
    assert not is_tag(own.ref("org/tiny", "v1.0"))


def test_tree_holds_every_file_and_its_digest(subject: Subject) -> None:
    commit = subject.catalog.revision(subject.ref("org/tiny", "v1.0")).commit
    tree = subject.catalog.tree(model("org/tiny"), commit)
    assert tree.commit == commit
    assert {file.path: file.size for file in tree.files} == {path: len(data) for path, data in FILES.items()}
    for file in tree.files:
        data = FILES[file.path]
        if file.digest.algorithm is Algorithm.GIT_SHA1:
            data = b"blob %d\0" % len(data) + data
        name = "sha256" if file.digest.algorithm is Algorithm.SHA256 else "sha1"
        assert file.digest.hex == hashlib.new(name, data, usedforsecurity=False).hexdigest()
        assert file.is_lfs == file.path.endswith((".safetensors", ".bin"))


@pytest.mark.parametrize("kind_of_entry", ["unknown", "commit", "symlink"])
def test_an_entry_that_is_no_file_is_left_out_and_named(own: Subject, hub: LoopbackHub, kind_of_entry: str) -> None:
    commit = own.catalog.revision(own.ref("org/tiny")).commit
    whole = own.catalog.tree(model("org/tiny"), commit)
    by_kind = {
        CatalogKind.HUGGINGFACE: (lambda page: [{"type": kind_of_entry, "path": "sub/m", "oid": "e" * 40}, *page]),
        CatalogKind.MODELSCOPE: (
            lambda page: page | {"Data": {"Files": [{"Type": kind_of_entry, "Path": "sub/m"}, *page["Data"]["Files"]]}}
        ),
    }
    hub.fault(Fault("lying_listing", edit=by_kind[own.kind]), face=own.face)
    tree = own.catalog.tree(model("org/tiny"), commit)
    assert tree == whole
    assert tree.left_out == (f"'sub/m' ({kind_of_entry!r})",)
    assert tree.select(("*.json",)).left_out == tree.left_out


def test_a_listing_of_nothing_that_we_know_is_no_listing(own: Subject, hub: LoopbackHub) -> None:
    commit = own.catalog.revision(own.ref("org/tiny")).commit
    by_kind = {
        CatalogKind.HUGGINGFACE: (lambda page: [entry | {"type": "x"} for entry in page]),
        CatalogKind.MODELSCOPE: (
            lambda page: page | {"Data": {"Files": [entry | {"Type": "x"} for entry in page["Data"]["Files"]]}}
        ),
    }
    hub.fault(Fault("lying_listing", edit=by_kind[own.kind]), face=own.face)
    with pytest.raises(ProtocolError, match="nothing that is a file"):
        own.catalog.tree(model("org/tiny"), commit)


def test_tree_of_an_older_commit_stays(subject: Subject) -> None:
    old, new = (subject.catalog.revision(subject.ref("org/tiny", name)).commit for name in ("v1.0", None))
    digests = [
        next(file.digest for file in subject.catalog.tree(model("org/tiny"), commit).files if file.path == "README.md")
        for commit in (old, new)
    ]
    assert digests[0] != digests[1]


def test_absent(subject: Subject) -> None:
    absent = "0" * 40
    for ask in (
        lambda: subject.catalog.revision(subject.ref("org/none")),
        lambda: subject.catalog.revision(subject.ref("org/private")),
        lambda: subject.catalog.revision(subject.ref("org/tiny", "no-such")),
        lambda: subject.catalog.revision(subject.ref("org/tiny", absent)),
        lambda: subject.catalog.tree(model("org/tiny"), absent),
        lambda: subject.catalog.tree(model("org/none"), absent),
    ):
        with pytest.raises(NotFoundError) as caught:
            ask()
        assert "the-site" in caught.value.message
        assert caught.value.source == "the-site"
        assert caught.value.hint or caught.value.message


def test_busy(own: Subject, hub: LoopbackHub) -> None:
    hub.fault(Fault("status", status=503), face=own.face)
    with pytest.raises(TemporaryError) as caught:
        own.catalog.revision(own.ref("org/tiny"))
    assert caught.value.source == "the-site"
    hub.clear_faults()
    hub.fault(Fault("status", status=503, times=1), face=own.face)
    assert own.catalog.revision(own.ref("org/tiny")).commit


def test_down(own: Subject, hub: LoopbackHub) -> None:
    hub.__exit__()
    with pytest.raises(SourcesDownError) as caught:
        own.catalog.revision(own.ref("org/tiny"))
    assert caught.value.source == "the-site"


ODD = [
    b"<html>",
    b"[7]",
    b"7",
    b"null",
    b"{}",
    b'{"Code": 200, "Data": 7}',
    b'{"Code": 200, "Data": {"Files": 7}}',
    b'{"sha": 7}',
]


@pytest.mark.parametrize("body", ODD)
def test_odd_answers(own: Subject, hub: LoopbackHub, body: bytes) -> None:
    hub.fault(Fault("html_portal", body=body), face=own.face)
    with pytest.raises(ProtocolError) as caught:
        own.catalog.tree(model("org/tiny"), "0" * 40)
    assert caught.value.source == "the-site"
    if b"Files" not in body:  # to ModelScope's history that is an empty one
        with pytest.raises(ProtocolError):
            own.catalog.revision(own.ref("org/tiny"))


@pytest.mark.parametrize("commit", ["../../x", "main", "A" * 40, "0" * 39, "0" * 41, "", None])
def test_a_commit_that_is_none(own: Subject, hub: LoopbackHub, commit: str | None) -> None:
    def edit(answer: dict[str, object]) -> dict[str, object]:
        if own.kind is CatalogKind.HUGGINGFACE:
            return answer | {"sha": commit}
        return answer | {"Data": {"Commit": [{"Id": commit}]}}

    hub.fault(Fault("lying_listing", edit=edit), face=own.face)
    with pytest.raises(ProtocolError):
        own.catalog.revision(own.ref("org/tiny"))


def test_another_commit_than_the_one_asked_for(own: Subject, hub: LoopbackHub) -> None:
    commit = own.catalog.revision(own.ref("org/tiny")).commit

    def edit(answer: dict[str, object]) -> dict[str, object]:
        if own.kind is CatalogKind.HUGGINGFACE:
            return answer | {"sha": "1" * 40}
        return answer | {"Data": {"Commit": [{"Id": "1" * 40}]}}

    hub.fault(Fault("lying_listing", edit=edit), face=own.face)
    with pytest.raises(ProtocolError, match="1111"):
        own.catalog.revision(own.ref("org/tiny", commit))


def test_an_endless_listing(own: Subject, hub: LoopbackHub) -> None:
    hub.add(Repo("model", "org/one", {"a.txt": b"a"}))
    commit = own.catalog.revision(own.ref("org/one")).commit
    hub.fault(Fault("html_portal", body=b"[" + b"{}," * 100_000 + b"{}]"), face=own.face)
    with pytest.raises(ProtocolError, match="more than"):
        own.catalog.tree(model("org/one"), commit)
