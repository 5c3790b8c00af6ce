"""The Hub's documents, made of a listing."""

from __future__ import annotations

import pytest

from orchestrator.core.refs import RepoId, RepoType
from orchestrator.serve.hub.documents import moved


@pytest.mark.parametrize(
    ("kind", "path", "old", "now"),
    [
        (RepoType.MODEL, "/old/name/resolve/main/old/name/x", "old/name", "/new/name/resolve/main/old/name/x"),
        (RepoType.MODEL, "/api/models/old/name", "old/name", "/api/models/new/name"),
        (RepoType.MODEL, "/api/models/m/tree/main", "m", "/api/models/new/name/tree/main"),
        (RepoType.DATASET, "/datasets/d/resolve/main/x", "d", "/datasets/new/name/resolve/main/x"),
        (RepoType.MODEL, "/%6fld%2Fname/resolve/main/x", "old/name", "/new/name/resolve/main/x"),
        # Behind two slashes stands the name of a server, to which a client would go.
        (RepoType.MODEL, "//old/name/resolve/main/x", "old/name", "/new/name/resolve/main/x"),
    ],
)
def test_where_a_renamed_repo_is(kind: RepoType, path: str, old: str, now: str) -> None:
    assert moved(path.encode(), b"", RepoId(kind, old), "new/name") == now
    assert moved(path.encode(), b"a=b", RepoId(kind, old), "new/name") == f"{now}?a=b"
