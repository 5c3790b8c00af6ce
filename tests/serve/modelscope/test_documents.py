"""ModelScope's documents, made of plain listings."""

from __future__ import annotations

import json

import pytest

from orchestrator.core.files import Algorithm, Digest, RepoFile, RepoTree
from orchestrator.core.plan import ResolvedModel
from orchestrator.core.trust import Level, Trust
from orchestrator.serve.http.refusals import Refused
from orchestrator.serve.modelscope import documents
from orchestrator.serve.modelscope.grammar import FolderListing
from tests import plain

COUNT = 4000


@pytest.fixture
def model() -> ResolvedModel:
    """A model of more files than ModelScope lists at once, and a name that JSON and UTF-8 have to escape."""
    digest = Digest(Algorithm.SHA256, "a" * 64)
    paths = [*(f"d{n % 3}/f{n:04d}" for n in range(COUNT)), 'ü "[]".txt']
    tree = RepoTree.checked(plain.ONE, [RepoFile(path, 1, digest, is_lfs=False) for path in paths])
    return ResolvedModel(plain.ref("master", plain.MS), tree, tree, Trust(Level.SINGLE, plain.SCOPE.url))


def listed(model: ResolvedModel, **asked: object) -> list[str]:
    body = documents.listing(FolderListing(model.ref, **{"folder": "", **asked}), model)  # type: ignore[arg-type]
    return [entry["Path"] for entry in json.loads(body)["Data"]["Files"]]


def test_a_listing_is_whole(model: ResolvedModel) -> None:
    assert listed(model, recursive=True) == sorted([*(file.path for file in model.tree.files), "d0", "d1", "d2"])
    assert listed(model) == ["d0", "d1", "d2", 'ü "[]".txt']
    assert listed(model, folder="d1") == [file.path for file in model.tree.files if file.path.startswith("d1/")]


def test_pages_are_the_listing(model: ResolvedModel) -> None:
    pages = [listed(model, recursive=True, start=start, size=900) for start in range(0, COUNT + 900, 900)]
    assert [path for page in pages for path in page] == listed(model, recursive=True)


@pytest.mark.parametrize("told", [None, [], {"Data": None}, {"Code": 10010205001}, {"Data": {"RevisionMap": []}}])
def test_what_is_no_list_of_revisions_is_refused(told: object) -> None:
    with pytest.raises(Refused):
        documents.revisions(told)


def test_of_revisions_the_parts_that_clients_read_are_passed_on() -> None:
    told = {"Data": {"RevisionMap": {"Branches": [{"Revision": "x", "CreatedAt": 5, "Evil": "<x>"}], "Tags": None}}}
    assert documents.revisions(told) == {"RevisionMap": {"Branches": [{"Revision": "x", "CreatedAt": 5}], "Tags": []}}
