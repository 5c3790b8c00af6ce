"""The rules of trust: what policies accept, when catalogs agree, and which commits went back."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from orchestrator.core.dialects import HUGGINGFACE, MODELSCOPE, Dialect
from orchestrator.core.files import Algorithm, Digest, RepoFile, RepoTree, lfs_pointer_oid
from orchestrator.core.sources import Source
from orchestrator.core.trust import (
    Level,
    Policy,
    Seen,
    Trust,
    Voice,
    agreement,
    are_independent,
    remembered,
    rollback,
)

HF, MS = HUGGINGFACE, MODELSCOPE
ROOT = Source("root", "https://root.example", is_root=True)
A, B, C = (Source(name, f"https://{name}.example") for name in "abc")
SCOPE = Source("scope", "https://scope.example", MS)
COMMIT, OTHER = "a" * 40, "b" * 40
ONLY_W = partial(RepoTree.select, include=("w",))


def lfs(path: str, digit: str = "1", size: int = 1000) -> RepoFile:
    return RepoFile(path, size, Digest(Algorithm.SHA256, digit * 64), True, lfs_pointer_oid(digit * 64, size))


def plain(path: str, digit: str = "2", size: int = 10) -> RepoFile:
    return RepoFile(path, size, Digest(Algorithm.GIT_SHA1, digit * 40), False, digit * 40)


def by_sha256(path: str, digit: str = "3", size: int = 10) -> RepoFile:
    return RepoFile(path, size, Digest(Algorithm.SHA256, digit * 64), False)


def voice(source: Source, *files: RepoFile, commit: str = COMMIT) -> Voice:
    return Voice(source, RepoTree.checked(commit, files))


# -- policies and levels


def test_policies_are_in_order() -> None:
    assert [one for one in Policy for other in Policy if one.is_weaker_than(other)] == [
        *[Policy.ANY] * 3, *[Policy.AGREE] * 2, Policy.ROOT
    ]  # fmt: skip


def test_levels_outrank_each_other() -> None:
    made = [Trust(level, "x") for level in Level]
    for index, one in enumerate(made):
        assert [one.outranks(other) for other in made] == [index > place for place in range(len(made))]


@pytest.mark.parametrize(
    ("policy", "kind", "levels"),
    [
        (Policy.ANY, HF, "single agree root lock commit"),
        (Policy.AGREE, HF, "agree root lock commit"),
        (Policy.AGREE, MS, "single agree root lock commit"),
        (Policy.ROOT, HF, "root lock"),
        (Policy.ROOT, MS, "root lock"),
        (Policy.COMMIT, HF, "commit"),
    ],
)
def test_what_a_policy_accepts_of_records(policy: Policy, kind: Dialect, levels: str) -> None:
    assert [level for level in Level if Trust(level, "x").satisfies(policy, kind)] == levels.split()


# -- agreement


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("https://a.example", "https://b.example", True),
        ("https://a.example", "https://A.example/path", False),
        ("https://a.example", "https://a.example:8443", False),
        ("http://127.0.0.1:1", "http://127.0.0.1:2", True),
        ("http://127.0.0.1:1", "http://localhost:2", True),
        ("http://127.0.0.1:1", "http://127.0.0.1:1/x", False),
        ("http://10.0.0.1:1", "http://10.0.0.1:2", False),
    ],
)
def test_sources_of_one_operator_are_not_independent(one: str, other: str, expected: bool) -> None:
    assert are_independent(Source("x", one), Source("y", other)) is expected


def test_two_that_agree_are_believed() -> None:
    files = (lfs("w"), plain("c"))
    found = agreement([voice(A, *files), voice(B, *files)], ROOT)
    assert found.voice is not None
    assert found.other is not None
    assert (found.voice.source, found.other.source, found.reasons) == (A, B, ())


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ((lfs("w", "9"), plain("c")), "a and b name different contents of 'w'"),
        ((lfs("w", size=7), plain("c")), "a and b name different contents of 'w'"),
        ((lfs("w"), plain("c", "9")), "a and b name different contents of 'c'"),
        ((lfs("w"),), "only one of a and b lists 'c'"),
        ((lfs("w"), plain("c"), plain("x")), "only one of a and b lists 'x'"),
        ((plain("w"), plain("c")), "a and b tell digests of 'w' that cannot be compared"),
    ],
)
def test_two_that_differ_are_not_believed(other: tuple[RepoFile, ...], reason: str) -> None:
    found = agreement([voice(A, lfs("w"), plain("c")), voice(B, *other)], ROOT)
    assert (found.voice, found.other, found.reasons) == (None, None, (reason,))


def test_only_wanted_files_count() -> None:
    voices = [voice(A, lfs("w"), plain("c")), voice(B, lfs("w"), plain("c", "9"), plain("x"))]
    assert agreement(voices, ROOT).voice is None
    assert agreement(voices, ROOT, ONLY_W).voice == voices[0]
    assert agreement(voices, ROOT, partial(RepoTree.select, exclude=("c", "x"))).voice == voices[0]


def test_different_commits_do_not_agree() -> None:
    found = agreement([voice(A, lfs("w")), voice(B, lfs("w"), commit=OTHER)], ROOT)
    assert found.reasons == ("a and b name different commits",)


def test_a_third_decides_between_two_that_differ() -> None:
    voices = [voice(A, lfs("w", "9")), voice(B, lfs("w")), voice(C, lfs("w"))]
    found = agreement(voices, ROOT)
    assert (found.voice, found.other) == (voices[1], voices[2])


def test_modelscope_confirms_by_digest_alone() -> None:
    mine = voice(A, lfs("w"), plain("c"))
    scope = voice(SCOPE, lfs("w"), by_sha256("c"), by_sha256("configuration.json"), commit=OTHER)
    assert agreement([mine, scope], ROOT).reasons == ("a and scope tell digests of 'c' that cannot be compared",)
    assert agreement([mine, scope], ROOT, ONLY_W).other == scope
    assert agreement([scope, mine], ROOT, ONLY_W).voice == mine, "the commit is the mirror's"
    lying = voice(SCOPE, lfs("w", "9"), commit=OTHER)
    assert agreement([mine, lying], ROOT, ONLY_W).reasons == ("a and scope name different contents of 'w'",)


def test_two_modelscopes_name_no_commit() -> None:
    other = replace(SCOPE, url="https://scope2.example")
    assert agreement([voice(SCOPE, lfs("w")), voice(other, lfs("w"))], ROOT).voice is None


def test_one_alone_and_none() -> None:
    assert agreement([], ROOT).reasons == ("no mirror answered",)
    twin = replace(A, name="twin", url=f"{A.url}/other")
    for voices in ([voice(A, lfs("w"))], [voice(A, lfs("w")), voice(twin, lfs("w"))]):
        found = agreement(voices, ROOT)
        assert found.voice is None
        assert "nobody independent" in found.reasons[0]


def test_the_roots_host_is_no_second_voice() -> None:
    twin = Source("twin", f"{ROOT.url}/mirror")
    assert agreement([voice(A, lfs("w")), voice(twin, lfs("w"))], ROOT).voice is None


# -- commits that went back


def seen(*names: str, dated: bool = True) -> tuple[Seen, ...]:
    return tuple(Seen(name * 40, float(number) if dated else None) for number, name in enumerate(names))


@pytest.mark.parametrize("by_root", [True, False])
def test_forward_and_standing_still(by_root: bool) -> None:
    for history, now in (((), Seen(COMMIT, 0)), (seen("1"), Seen("1" * 40, 9)), (seen("1"), Seen(COMMIT, 5))):
        assert rollback(history, now, by_root=by_root) is None


@pytest.mark.parametrize("by_root", [True, False])
def test_a_commit_seen_before_is_older(by_root: bool) -> None:
    assert rollback(seen("1", "2"), Seen("1" * 40, 99), by_root=by_root)
    assert rollback(seen("1", "2", "3", dated=False), Seen("2" * 40), by_root=by_root)


def test_dates_count_below_the_root_only() -> None:
    history = (Seen("1" * 40, 100.0),)
    assert rollback(history, Seen(COMMIT, 99.0), by_root=False)
    assert rollback(history, Seen(COMMIT, 99.0), by_root=True) is None
    assert rollback(history, Seen(COMMIT, 100.0), by_root=False) is None
    assert rollback(history, Seen(COMMIT), by_root=False) is None
    assert rollback(seen("1", dated=False), Seen(COMMIT, 0), by_root=False) is None


def test_an_accepted_way_back_may_be_gone_again() -> None:
    history = remembered(seen("1", "2", "3"), Seen("1" * 40))
    assert [one.commit[0] for one in history] == ["1"]
    assert rollback(history, Seen("2" * 40), by_root=True) is None
    assert [one.commit[0] for one in remembered(history, Seen("2" * 40))] == ["1", "2"]
