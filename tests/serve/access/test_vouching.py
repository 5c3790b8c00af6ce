"""The root's word about a user's token: how it is asked for, how long it counts, and what is kept of the token."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.files import Algorithm, Digest, RepoFile, RepoTree
from orchestrator.core.plan import ResolvedModel
from orchestrator.core.refs import Ref, RepoId, RepoType, parse_ref
from orchestrator.core.sources import Source
from orchestrator.core.trust import Level, Trust
from orchestrator.errors import NotAllowedError, NotFoundError, SourcesDownError
from orchestrator.net.answers import Answer
from orchestrator.net.session import Net
from orchestrator.serve.access.keyring import shown
from orchestrator.serve.stock.vouching import KEPT, Vouching

ROOT = Source("root", "https://hub.example.org", is_root=True)
COMMIT = "a" * 40
TOKEN = "hf_of_a_user_0123456789"


def file(path: str, size: int, *, is_lfs: bool = False) -> RepoFile:
    kind = Algorithm.SHA256 if is_lfs else Algorithm.GIT_SHA1
    return RepoFile(path, size, Digest(kind, ("%064x" if is_lfs else "%040x") % size), is_lfs=is_lfs)


TREE = RepoTree.checked(COMMIT, [file("README.md", 9000), file("a.safetensors", 7, is_lfs=True)])
MODEL = ResolvedModel(Ref(RepoId(RepoType.MODEL, "org/closed")), TREE, TREE, Trust(Level.ROOT, "root"), True)


class FakeNet:
    """A way to the root that answers with a status, and keeps what was asked."""

    def __init__(self, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.status, self.headers = status, headers or {}
        self.asked: list[tuple[str | None, str]] = []
        self._token: str | None = None

    def as_somebody(self, token: str | None) -> FakeNet:
        self._token = token
        return self

    def head(self, url: str) -> Answer:
        self.asked.append((self._token, url))
        if self.status == 0:
            raise SourcesDownError("down")
        return Answer(url, self.status, self.headers)


def vouching(net: FakeNet, now: list[float] | None = None) -> Vouching:
    return Vouching(ROOT, cast(Net, net), clock=lambda: (now or [0.0])[0])


@pytest.mark.parametrize("status", [200, 302, 307])
def test_a_yes_counts_for_five_minutes_for_this_token_repo_and_commit(status: int) -> None:
    net, now = FakeNet(status), [1000.0]
    made = vouching(net, now)
    assert not made.knows(MODEL, TOKEN)
    made.ask(MODEL, TOKEN)
    assert net.asked == [(TOKEN, f"https://hub.example.org/org/closed/resolve/{COMMIT}/a.safetensors")]
    assert made.knows(MODEL, TOKEN)
    assert not made.knows(MODEL, TOKEN + "x")
    assert not made.knows(MODEL, None)
    assert not made.knows(replace(MODEL, tree=replace(TREE, commit="b" * 40)), TOKEN)
    assert not made.knows(replace(MODEL, ref=Ref(RepoId(RepoType.DATASET, "org/closed"))), TOKEN)
    now[0] += KEPT
    assert not made.knows(MODEL, TOKEN)


@pytest.mark.parametrize(
    ("status", "headers", "error"),
    [
        (403, {"X-Error-Code": "GatedRepo"}, NotAllowedError),
        (401, {"X-Error-Code": "GatedRepo"}, NotAllowedError),
        (401, {"X-Error-Message": "Invalid credentials in Authorization header"}, NotAllowedError),
        (404, {"X-Error-Code": "RepoNotFound"}, NotFoundError),
        (401, {}, NotFoundError),
        (0, {}, SourcesDownError),
    ],
)
def test_a_no_is_passed_on_and_not_remembered(status: int, headers: dict[str, str], error: type[Exception]) -> None:
    net = FakeNet(status, headers)
    made = vouching(net)
    for _ in range(2):
        with pytest.raises(error):
            made.ask(MODEL, TOKEN)
        assert not made.knows(MODEL, TOKEN)
    assert len(net.asked) == 2


def test_nobody_is_asked_about_an_empty_repo_or_one_of_another_catalog() -> None:
    net = FakeNet()
    empty = RepoTree.checked(COMMIT, [])
    for model in (replace(MODEL, tree=empty, wanted=empty), replace(MODEL, ref=parse_ref("ms://org/closed"))):
        with pytest.raises(NotAllowedError):
            vouching(net).ask(model, TOKEN)
    assert net.asked == []


def test_nothing_of_the_token_stays() -> None:
    net = FakeNet()
    made = vouching(net)
    token = "hf_" + "".join(["q", "w"] * 12)
    made.ask(MODEL, token)
    net.asked.clear()
    net.as_somebody(None)
    gc.collect()
    assert token not in repr(made.__dict__) + repr(made.key(MODEL, token))


@given(st.text(st.characters(max_codepoint=255), max_size=200), st.sampled_from(["", "Bearer ", "Basic ", "bearer\t"]))
def test_any_header_is_read_without_an_error(text: str, scheme: str) -> None:
    found = shown({"authorization": scheme + text})
    assert not found.own or found.own.startswith("gla_")
