"""Digests and paths that may become names on a disk, and listings that are refused as a whole."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.files import (
    MAX_FILE,
    MAX_FILES,
    Algorithm,
    Digest,
    RepoFile,
    RepoTree,
    git_blob_header,
    lfs_pointer_oid,
)
from orchestrator.core.names import check_path
from orchestrator.errors import ProtocolError, UnsafeError

COMMIT = "a" * 40
SHA = Digest(Algorithm.SHA256, "0" * 64)


def file(path: str, digest: Digest = SHA, size: int = 1) -> RepoFile:
    return RepoFile(path, size, digest, is_lfs=digest.algorithm is Algorithm.SHA256)


def tree(*paths: str) -> RepoTree:
    return RepoTree.checked(COMMIT, [file(path) for path in paths])


# -- digests


@pytest.mark.parametrize("text", ["sha256:" + "0" * 64, "git-sha1:" + "f" * 40])
def test_digest_text_form(text: str) -> None:
    assert str(Digest.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        "sha256:",
        "md5:" + "0" * 32,
        "sha256:" + "0" * 63,
        "sha256:" + "0" * 65,
        "sha256:" + "A" * 64,
        "git-sha1:" + "0" * 64,
        "sha256:" + "0" * 64 + "\n",
        "sha256:../" + "0" * 61,
        "SHA256:" + "0" * 64,
    ],
)
def test_what_is_no_digest_is_unsafe(text: str) -> None:
    with pytest.raises(UnsafeError):
        Digest.parse(text)


@given(st.text(max_size=70))
def test_a_digest_is_a_safe_name_or_none(text: str) -> None:
    for algorithm in Algorithm:
        try:
            digest = Digest(algorithm, text)
        except UnsafeError:
            continue
        assert check_path(digest.hex) == text


@given(st.binary(max_size=100))
def test_git_hash_is_that_of_git(data: bytes) -> None:
    whole = git_blob_header(len(data)) + data
    assert len(hashlib.sha1(whole).hexdigest()) == 40
    assert whole.startswith(b"blob " + str(len(data)).encode() + b"\0")


def test_git_hash_against_git_itself(tmp_path: Path) -> None:
    """`git hash-object` of the pointer text that git-lfs would write."""
    sha256 = hashlib.sha256(b"weights").hexdigest()
    pointer = tmp_path / "pointer"
    pointer.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize 7\n")
    try:
        run = subprocess.run(["git", "hash-object", pointer], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        pytest.skip("git is not installed")
    assert run.stdout.strip() == lfs_pointer_oid(sha256, 7)


# -- listings


@pytest.mark.parametrize("paths", [("a", "a"), ("a", "a/b"), ("a/b", "a/b/c/d"), ("é/x", "é/x/y")])
def test_listings_that_contradict_themselves(paths: tuple[str, str]) -> None:
    for order in (paths, paths[::-1]):
        with pytest.raises(UnsafeError, match=r"twice|as a file and as a folder"):
            tree(*order)


def test_two_digests_for_one_path() -> None:
    with pytest.raises(UnsafeError):
        RepoTree.checked(COMMIT, [file("a"), file("a", Digest(Algorithm.SHA256, "1" * 64))])


def test_a_listing_is_sorted_and_summed_up() -> None:
    made = tree("b", "a/x", "a/y", "a.b", "ab/x")
    assert [item.path for item in made.files] == sorted(["b", "a/x", "a/y", "a.b", "ab/x"])
    assert made.total_size == 5
    assert tree().files == ()


def test_too_many_files() -> None:
    with pytest.raises(ProtocolError, match="at most"):
        RepoTree.checked(COMMIT, [file("a")] * (MAX_FILES + 1))


@pytest.mark.parametrize("size", [-1, MAX_FILE + 1, 2**62])
def test_an_impossible_size_is_unsafe(size: int) -> None:
    with pytest.raises(UnsafeError):
        file("a", size=size)


NAMES = st.lists(st.text(alphabet="aAbéÉ/", min_size=1, max_size=6), max_size=6)


@given(NAMES)
def test_an_accepted_listing_fits_on_a_disk(paths: list[str]) -> None:
    try:
        made = tree(*paths)
    except UnsafeError:
        return
    disk: dict[str, str] = {}
    for item in made.files:
        parts = item.path.split("/")
        for depth in range(1, len(parts) + 1):
            kind = "file" if depth == len(parts) else "folder"
            assert disk.setdefault("/".join(parts[:depth]), kind) == kind
    assert len(made.files) == len(paths)


@given(NAMES, st.randoms(use_true_random=False))
def test_the_order_of_a_listing_does_not_matter(paths: list[str], random: object) -> None:
    shuffled = list(paths)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    try:
        made = tree(*paths)
    except UnsafeError:
        with pytest.raises(UnsafeError):
            tree(*shuffled)
        return
    assert tree(*shuffled) == made


# -- choosing


@pytest.mark.parametrize(
    ("include", "exclude", "chosen"),
    [
        ((), (), ["a.json", "sub/b.json", "sub/c.bin", "w.bin"]),
        (("*.json",), (), ["a.json", "sub/b.json"]),
        (("sub/",), (), ["sub/b.json", "sub/c.bin"]),
        ((), ("*.bin",), ["a.json", "sub/b.json"]),
        (("*.json", "w.*"), ("sub/",), ["a.json", "w.bin"]),
        (("*.JSON",), (), []),
        (("[aw].*",), (), ["a.json", "w.bin"]),
    ],
)
def test_globs_select_files(include: tuple[str, ...], exclude: tuple[str, ...], chosen: list[str]) -> None:
    made = tree("a.json", "w.bin", "sub/b.json", "sub/c.bin")
    assert [item.path for item in made.select(include, exclude).files] == chosen


GLOBS = st.lists(st.text(alphabet="ab/.*?[]!", max_size=5), max_size=2).map(tuple)


@given(GLOBS, GLOBS)
def test_select_as_huggingface_hub_does(include: tuple[str, ...], exclude: tuple[str, ...]) -> None:
    oracle = pytest.importorskip("huggingface_hub.utils").filter_repo_objects
    paths = ["a", "b", "a.b", "d/a", "d/b.a", "d/e/a"]
    ours = [item.path for item in tree(*paths).select(include, exclude).files]
    theirs = list(oracle(paths, allow_patterns=list(include) or None, ignore_patterns=list(exclude) or None))
    assert sorted(ours) == sorted(theirs)


@pytest.mark.parametrize(
    ("path", "is_pickle"), [("a.bin", True), ("A.PT", True), ("a.safetensors", False), ("bin", False)]
)
def test_a_pickle_is_known_by_its_name(path: str, is_pickle: bool) -> None:
    assert file(path).is_pickle is is_pickle
