"""What is ModelScope's own: the cap of its listing, errors inside a 200, commits of its own."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.files import Algorithm
from orchestrator.core.refs import CatalogKind, Ref
from orchestrator.errors import GlmAriaError, NotAllowedError, NotFoundError, ProtocolError, UnsafeError
from tests.catalogs.conftest import huggingface, model, modelscope_catalog
from tests.support.faults import Fault
from tests.support.hub import LoopbackHub


def ref(name: str) -> Ref:
    return Ref(model(name), "master", CatalogKind.MODELSCOPE)


def test_a_listing_beyond_the_cap_is_read_folder_by_folder(hub: LoopbackHub) -> None:
    catalog = modelscope_catalog(hub, hub.modelscope(listing_cap=30), listing_cap=30)
    commit = catalog.revision(ref("org/wide")).commit
    hub.log.reset()
    tree = catalog.tree(model("org/wide"), commit)
    assert {file.path for file in tree.files} == {f"d{n % 7}/f{n:04d}.txt" for n in range(120)}
    assert len(hub.log.requests()) == 2 + 7  # whole, flat, and each of the seven folders


def test_one_request_below_the_cap(hub: LoopbackHub) -> None:
    catalog = modelscope_catalog(hub, hub.modelscope())
    commit = catalog.revision(ref("org/wide")).commit
    hub.log.reset()
    assert len(catalog.tree(model("org/wide"), commit).files) == 120
    (seen,) = hub.log.requests()
    assert "Recursive=True" in seen.query


def test_a_folder_beyond_the_cap_cannot_be_read(hub: LoopbackHub) -> None:
    catalog = modelscope_catalog(hub, hub.modelscope(listing_cap=10), listing_cap=10)
    commit = catalog.revision(ref("org/wide")).commit
    with pytest.raises(ProtocolError, match="holds more than it lists at once"):
        catalog.tree(model("org/wide"), commit)


def test_lfs_files_have_the_digest_that_the_hub_lists(hub: LoopbackHub) -> None:
    catalog = modelscope_catalog(hub, hub.modelscope())
    here = catalog.tree(model("org/tiny"), catalog.revision(ref("org/tiny")).commit)
    there = huggingface(hub).tree(model("org/tiny"), hub.repo("org/tiny").head)
    assert here.commit != there.commit
    assert {(file.digest, file.size) for file in here.files if file.is_lfs} == {
        (file.digest, file.size) for file in there.files if file.is_lfs
    }
    assert {file.digest.algorithm for file in here.files} == {Algorithm.SHA256}


def test_an_unknown_revision_may_be_a_listing_of_null(hub: LoopbackHub) -> None:
    catalog = modelscope_catalog(hub, hub.modelscope())
    hub.fault(Fault("lying_listing", edit=lambda a: a | {"Data": {"Files": None}}), face="modelscope")
    with pytest.raises(NotFoundError):
        catalog.tree(model("org/tiny"), "0" * 40)


def _file(**changes: object) -> Any:
    def edit(answer: Any) -> Any:
        files = [entry | changes if entry["Path"] == "config.json" else entry for entry in answer["Data"]["Files"]]
        return answer | {"Data": {"Files": files}}

    return edit


@pytest.mark.parametrize(
    ("edit", "error"),
    [
        (_file(Path="../x"), UnsafeError),
        (_file(Path="README.md"), UnsafeError),
        (_file(Path="readme.md"), UnsafeError),
        (_file(Path=None), ProtocolError),
        (_file(Sha256="../x"), UnsafeError),
        (_file(Sha256=""), UnsafeError),
        (_file(Sha256=None), ProtocolError),
        (_file(Size=-1), ProtocolError),
        (_file(Type="commit"), ProtocolError),
        (lambda a: a | {"Code": 500, "Message": "down for maintenance"}, ProtocolError),
        (lambda a: a | {"Data": None}, ProtocolError),
        (lambda a: a | {"Data": {"Files": {}}}, ProtocolError),
        (lambda a: a | {"Data": {"Files": [7]}}, ProtocolError),
    ],
)
def test_lying_listings(hub: LoopbackHub, edit: Any, error: type[GlmAriaError]) -> None:
    catalog = modelscope_catalog(hub, hub.modelscope())
    commit = catalog.revision(ref("org/tiny")).commit
    hub.fault(Fault("lying_listing", edit=edit), face="modelscope")
    with pytest.raises(error):
        catalog.tree(model("org/tiny"), commit)


def test_an_entry_outside_the_folder_that_was_asked_for(hub: LoopbackHub) -> None:
    catalog = modelscope_catalog(hub, hub.modelscope(listing_cap=30), listing_cap=30)
    commit = catalog.revision(ref("org/wide")).commit

    def edit(answer: Any) -> Any:
        files = [
            entry | {"Path": "d9/x.txt"} if entry["Path"].endswith("f0006.txt") else entry
            for entry in answer["Data"]["Files"]
        ]
        return answer | {"Data": {"Files": files}}

    hub.fault(Fault("lying_listing", edit=edit, skip=2), face="modelscope")
    with pytest.raises(ProtocolError, match="in the listing of 'd6'"):
        catalog.tree(model("org/wide"), commit)


@pytest.mark.parametrize("status", [401, 403])
def test_closed(hub: LoopbackHub, status: int) -> None:
    catalog = modelscope_catalog(hub, hub.modelscope())
    hub.fault(Fault("status", status=status), face="modelscope")
    with pytest.raises(NotAllowedError):
        catalog.revision(ref("org/tiny"))


def test_the_hubs_token_stays_at_the_hub(hub: LoopbackHub) -> None:
    catalog = modelscope_catalog(hub, hub.modelscope())
    catalog.tree(model("org/tiny"), catalog.revision(ref("org/tiny")).commit)
    assert hub.log.tokens(face="modelscope") == set()
