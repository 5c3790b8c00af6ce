"""What is the Hub's own: pages, LFS pointers, refusals with codes, renamed and gated repos."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.catalogs.huggingface import HuggingFaceCatalog
from orchestrator.core.refs import Ref, RepoId, RepoType
from orchestrator.errors import GlmAriaError, NotAllowedError, NotFoundError, ProtocolError, TemporaryError, UnsafeError
from tests.catalogs.conftest import TOKENS, huggingface, model, net, source
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo, RepoFile
from tests.hub.wire import Reply, Request, json_reply


def commit_of(catalog: HuggingFaceCatalog, name: str) -> str:
    return catalog.revision(Ref(model(name))).commit


def test_pages_are_followed(hub: LoopbackHub) -> None:
    catalog = huggingface(hub)
    tree = catalog.tree(model("org/wide"), commit_of(catalog, "org/wide"))
    assert len(tree.files) == 120
    assert len(hub.log.requests(path="*/tree/*")) == 3  # 127 entries with the folders


def test_a_mirror_whose_pages_name_the_root(hub: LoopbackHub) -> None:
    """The root's host in `Link` is not followed: pages, and a token, stay at the mirror."""
    site = hub.mirror("near", links_to_origin=True)
    catalog = HuggingFaceCatalog(source(site.url), net(hub, "hf_in"))
    assert len(catalog.tree(model("org/wide"), hub.repo("org/wide").head).files) == 120
    assert hub.log.requests(face="hub") == []
    assert hub.log.tokens(face="near") == set()


def test_a_mirror_below_a_path(hub: LoopbackHub) -> None:
    """`https://mirror/hf`: the prefix is kept where the page's address names the root without it."""
    site = hub.mirror("near", links_to_origin=True)
    plain = site.face.handler
    site.face.handler = lambda request: plain(
        Request(request.method, request.target.removeprefix("/hf"), request.headers, request.body)
    )
    catalog = HuggingFaceCatalog(source(site.url + "/hf"), net(hub))
    assert len(catalog.tree(model("org/wide"), hub.repo("org/wide").head).files) == 120
    assert all(seen.path.startswith("/hf/") for seen in hub.log.requests(face="near"))


def test_pages_in_a_circle(hub: LoopbackHub) -> None:
    def change(request: Request, reply: Reply) -> Reply:
        reply.headers["Link"] = f'<{hub.url}{request.target}>; rel="next"'
        return reply

    hub.rewrite(change)
    with pytest.raises(ProtocolError, match="loop"):
        huggingface(hub).tree(model("org/tiny"), hub.repo("org/tiny").head)


