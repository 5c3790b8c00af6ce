"""The grammar of requests: what a path asks for, and that nothing worse than a refusal comes of any path."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.dialects import OWN
from orchestrator.core.refs import Ref, RepoId, RepoType
from orchestrator.serve.http.refusals import Refused
from orchestrator.serve.hub.grammar import (
    AboutRepo,
    Asked,
    FileBytes,
    Harnesses,
    ModelsPage,
    Passed,
    PathsInfo,
    TreePage,
    TreeSize,
    WhoAmI,
    parse,
)

COMMIT = "1" * 40


def ref(name: str = "org/m", revision: str = "main", kind: RepoType = RepoType.MODEL) -> Ref:
    return Ref(RepoId(kind, name), revision)


def own(revision: str) -> Ref:
    """A revision that only a model in a registry can have."""
    return Ref(RepoId(RepoType.MODEL, "org/m"), revision, OWN)


DATA = ref("org/d", kind=RepoType.DATASET)
CONVERTED = ref("org/d", "refs/convert/parquet", RepoType.DATASET)


@pytest.mark.parametrize(
    ("target", "asked"),
    [
        ("/api/models/org/m", AboutRepo(ref())),
        ("/api/models/gpt2", AboutRepo(ref("gpt2"))),
        ("/api/models/org/m/revision/v1.0?blobs=true", AboutRepo(ref(revision="v1.0"), blobs=True)),
        ("/api/models/gpt2/revision/main", AboutRepo(ref("gpt2"))),
        ("/api/datasets/org/d", AboutRepo(DATA)),
        ("/api/spaces/org/s", AboutRepo(ref("org/s", kind=RepoType.SPACE))),
        ("/api/models/org/m/tree/main", TreePage(ref(), "")),
        (f"/api/models/org/m/tree/{COMMIT}?recursive=true&expand=false", TreePage(ref(revision=COMMIT), "", True)),
        ("/api/models/gpt2/tree/main/onnx/", TreePage(ref("gpt2"), "onnx")),
        ("/api/models/org/m/tree/main/a/b%20c?cursor=1000", TreePage(ref(), "a/b c", False, 1000)),
        ("/api/datasets/org/d/tree/refs%2Fconvert%2Fparquet", TreePage(CONVERTED, "")),
        ("/api/models/org/m/tree/refs%2Fpr%2F7", TreePage(ref(revision="refs/pr/7"), "")),
        ("/api/models", ModelsPage()),
        ("/api/models?author=org&search=m&limit=5&full=True", ModelsPage("org", "m", 5)),
        ("/api/models/org/m/revision/%5E1.2", AboutRepo(own("^1.2"))),
        ("/api/models/org/m/revision/%3E%3D1.0%20%3C2%20%7C%7C%203.x", AboutRepo(own(">=1.0 <2 || 3.x"))),
        ("/org/m/resolve/~1.2/config.json", FileBytes(own("~1.2"), "config.json")),
        (f"/org/m/resolve/sha256%3A{COMMIT}{'2' * 24}/a", FileBytes(own(f"sha256:{COMMIT}{'2' * 24}"), "a")),
        ("/api/models/org/m/treesize/main", TreeSize(ref(), "")),
        ("/api/models/org/m/treesize/main/sub", TreeSize(ref(), "sub")),
        ("/api/models/org/m/refs?include_prs=1", Passed(ref(), ("refs",), (("include_prs", "1"),))),
        ("/api/models/org/m/commits/main?p=1&x=y", Passed(ref(), ("commits", "main"), (("p", "1"),))),
        ("/org/m/resolve/main/config.json", FileBytes(ref(), "config.json")),
        ("/gpt2/resolve/main/a/b.json", FileBytes(ref("gpt2"), "a/b.json")),
        ("/datasets/org/d/resolve/refs%2Fconvert%2Fparquet/x.parquet", FileBytes(CONVERTED, "x.parquet")),
        ("/datasets/org/d/resolve/refs/convert/parquet/x.parquet", FileBytes(CONVERTED, "x.parquet")),
        ("/spaces/org/s/resolve/main/app.py", FileBytes(ref("org/s", kind=RepoType.SPACE), "app.py")),
        ("/org/m/resolve/main/a%2Fb.json", FileBytes(ref(), "a/b.json")),
        ("/org/m/resolve/feature%2Fx/a", FileBytes(ref(revision="feature/x"), "a")),
        ("/org/resolve/resolve/main/a", FileBytes(ref("org/resolve"), "a")),
        ("/api/whoami-v2", WhoAmI()),
        ("/api/agent-harnesses", Harnesses()),
    ],
)
def test_what_is_asked_for(target: str, asked: Asked) -> None:
    path, _, query = target.partition("?")
    assert parse("GET", path.encode(), query.encode()) == asked


def test_paths_are_asked_about_by_post() -> None:
    assert parse("POST", b"/api/models/org/m/paths-info/main") == PathsInfo(ref())
    assert refusal("GET", "/api/models/org/m/paths-info/main").status == 405
    assert refusal("POST", "/api/models/org/m").status == 405


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("/", 404, ""),
        ("/api", 404, ""),
        ("/api/datasets", 404, ""),
        ("/org/m", 404, ""),
        ("/org/m/resolve/main", 404, ""),
        ("/org/m/resolve/main/", 404, ""),
        ("/org/m/blob/main/x", 404, ""),
        ("/a/b/c/resolve/main/x", 404, ""),
        ("/api/models/..%2F..%2Fetc/tree/main", 404, "RepoNotFound"),
        ("/org/m--x/resolve/main/x", 404, "RepoNotFound"),
        ("/org/m/resolve/a%5Bb/x", 404, "RevisionNotFound"),
        ("/api/models/org/m/revision/%00", 404, "RevisionNotFound"),
        ("/org/m/resolve/main/%ff", 400, ""),
        ("/api/models/org/m/tree/main?cursor=-1", 400, ""),
        ("/" + "a" * 9000, 414, ""),
    ],
)
def test_what_is_refused(target: str, status: int, code: str) -> None:
    refused = refusal("GET", target)
    assert (refused.status, refused.code) == (status, code)


@pytest.mark.parametrize("path", ["/org/m/info/refs", "/org/m.git/info/refs", "/datasets/org/d/git-upload-pack"])
def test_git_is_refused_with_what_to_do_instead(path: str) -> None:
    refused = refusal("GET", path + "?service=git-upload-pack")
    assert refused.status == 403
    assert "hf download" in refused.message


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])
def test_it_reads_only(method: str) -> None:
    assert refusal(method, "/org/m/resolve/main/x").status == 405


def refusal(method: str, target: str) -> Refused:
    path, _, query = target.partition("?")
    with pytest.raises(Refused) as refused:
        parse(method, path.encode(), query.encode())
    return refused.value


SEGMENTS = st.one_of(
    st.sampled_from(
        ["api", "models", "datasets", "spaces", "org", "m", "resolve", "tree", "revision", "refs", "pr", "1", "main",
         "paths-info", "treesize", "commits", "info", "..", ".", "", "%2e%2e", "%2F", "%00", "%", "%zz", "%c3%28",
         COMMIT]
    ),
    st.text(max_size=8).map(quote),
)  # fmt: skip


@given(
    st.sampled_from(["GET", "HEAD", "POST", "PUT", ""]),
    st.lists(SEGMENTS, max_size=9).map(lambda parts: ("/" + "/".join(parts)).encode()),
    st.one_of(
        st.binary(max_size=40), st.sampled_from([b"blobs=true", b"cursor=99999999999", b"recursive=1&expand=%ff"])
    ),
)
def test_any_address_is_understood_or_refused(method: str, path: bytes, query: bytes) -> None:
    found = understood(method, path, query)
    assert found.path if isinstance(found, FileBytes) else found


@given(st.binary(max_size=60), st.binary(max_size=20))
def test_any_bytes_are_understood_or_refused(path: bytes, query: bytes) -> None:
    understood("GET", path, query)


def understood(method: str, path: bytes, query: bytes) -> Asked | int:
    """What is asked for, or the status of a refusal, which blames the client."""
    try:
        return parse(method, path, query)
    except Refused as refused:
        if not 400 <= refused.status < 500:
            raise
        return refused.status
