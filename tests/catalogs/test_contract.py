"""What `Catalog` promises, held on every implementation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from orchestrator.catalogs.interface import Catalog
from orchestrator.core.dialects import HUGGINGFACE, MODELSCOPE, Dialect
from orchestrator.core.files import Algorithm
from orchestrator.core.refs import Ref
from orchestrator.errors import NotFoundError, ProtocolError, SourcesDownError, TemporaryError
from tests.catalogs.conftest import FILES, depot, huggingface, model, modelscope
from tests.catalogs.depot import DEPOT
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo


@dataclass(frozen=True)
class Wire:
    """A kind under test: its catalog at a hub, its face there, and its answers as far as tests change them.

    `entries` are those of a listing's page, `listing` makes a page of such; `kind_key` and `path_key` are fields of an
    entry. `revision` is the answer that names a commit.
    """

    catalog: Callable[[LoopbackHub], Catalog]
    face: str
    entries: Callable[[Any], list[dict[str, object]]]
    listing: Callable[[list[dict[str, object]]], object]
    kind_key: str
    path_key: str
    revision: Callable[[str | None], object]


WIRES = {
    HUGGINGFACE: Wire(
        huggingface, "hub", lambda page: page, lambda entries: entries, "type", "path", lambda commit: {"sha": commit}
    ),
    MODELSCOPE: Wire(
        modelscope,
        "modelscope",
        lambda page: page["Data"]["Files"],
        lambda entries: {"Code": 200, "Data": {"Files": entries}},
        "Type",
        "Path",
        lambda commit: {"Code": 200, "Data": {"Commit": [{"Id": commit}]}},
    ),
    DEPOT: Wire(
        depot,
        "depot",
        lambda page: page["files"],
        lambda entries: {"files": entries},
        "kind",
        "path",
        lambda commit: {"commit": commit},
    ),
}


@dataclass
class Subject:
    """A catalog under test, of a kind, and what is said of it above."""

    catalog: Catalog
    kind: Dialect
    wire: Wire

    def ref(self, name: str, revision: str | None = None) -> Ref:
        return Ref(model(name), revision or self.kind.main, self.kind)


@pytest.fixture(params=list(WIRES), ids=str)
def kind(request: pytest.FixtureRequest) -> Dialect:
    assert isinstance(request.param, Dialect)
    return request.param


@pytest.fixture
def subject(kind: Dialect, shared_hub: LoopbackHub) -> Subject:
    return Subject(WIRES[kind].catalog(shared_hub), kind, WIRES[kind])


@pytest.fixture
def own(kind: Dialect, hub: LoopbackHub) -> Subject:
    """Like `subject`, at a hub that the test may spoil."""
    return Subject(WIRES[kind].catalog(hub), kind, WIRES[kind])


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
    hub.fault(Fault("html_portal", body=b"[7]"), face=own.wire.face)
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
    wire = own.wire
    odd: dict[str, object] = {wire.kind_key: kind_of_entry, wire.path_key: "sub/m", "oid": "e" * 40}
    hub.fault(Fault("lying_listing", edit=lambda page: wire.listing([odd, *wire.entries(page)])), face=own.wire.face)
    tree = own.catalog.tree(model("org/tiny"), commit)
    assert tree == whole
    assert tree.left_out == (f"'sub/m' ({kind_of_entry!r})",)
    assert tree.select(("*.json",)).left_out == tree.left_out


def test_a_listing_of_nothing_that_we_know_is_no_listing(own: Subject, hub: LoopbackHub) -> None:
    commit = own.catalog.revision(own.ref("org/tiny")).commit
    wire = own.wire

    def edit(page: object) -> object:
        return wire.listing([entry | {wire.kind_key: "x"} for entry in wire.entries(page)])

    hub.fault(Fault("lying_listing", edit=edit), face=own.wire.face)
    with pytest.raises(ProtocolError, match="nothing that is a file"):
        own.catalog.tree(model("org/tiny"), commit)


def test_tree_of_an_older_commit_stays(subject: Subject) -> None:
    old, new = (subject.catalog.revision(subject.ref("org/tiny", name)).commit for name in ("v1.0", None))
    digests = [
        next(file.digest for file in subject.catalog.tree(model("org/tiny"), commit).files if file.path == "README.md")
        for commit in (old, new)
    ]
    assert digests[0] != digests[1]


def test_a_repo_or_revision_that_is_absent_is_not_found(subject: Subject) -> None:
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


def test_a_busy_site_is_asked_again_and_then_a_temporary_error(own: Subject, hub: LoopbackHub) -> None:
    hub.fault(Fault("status", status=503), face=own.wire.face)
    with pytest.raises(TemporaryError) as caught:
        own.catalog.revision(own.ref("org/tiny"))
    assert caught.value.source == "the-site"
    hub.clear_faults()
    hub.fault(Fault("status", status=503, times=1), face=own.wire.face)
    assert own.catalog.revision(own.ref("org/tiny")).commit


def test_a_site_that_is_down_is_named(own: Subject, hub: LoopbackHub) -> None:
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
def test_an_odd_answer_is_a_protocol_error(own: Subject, hub: LoopbackHub, body: bytes) -> None:
    hub.fault(Fault("html_portal", body=body), face=own.wire.face)
    with pytest.raises(ProtocolError) as caught:
        own.catalog.tree(model("org/tiny"), "0" * 40)
    assert caught.value.source == "the-site"
    if b"Files" not in body:  # to ModelScope's history that is an empty one
        with pytest.raises(ProtocolError):
            own.catalog.revision(own.ref("org/tiny"))


@pytest.mark.parametrize("commit", ["../../x", "main", "A" * 40, "0" * 39, "0" * 41, "", None])
def test_a_commit_that_is_none(own: Subject, hub: LoopbackHub, commit: str | None) -> None:
    hub.fault(Fault("lying_listing", edit=lambda _: own.wire.revision(commit)), face=own.wire.face)
    with pytest.raises(ProtocolError):
        own.catalog.revision(own.ref("org/tiny"))


def test_another_commit_than_the_one_asked_for(own: Subject, hub: LoopbackHub) -> None:
    commit = own.catalog.revision(own.ref("org/tiny")).commit
    hub.fault(Fault("lying_listing", edit=lambda _: own.wire.revision("1" * 40)), face=own.wire.face)
    with pytest.raises(ProtocolError, match="1111"):
        own.catalog.revision(own.ref("org/tiny", commit))


def test_an_endless_listing_is_cut_off(own: Subject, hub: LoopbackHub) -> None:
    hub.add(Repo("model", "org/one", {"a.txt": b"a"}))
    commit = own.catalog.revision(own.ref("org/one")).commit
    hub.fault(Fault("html_portal", body=b"[" + b"{}," * 100_000 + b"{}]"), face=own.wire.face)
    with pytest.raises(ProtocolError, match="more than"):
        own.catalog.tree(model("org/one"), commit)
