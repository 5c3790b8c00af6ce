"""What is ModelScope's own: the cap of its listing, errors inside a 200, commits of its own."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.catalogs.modelscope import ModelScopeCatalog
from orchestrator.core.dialects import MODELSCOPE
from orchestrator.core.files import Algorithm
from orchestrator.core.refs import Ref, RepoId, RepoType
from orchestrator.errors import GlmAriaError, NotAllowedError, NotFoundError, ProtocolError, UnsafeError
from orchestrator.net.answers import Limits
from orchestrator.net.session import Net
from tests.catalogs.conftest import huggingface, model, modelscope_catalog, source
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo


def ref(name: str) -> Ref:
    return Ref(model(name), "master", MODELSCOPE)


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


def test_a_dataset_is_read_page_by_page(hub: LoopbackHub) -> None:
    repo = hub.add(Repo("dataset", "org/rows", {f"d{n % 3}/f{n:04d}.csv": b"%d" % n for n in range(450)}))
    catalog = modelscope_catalog(hub, hub.modelscope(listing_cap=30), listing_cap=30)
    there = RepoId(RepoType.DATASET, "org/rows")
    commit = catalog.revision(Ref(there, "master", MODELSCOPE)).commit
    hub.log.reset()
    assert {file.path for file in catalog.tree(there, commit).files} == set(repo.commits[repo.head].files)
    assert len(hub.log.requests(path="/api/v1/datasets/org/rows/repo/tree")) == 3


def test_a_folder_beyond_the_cap_cannot_be_read(hub: LoopbackHub) -> None:
    catalog = modelscope_catalog(hub, hub.modelscope(listing_cap=10), listing_cap=10)
    commit = catalog.revision(ref("org/wide")).commit
    with pytest.raises(ProtocolError, match="holds as many or more"):
        catalog.tree(model("org/wide"), commit)


def test_the_real_cap_with_nested_and_flat_folders(hub: LoopbackHub) -> None:
    """3000 entries at once is what the site tells; here 2,900 files lie flat and 1,200 in folders of folders."""
    paths = [f"flat{n:05d}.txt" for n in range(2900)] + [f"a/b{n % 4}/c{n % 3}/{n:05d}.txt" for n in range(1200)]
    hub.add(Repo("model", "org/huge", dict.fromkeys(paths, b"x")))
    limits = Limits(attempts=1)
    with Net(limits=limits) as wide_open:
        catalog = ModelScopeCatalog(source(hub.modelscope().url, MODELSCOPE), wide_open)
        commit = catalog.revision(ref("org/huge")).commit
        hub.log.reset()
        tree = catalog.tree(model("org/huge"), commit)
    assert [file.path for file in tree.files] == sorted(paths)
    assert len(hub.log.requests()) == 3  # whole, flat, and the only folder


def test_a_flat_folder_of_the_real_cap_is_refused_clearly(hub: LoopbackHub) -> None:
    hub.add(Repo("model", "org/flat", {f"d/{n:05d}.txt": b"x" for n in range(3001)}))
    with Net(limits=Limits(attempts=1)) as wide_open:
        catalog = ModelScopeCatalog(source(hub.modelscope().url, MODELSCOPE), wide_open)
        commit = catalog.revision(ref("org/flat")).commit
        with pytest.raises(ProtocolError, match=r"at most 3000 entries .* 'd' of org/flat") as caught:
            catalog.tree(model("org/flat"), commit)
    assert caught.value.hint is not None
    assert "Hub" in caught.value.hint


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
        (_file(Path="sub/.GIT/config"), UnsafeError),
        (_file(Path=None), ProtocolError),
        (_file(Sha256="../x"), UnsafeError),
        (_file(Sha256=""), UnsafeError),
        (_file(Sha256=None), ProtocolError),
        (_file(Size=-1), ProtocolError),
        (_file(Type=None), ProtocolError),
        (lambda a: a | {"Code": 500, "Message": "down for maintenance"}, ProtocolError),
        (lambda a: a | {"Data": None}, ProtocolError),
        (lambda a: a | {"Data": {"Files": {}}}, ProtocolError),
        (lambda a: a | {"Data": {"Files": [7]}}, ProtocolError),
    ],
)
def test_a_lying_listing_is_refused(hub: LoopbackHub, edit: Any, error: type[GlmAriaError]) -> None:
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
def test_a_closed_repo_is_not_allowed(hub: LoopbackHub, status: int) -> None:
    catalog = modelscope_catalog(hub, hub.modelscope())
    hub.fault(Fault("status", status=status), face="modelscope")
    with pytest.raises(NotAllowedError):
        catalog.revision(ref("org/tiny"))


def test_the_hubs_token_stays_at_the_hub(hub: LoopbackHub) -> None:
    catalog = modelscope_catalog(hub, hub.modelscope())
    catalog.tree(model("org/tiny"), catalog.revision(ref("org/tiny")).commit)
    assert hub.log.tokens(face="modelscope") == set()
