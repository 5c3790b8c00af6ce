"""What is fetched, once, for whom; and what is kept, linked or checked instead."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.files import Algorithm, Digest, RepoFile, RepoTree
from orchestrator.core.plan import Action, Found, Have, ResolvedModel, merge, plan_model, refuse_pickles
from orchestrator.core.refs import Ref, RepoId, RepoType
from orchestrator.core.trust import Trust
from orchestrator.errors import UnsafeError

HERE = Path("blobs/x")


def digest(number: int) -> Digest:
    return Digest(Algorithm.SHA256, f"{number:064x}")


def model(
    name: str, files: dict[str, tuple[int, int]], *, restricted: bool = False, include: tuple[str, ...] = ()
) -> ResolvedModel:
    """`files` maps a path to (digest number, size)."""
    listed = [RepoFile(path, size, digest(number), is_lfs=True) for path, (number, size) in files.items()]
    tree = RepoTree.checked("c" * 40, listed)
    ref = Ref(RepoId(RepoType.MODEL, name))
    return ResolvedModel(ref, tree, tree.select(include), Trust("root", "https://hub.example"), restricted)


@pytest.mark.parametrize(
    ("have", "action"),
    [
        (Have.PLACED, Action.KEEP),
        (Have.UNPROVEN, Action.CHECK),
        (Have.ELSEWHERE, Action.LINK),
        (Have.NOTHING, Action.FETCH),
    ],
)
def test_what_is_known_of_a_file_decides_what_is_done(have: Have, action: Action) -> None:
    (item,) = plan_model(model("o/n", {"a": (1, 5)}), {digest(1): Found(have, HERE)}).files
    assert (item.action, item.found) == (action, HERE)


def test_what_is_not_known_is_fetched() -> None:
    plan = plan_model(model("o/n", {"a": (1, 5), "b": (2, 7)}), {digest(2): Found(Have.PLACED)})
    assert [item.action for item in plan.files] == [Action.FETCH, Action.KEEP]
    assert (plan.bytes_of(Action.FETCH), plan.bytes_of(Action.FETCH, Action.KEEP)) == (5, 12)


def test_only_what_is_wanted_is_planned() -> None:
    plan = plan_model(model("o/n", {"a.json": (1, 5), "b.bin": (2, 7)}, include=("*.json",)), {})
    assert [item.file.path for item in plan.files] == ["a.json"]


def test_one_blob_is_one_job_for_all_who_want_it() -> None:
    first = plan_model(model("o/a", {"x": (1, 9), "y": (1, 9), "small": (2, 1)}), {})
    second = plan_model(model("o/b", {"z": (1, 9)}), {})
    plan = merge([first, second])
    assert [(job.digest, job.size) for job in plan.jobs] == [(digest(1), 9), (digest(2), 1)]
    assert [(origin.repo.name, origin.path) for origin in plan.jobs[0].origins] == [
        ("o/a", "x"),
        ("o/a", "y"),
        ("o/b", "z"),
    ]
    assert plan.jobs[0].name == "x"
    assert plan.bytes_to_fetch == 10
    assert first.bytes_of(Action.FETCH) == 10


def test_a_blob_that_one_model_has_is_fetched_for_the_other_all_the_same() -> None:
    have = plan_model(model("o/a", {"x": (1, 9)}), {digest(1): Found(Have.PLACED)})
    plan = merge([have, plan_model(model("o/b", {"z": (1, 9)}), {})])
    assert [origin.repo.name for origin in plan.jobs[0].origins] == ["o/b"]


def test_a_blob_that_an_open_repo_lists_needs_no_token() -> None:
    closed = plan_model(model("o/a", {"x": (1, 9), "y": (2, 9)}, restricted=True), {})
    plan = merge([closed, plan_model(model("o/b", {"x": (1, 9)}), {})])
    assert {job.digest: job.is_restricted for job in plan.jobs} == {digest(1): False, digest(2): True}


def test_a_blob_that_an_open_repo_lists_is_not_asked_for_by_the_name_of_a_closed_one() -> None:
    closed = plan_model(model("o/closed", {"x": (1, 9), "y": (2, 9)}, restricted=True), {})
    both = merge([closed, plan_model(model("o/open", {"z": (1, 9)}), {})])
    asked = {job.digest: [origin.repo.name for origin in job.origins] for job in both.jobs}
    assert asked == {digest(1): ["o/open"], digest(2): ["o/closed"]}


def test_two_sizes_for_one_digest() -> None:
    with pytest.raises(UnsafeError, match="two sizes"):
        merge([plan_model(model("o/a", {"x": (1, 9), "y": (1, 8)}), {})])


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 4), max_size=8))
def test_jobs_are_the_distinct_blobs_biggest_first(files: dict[str, int]) -> None:
    plan = merge([plan_model(model("o/n", {path: (number, number * 10) for path, number in files.items()}), {})])
    assert [job.size for job in plan.jobs] == sorted({number * 10 for number in files.values()}, reverse=True)
    assert plan.bytes_to_fetch == sum(job.size for job in plan.jobs)
    assert sum(len(job.origins) for job in plan.jobs) == len(files)


def test_pickles_are_refused_by_name() -> None:
    refuse_pickles(model("o/n", {"a.safetensors": (1, 1)}))
    refuse_pickles(model("o/n", {"a.safetensors": (1, 1), "b.bin": (2, 1)}, include=("*.safetensors",)))
    with pytest.raises(UnsafeError, match=r"'b\.bin'") as caught:
        refuse_pickles(model("o/n", {"a.safetensors": (1, 1), "b.bin": (2, 1)}))
    assert caught.value.hint is not None
    assert "--exclude '*.bin'" in caught.value.hint