def test_pages_without_end(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.catalogs.paging.MOST_ANSWERS", 2)
    with pytest.raises(ProtocolError, match="does not end"):
        huggingface(hub).tree(model("org/wide"), hub.repo("org/wide").head)


def test_other_types_and_old_names(hub: LoopbackHub) -> None:
    catalog = huggingface(hub)
    data = RepoId(RepoType.DATASET, "org/data")
    commit = catalog.revision(Ref(data)).commit
    assert [file.path for file in catalog.tree(data, commit).files] == ["train.parquet"]
    assert catalog.tree(model("gpt"), commit_of(catalog, "gpt")).files


def test_a_renamed_repo_is_followed_to_its_new_name(hub: LoopbackHub) -> None:
    catalog = huggingface(hub)
    revision = catalog.revision(Ref(model("old/tiny")))
    assert (revision.commit, revision.name_now) == (hub.repo("org/tiny").head, "org/tiny")
    assert catalog.tree(model("old/tiny"), revision.commit).files


@pytest.mark.parametrize("name", ["../../x", 7, "a/b/c", ""])
def test_a_new_name_that_is_none(hub: LoopbackHub, name: object) -> None:
    hub.fault(Fault("lying_listing", edit=lambda answer: answer | {"id": name}))
    with pytest.raises(ProtocolError):
        huggingface(hub).revision(Ref(model("org/tiny")))


@pytest.mark.parametrize("name", ["org/gated", "org/private"])
def test_a_restricted_repo_is_listed_with_the_token(hub: LoopbackHub, name: str) -> None:
    catalog = huggingface(hub, "hf_in")
    revision = catalog.revision(Ref(model(name)))
    assert revision.is_restricted
    assert catalog.tree(model(name), revision.commit).files
    assert hub.log.tokens() == {"hf_in"}


# -- refusals


@pytest.mark.parametrize(
    ("token", "name", "error", "words", "hint"),
    [
        (None, "org/private", NotFoundError, "not found", "may be private.*/settings/tokens.*HF_TOKEN"),
        ("hf_out", "org/private", NotFoundError, "not found", "account of your token"),
        (None, "org/none", NotFoundError, "not found", "spelling"),
        ("hf_bad", "org/tiny", NotAllowedError, "does not accept the token", "hf auth login"),
    ],
)
def test_a_refusal_is_an_error_with_a_hint_and_no_token(
    hub: LoopbackHub, token: str | None, name: str, error: type[GlmAriaError], words: str, hint: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        huggingface(hub, token).revision(Ref(model(name)))
    assert re.search(hint, caught.value.hint or "")
    assert token is None or token not in f"{caught.value.message}{caught.value.hint}"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (RepoType.MODEL, "(glm-aria search none), or name a dataset as datasets/org/none;"),
        (RepoType.DATASET, "(glm-aria search none --type dataset);"),
        (RepoType.SPACE, "(glm-aria search none --type space);"),
    ],
)
def test_what_is_not_found_is_searched_by_its_type(hub: LoopbackHub, kind: RepoType, words: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        huggingface(hub).revision(Ref(RepoId(kind, "org/none")))
    assert words in (caught.value.hint or "")


def test_a_401_without_a_code_is_not_found() -> None:
    with (
        LoopbackHub([], tokens=TOKENS, explicit_codes=False) as hub,
        pytest.raises(NotFoundError, match="org/none was not found"),
    ):
        huggingface(hub).revision(Ref(model("org/none")))


@pytest.mark.parametrize(
    ("status", "headers", "token", "error", "hint"),
    [
        (403, {"X-Error-Code": "GatedRepo"}, "hf_out", NotAllowedError, "^accept the licence at http.*/org/tiny with"),
        (401, {"X-Error-Code": "GatedRepo"}, None, NotAllowedError, "hf auth login.*accept the licence"),
        (403, {"X-Error-Message": "Access to this resource is disabled."}, None, NotAllowedError, ""),
        (403, {}, "hf_out", NotAllowedError, "lacks the right"),
        (403, {}, None, NotAllowedError, "hf auth login"),
        (404, {"X-Error-Code": "EntryNotFound"}, None, NotFoundError, ""),
        (400, {}, None, ProtocolError, ""),
        (418, {}, None, ProtocolError, ""),
    ],
)
def test_refusals_by_code(
    hub: LoopbackHub, status: int, headers: dict[str, str], token: str | None, error: type[GlmAriaError], hint: str
) -> None:
    def change(request: Request, reply: Reply) -> Reply:
        reply.status, reply.headers = status, headers
        return reply

    hub.rewrite(change)
    with pytest.raises(error) as caught:
        huggingface(hub, token).revision(Ref(model("org/tiny")))
    assert re.search(hint, caught.value.hint or "")


def test_an_unknown_revision_names_its_neighbours(hub: LoopbackHub) -> None:
    with pytest.raises(NotFoundError, match="no revision 'v1'") as caught:
        huggingface(hub).revision(Ref(model("org/tiny"), "v1"))
    assert caught.value.hint == "it has v1.0, dev"
    assert len(hub.log.requests()) == 2


def test_an_unknown_revision_when_the_refs_cannot_be_had(hub: LoopbackHub) -> None:
    hub.fault(Fault("status", "*/refs", status=503))
    with pytest.raises(NotFoundError) as caught:
        huggingface(hub).revision(Ref(model("org/tiny"), "v1"))
    assert caught.value.hint is None
    assert len(hub.log.requests()) == 2


# -- listings that lie


def _entry(**changes: object) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    return lambda page: [entry | changes if entry["path"] == "config.json" else entry for entry in page]


def _lfs(**changes: object) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    return lambda page: [entry | {"lfs": entry["lfs"] | changes} if "lfs" in entry else entry for entry in page]


@pytest.mark.parametrize(
    ("edit", "error"),
    [
        (_entry(path="../x"), UnsafeError),
        (_entry(path="/etc/passwd"), UnsafeError),
        (_entry(path="C:\\x"), UnsafeError),
        (_entry(path="a\x1b[31m"), UnsafeError),
        (_entry(path=".git/config"), UnsafeError),
        (_entry(path="README.md"), UnsafeError),
        (_entry(path="weights"), UnsafeError),
        (_entry(oid="../../x"), UnsafeError),
        (_entry(oid="0" * 39), UnsafeError),
        (_lfs(oid="0" * 63), UnsafeError),
        (_entry(path=7), ProtocolError),
        (_entry(oid=None), ProtocolError),
        (_entry(size=-1), ProtocolError),
        (_entry(size=2**63), ProtocolError),
        (_entry(size="3"), ProtocolError),
        (_entry(size=True), ProtocolError),
        (_entry(size=3.0), ProtocolError),
        (_entry(type=None), ProtocolError),
        (_entry(lfs=[]), ProtocolError),
        (_lfs(size=1), ProtocolError),
        (lambda page: {"files": page}, ProtocolError),
        (lambda page: [*page, 7], ProtocolError),
    ],
)
def test_a_lying_listing_is_refused(hub: LoopbackHub, edit: Callable[[Any], Any], error: type[GlmAriaError]) -> None:
    hub.fault(Fault("lying_listing", edit=edit))
    with pytest.raises(error) as caught:
        huggingface(hub).tree(model("org/tiny"), hub.repo("org/tiny").head)
    assert "nothing was written" in caught.value.message or error is UnsafeError


def test_a_pointer_that_git_lfs_did_not_write_is_no_reason_to_do_without_the_file(hub: LoopbackHub) -> None:
    hub.add(Repo("model", "org/one", {"w.bin": RepoFile.of("w.bin", b"w", newline=b"\r\n"), "x.bin": b"x"}))
    odd, usual = huggingface(hub).tree(model("org/one"), hub.repo("org/one").head).files
    assert (odd.digest.hex, odd.has_usual_pointer) == (hashlib.sha256(b"w").hexdigest(), False)
    assert odd.git_oid == hub.repo("org/one").commits[hub.repo("org/one").head].files["w.bin"].oid
    assert usual.has_usual_pointer


@pytest.mark.parametrize(
    "edit",
    [
        _entry(xetHash=None, lastCommit=None, securityFileStatus={"status": "safe"}, news=[1]),
        _lfs(size=None, pointerSize=None, more="x"),
        lambda page: [*page, {"type": "directory", "path": None, "oid": None, "size": None}],
    ],
)
def test_fields_that_are_new_or_null_do_not_matter(hub: LoopbackHub, edit: Callable[[Any], Any]) -> None:
    head = hub.repo("org/tiny").head
    plain = huggingface(hub).tree(model("org/tiny"), head)
    hub.fault(Fault("lying_listing", "/api/*/tree/*", edit=edit))
    assert huggingface(hub).tree(model("org/tiny"), head) == plain


def test_optional_fields_of_a_revision_may_be_null(hub: LoopbackHub) -> None:
    null = dict.fromkeys(("id", "gated", "private", "lastModified", "siblings"))
    hub.fault(Fault("lying_listing", edit=lambda answer: answer | null | {"new": {}}))
    found = huggingface(hub).revision(Ref(model("org/tiny")))
    assert (found.name_now, found.is_restricted, found.modified) == ("org/tiny", False, None)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("2023-11-14T22:13:20.000Z", 1_700_000_000.0),
        ("2023-11-14T22:13:20", 1_700_000_000.0),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000.0),
        ("yesterday", None),
        (7, None),
        (None, None),
    ],
)
def test_the_date_of_a_revision(hub: LoopbackHub, told: object, expected: float | None) -> None:
    hub.fault(Fault("lying_listing", edit=lambda answer: answer | {"lastModified": told}))
    assert huggingface(hub).revision(Ref(model("org/tiny"))).modified == expected


def test_pages_without_a_file_end(hub: LoopbackHub) -> None:
    """Each within its own bounds, and never the same address twice."""
    count = itertools.count()

    def change(request: Request, reply: Reply) -> Reply:
        if "/tree/" not in request.target:
            return reply
        page = json_reply([])
        page.headers["Link"] = f'<{hub.url}{request.path}?cursor={next(count)}>; rel="next"'
        return page

    hub.rewrite(change)
    with pytest.raises(ProtocolError, match="without a file"):
        huggingface(hub).tree(model("org/tiny"), hub.repo("org/tiny").head)
    assert next(count) < 20


def test_a_listing_that_takes_too_long(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.catalogs.paging.MOST_SECONDS", -1.0)
    with pytest.raises(TemporaryError, match="too slow"):
        huggingface(hub).tree(model("org/wide"), hub.repo("org/wide").head)
