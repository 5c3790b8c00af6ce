"""Files of one catalog found in the listing of another: by digest and size alone."""

from __future__ import annotations

import pytest

from orchestrator.catalogs.matching import Lack, match, repos_elsewhere
from orchestrator.core.dialects import HUGGINGFACE, MODELSCOPE, Dialect
from orchestrator.core.files import Algorithm, Digest, RepoFile, RepoTree
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.core.sources import Origin, Source

REPO = RepoId(RepoType.MODEL, "There/m")
COMMIT = "c" * 40
MS = MODELSCOPE


def sha(letter: str) -> Digest:
    return Digest(Algorithm.SHA256, letter * 64)


def large(path: str, letter: str, size: int = 100) -> RepoFile:
    return RepoFile(path, size, sha(letter), is_lfs=True)


def listing(*files: RepoFile) -> RepoTree:
    return RepoTree.checked(COMMIT, files)


def test_the_path_does_not_matter_and_the_digest_does() -> None:
    found = match(
        [large("a.bin", "a"), large("b.bin", "b")],
        listing(large("deep/x.bin", "a"), large("b.bin", "f")),
        REPO,
        MS,
        "ms",
    )
    assert found.origins == ((sha("a"), Origin(REPO, COMMIT, "deep/x.bin", MS, "ms")),)
    assert [(item.path, item.lack) for item in found.differences] == [("b.bin", Lack.CONTENT)]


def test_what_is_missing_and_what_has_another_size() -> None:
    found = match([large("a.bin", "a"), large("b.bin", "b")], listing(large("a.bin", "a", 101)), REPO, MS)
    assert found.origins == ()
    assert {item.path: item.lack for item in found.differences} == {"a.bin": Lack.SIZE, "b.bin": Lack.ABSENT}
    assert found.describe() == "it lacks 'b.bin'; it lists another size for 'a.bin'"


def test_small_files_are_neither_matched_nor_told() -> None:
    git = RepoFile("config.json", 3, Digest(Algorithm.GIT_SHA1, "a" * 40), is_lfs=False)
    small = RepoFile("README.md", 3, sha("d"), is_lfs=False)
    found = match([git, small], listing(RepoFile("config.json", 3, sha("a"), is_lfs=False)), REPO, MS)
    assert (found.origins, found.differences) == ((), ())


def test_of_two_files_with_the_bytes_the_one_in_lfs_is_taken() -> None:
    plain = RepoFile("a.bin", 100, sha("a"), is_lfs=False)
    found = match([large("w.bin", "a")], listing(plain, large("z.bin", "a")), REPO, MS)
    assert found.origins[0][1].path == "z.bin"


def test_a_blob_under_two_paths_has_one_origin() -> None:
    found = match([large("a.bin", "a"), large("b.bin", "a")], listing(large("x.bin", "a")), REPO, MS)
    assert len(found.origins) == 1


@pytest.mark.parametrize(
    ("files", "unrelated"),
    [
        ([large("other.bin", "f")], True),
        ([large("a.bin", "f")], False),
        ([large("other.bin", "a")], False),
    ],
)
def test_a_repo_that_only_has_the_name(files: list[RepoFile], unrelated: bool) -> None:
    assert match([large("a.bin", "a"), large("b.bin", "b")], listing(*files), REPO, MS).is_unrelated is unrelated


def test_many_differences_are_told_briefly() -> None:
    wanted = [large(f"w{n}.bin", f"{n}") for n in range(5)]
    assert match(wanted, listing(), REPO, MS).describe() == "it lacks 'w0.bin' and 4 more"


ALIASES = {"zai-org/A": "ZhipuAI/A", "mirror-of/A": "ZhipuAI/A", "gpt2": "openai/gpt2"}


@pytest.mark.parametrize(
    ("name", "kind", "there"),
    [
        ("zai-org/A", HUGGINGFACE, ("ZhipuAI/A",)),
        ("org/m", HUGGINGFACE, ("org/m",)),
        ("gpt2", HUGGINGFACE, ("openai/gpt2",)),
        ("bert", HUGGINGFACE, ()),
        ("ZhipuAI/A", MS, ("zai-org/A", "mirror-of/A")),
        ("org/m", MS, ("org/m",)),
    ],
)
def test_a_repo_is_found_by_its_names_elsewhere(name: str, kind: Dialect, there: tuple[str, ...]) -> None:
    other = MS if kind is HUGGINGFACE else HUGGINGFACE
    found = repos_elsewhere(RepoId(RepoType.MODEL, name), kind, other, ALIASES)
    assert found == tuple(RepoId(RepoType.MODEL, name) for name in there)
    assert repos_elsewhere(RepoId(RepoType.DATASET, "org/m"), kind, other, ALIASES) == ()


def test_an_origin_holds_for_its_kind_or_for_its_source() -> None:
    hub, mirror = Source("hub", "https://a"), Source("mirror", "https://b")
    first, second = Source("ms", "https://c", MS), Source("ms-2", "https://d", MS)
    everywhere, one = Origin(REPO, COMMIT, "a"), Origin(REPO, COMMIT, "a", MS, "ms")
    assert [everywhere.holds_for(source) for source in (hub, mirror, first)] == [True, True, False]
    assert [one.holds_for(source) for source in (hub, first, second)] == [False, True, False]
