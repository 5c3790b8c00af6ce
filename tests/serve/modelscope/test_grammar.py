"""Addresses of ModelScope's, as its clients write them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.core.dialects import MODELSCOPE
from orchestrator.core.refs import Ref, RepoId, RepoType
from orchestrator.serve.http.refusals import Refused
from orchestrator.serve.modelscope.grammar import (
    BranchesAndTags,
    FileContent,
    FolderListing,
    Nearness,
    NewestCommit,
    RepoFacts,
    parse,
    takes,
)

COMMIT = "a" * 40


def ref(revision: str = "master", kind: RepoType = RepoType.MODEL) -> Ref:
    return Ref(RepoId(kind, "org/m"), revision, MODELSCOPE)


@pytest.mark.parametrize(
    ("path", "query", "asked"),
    [
        ("/api/v1/models/org/m", "", RepoFacts(ref())),
        ("/api/v1/datasets/org/m", "", RepoFacts(ref(kind=RepoType.DATASET))),
        ("/api/v1/models/org/m/revisions", "EndTime=1", BranchesAndTags(ref())),
        ("/api/v1/models/org/m/commits", "Ref=v1&PageNumber=1&PageSize=1", NewestCommit(ref("v1"))),
        ("/api/v1/models/org/m/repo/files", "Revision=v1&Recursive=True", FolderListing(ref("v1"), "", recursive=True)),
        ("/api/v1/models/org/m/repo/files", "Recursive=False&Root=/sub/x/", FolderListing(ref(), "sub/x")),
        (
            "/api/v1/datasets/org/m/repo/tree",
            "Revision=master&Root=/&Recursive=True&PageNumber=3&PageSize=200",
            FolderListing(ref(kind=RepoType.DATASET), "", recursive=True, start=400, size=200),
        ),
        (
            "/api/v1/models/org/m/repo",
            f"Revision={COMMIT}&FilePath=sub%2Fa+b.txt",
            FileContent(ref(COMMIT), "sub/a b.txt"),
        ),
        (
            "/api/v1/datasets/org/m/repo",
            "Source=SDK&Revision=v1&FilePath=x.csv&View=False",
            FileContent(ref("v1", RepoType.DATASET), "x.csv"),
        ),
        ("/models/org/m/resolve/master/sub/a%20b.txt", "", FileContent(ref(), "sub/a b.txt")),
        ("/models/org/m/resolve/feature%2Fx/a", "", FileContent(ref("feature/x"), "a")),
        ("/api/v1/repos/internalAccelerationInfo", "", Nearness()),
    ],
)
def test_what_is_asked(path: str, query: str, asked: object) -> None:
    assert takes(path.encode())
    assert parse("GET", path.encode(), query.encode()) == asked


@pytest.mark.parametrize(
    "path",
    [
        "/api/models/org/m",
        "/api/whoami-v2",
        "/org/m/resolve/main/a",
        "/datasets/org/m/resolve/main/a",
        # An organization of the Hub's may be called so.
        "/models/m/resolve/main/a",
        "/models/resolve/resolve/resolve/a",
        "/",
        "",
    ],
)
def test_what_is_left_to_the_hub(path: str) -> None:
    assert not takes(path.encode())


@given(st.binary(max_size=60), st.binary(max_size=40), st.sampled_from(["GET", "HEAD", "PUT"]))
@example(b"/api/v1/models/a/b/repo/tree", b"PageNumber=0&PageSize=0", "GET")
def test_anything_else_is_refused(path: bytes, query: bytes, method: str) -> None:
    for address in (path, b"/api/v1/" + path, b"/api/v1/models/org/m/" + path, b"/models/org/m/resolve/" + path):
        takes(address)
        with suppress(Refused):
            parse(method, address, query)


@pytest.mark.parametrize(
    ("method", "path", "query", "status", "code"),
    [
        ("POST", "/api/v1/login", "", 405, ""),
        ("GET", "/api/v1/models/org/m/archive/zip/master", "", 404, ""),
        ("GET", "/api/v1/models/org", "", 404, ""),
        ("GET", "/api/v1/studios/org/m", "", 404, ""),
        ("GET", "/openapi/v1/models", "", 404, ""),
        ("GET", "/api/v1/models/org/..", "", 404, "RepoNotFound"),
        ("GET", "/api/v1/models/org/m/repo/files", "Revision=../x", 404, "RevisionNotFound"),
        ("GET", "/api/v1/models/org/m/repo", "Revision=master", 404, ""),
        ("GET", "/api/v1/models/org/m/repo/tree", "PageSize=1e9", 400, ""),
        ("GET", "/models/org/m/resolve/master", "", 404, ""),
        ("GET", "/api/v1/models/org/m%ff", "", 400, ""),
    ],
)
def test_what_is_refused(method: str, path: str, query: str, status: int, code: str) -> None:
    with pytest.raises(Refused) as refused:
        parse(method, path.encode(), query.encode())
    assert (refused.value.status, refused.value.code) == (status, code)
