"""Paths that may become names on a disk: what is unsafe anywhere, what only another system cannot hold."""

from __future__ import annotations

import os
import re
import subprocess
import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.core.files import Algorithm, Digest, RepoFile
from orchestrator.core.names import check_path, fold, is_git_folder, refuse_unportable, unportable
from orchestrator.errors import UnsafeError

GIT_FOLDERS = (
    ".git",
    ".GIT",
    ".Git",
    "git~1",
    "GIT~1",
    ".git.",
    ".git ",
    ".git . .",
    "git~1.",
    ".git::$INDEX_ALLOCATION",
    ".git:x",
    "git~1:x",
    ".g\u200cit",
    "\ufeff.git",
    ".gi\u200dt\u206f",
    ".\u202eGIT",
)
NOT_GIT_FOLDERS = (
    ".gitattributes",
    ".gitmodules",
    ".gitignore",
    ".github",
    "git",
    "x.git",
    ".git2",
    "git~2",
    "git~10",
    ".gitx",
    ". git",
    ".g it",
    "_.git",
)


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "a/b",
        ".gitattributes",
        "a..b",
        "a b/c d",
        "日本語.txt",
        "é",
        "com10",
        "nul1.txt",
        "x.con",
        "-rf",
        "~",
        "#%&",
        "a/.b/c",
        "x" * 255,
    ],
)
def test_a_plain_path_is_taken_as_it_is(path: str) -> None:
    assert check_path(path) == path
    assert unportable([path]) == ()


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "./a",
        "../a",
        "a/../b",
        "a/.",
        "a\\b",
        "C:\\x",
        "\\\\host\\x",
        "//host/x",
        "a\x00b",
        "a\nb",
        "a\x1b[31m",
        "a\x7f",
        "a\x9b",
        "a\u202eb",
        "a\u2066b",
        "x" * 256,
        "é" * 128,
        "a/" * 2100 + "b",
        chr(0xD800),
    ],
)
def test_an_unsafe_path_is_refused(path: str) -> None:
    with pytest.raises(UnsafeError):
        check_path(path)


@pytest.mark.parametrize("name", GIT_FOLDERS)
@pytest.mark.parametrize("form", ["{}", "{}/config", "a/{}/config", "a/b/{}"])
def test_the_folder_of_git_is_refused_at_any_depth(name: str, form: str) -> None:
    with pytest.raises(UnsafeError):
        check_path(form.format(name))


@pytest.mark.parametrize("name", NOT_GIT_FOLDERS)
def test_other_names_with_git_in_them_are_fine(name: str) -> None:
    assert check_path(f"a/{name}") == f"a/{name}"


# -- the same, asked of git itself

NAMES_LIKE_GITS = st.lists(
    st.sampled_from([*".gitGIT~1: $", "::$", "\u200c", "\u206a", "\ufeff", "\u202a", "é"]), min_size=1, max_size=9
).map("".join)


def refused_by_git(repository: Path, names: list[str]) -> set[str]:
    """Those of the names that `git fsck` calls dangerous in a tree (hasDotgit)."""
    git = ["git", f"--git-dir={repository}"]
    blob = subprocess.run([*git, "hash-object", "-w", "--stdin"], input=b"x", capture_output=True, check=True)
    oid = blob.stdout.decode().strip()
    # One tree for each name; NUL ends an entry, an empty one the tree.
    listing = b"".join(f"100644 blob {oid}\t".encode() + name.encode() + b"\0\0" for name in names)
    made = subprocess.run([*git, "mktree", "-z", "--batch"], input=listing, capture_output=True, check=True)
    trees = made.stdout.decode().split()
    assert len(trees) == len(names)
    found = subprocess.run([*git, "fsck", "--no-dangling", *trees], capture_output=True, text=True, check=False)
    bad = set(re.findall(r"in tree ([0-9a-f]{40}): hasDotgit", found.stdout + found.stderr))
    return {name for name, tree in zip(names, trees, strict=True) if tree in bad}


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("names") / "r.git"
    try:
        subprocess.run(["git", "init", "--quiet", "--bare", folder], check=True)
    except FileNotFoundError:
        pytest.skip("git is not installed")
    return folder


def test_git_refuses_just_what_we_refuse(repository: Path) -> None:
    names = [*GIT_FOLDERS, *NOT_GIT_FOLDERS]
    assert refused_by_git(repository, names) == set(GIT_FOLDERS) == {name for name in names if is_git_folder(name)}


@given(st.lists(NAMES_LIKE_GITS, min_size=1, max_size=30, unique=True))
@settings(max_examples=20)
def test_git_refuses_just_what_we_refuse_whatever_the_name(repository: Path, names: list[str]) -> None:
    names = [name for name in names if name not in (".", "..")]
    assert refused_by_git(repository, names) == {name for name in names if is_git_folder(name)}


def test_git_puts_no_such_path_into_its_index(repository: Path) -> None:
    """`update-index --cacheinfo` refuses by the rule that a checkout goes by; ours is that of all systems at once."""
    git = ["git", f"--git-dir={repository}"]
    blob = subprocess.run([*git, "hash-object", "-w", "--stdin"], input=b"x", capture_output=True, check=True)
    for name in (*GIT_FOLDERS, *NOT_GIT_FOLDERS, "a", "weird.", "a:b"):
        done = subprocess.run(
            [*git, "-c", "core.protectNTFS=true", "-c", "core.protectHFS=true",
             "update-index", "--add", "--cacheinfo", f"100644,{blob.stdout.decode().strip()},d/{name}/config"],
            capture_output=True, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) == is_git_folder(name), name


# -- what another system cannot hold


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("results_2024-01-01T10:16:43.json", "':'"),
        ("a|b.parquet", "'|'"),
        ("D:x", "':'"),
        ("c:/x", "':'"),
        ("a?", "'?'"),
        ("d*/x", "'*'"),
        ('a"', "'\"'"),
        ("a<b", "'<'"),
        ("a>b", "'>'"),
        ("weird.", "drops"),
        ("x ", "drops"),
        ("a./b", "drops"),
        ("a /b", "drops"),
        ("CON", "device"),
        ("con.txt", "device"),
        ("a/NUL.tar.gz", "device"),
        ("COM1", "device"),
        ("lpt9.x", "device"),
        ("com¹", "device"),
    ],
)
def test_names_that_windows_cannot_hold(path: str, reason: str) -> None:
    assert check_path(path) == path
    (odd,) = unportable(["plain", path])
    assert odd.path == path
    assert reason in odd.reason
    assert len(odd.trial) == 1
    with pytest.raises(UnsafeError, match=re.escape(repr(path))):
        refuse_unportable([path])


@pytest.mark.parametrize(
    ("paths", "trial", "what"),
    [
        (("a", "A"), {"a", "A"}, "case"),
        (("README.md", "readme.MD"), {"README.md", "readme.MD"}, "case"),
        (("é", "e\u0301"), {"é", "e\u0301"}, "form"),
        (("É", "e\u0301"), {"É", "e\u0301"}, "case"),
        (("straße", "STRASSE"), {"straße", "STRASSE"}, "case"),
        (("d/a", "D/b"), {"d", "D"}, "case"),
        (("d/é/a", "d/e\u0301/b"), {"é", "e\u0301"}, "form"),
        (("A", "a/b"), {"A", "a"}, "case"),
        (("a/b/c", "a/B"), {"b", "B"}, "case"),
    ],
)
def test_names_that_a_disk_takes_for_one_are_told(paths: tuple[str, str], trial: set[str], what: str) -> None:
    for order in (paths, paths[::-1]):
        (odd,) = unportable(order)
        assert set(odd.trial) == trial
        assert f"the {what} of" in odd.reason or f"the {what} of its" in odd.reason
        with pytest.raises(UnsafeError):
            refuse_unportable(order)


NAMES = st.lists(
    st.text(alphabet="aAbéÉ/", min_size=1, max_size=6).filter(lambda path: all(path.split("/"))),
    max_size=6,
    unique=True,
)


@given(NAMES)
def test_a_listing_without_twins_fits_on_a_folding_disk(paths: list[str]) -> None:
    disk: dict[str, str] = {}
    collides = False
    for path in paths:
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            name = "/".join(parts[:depth])
            collides |= disk.setdefault(fold(name), name) != name
    assert bool(unportable(paths)) == collides


@given(st.text(max_size=40) | st.text(alphabet="./\\:ab CONnul~", max_size=16))
@example("a/b/../../../etc")
@example("C:a")
@example("a\u2028b")
def test_an_accepted_path_stays_inside_and_a_portable_one_on_every_system(path: str) -> None:
    try:
        check_path(path)
    except UnsafeError:
        return
    posix = PurePosixPath("/base") / path
    assert os.path.normpath(posix) == str(posix) == "/base/" + path
    assert all(unicodedata.category(letter) != "Cc" for letter in path)
    assert len(path.encode()) <= 4096
    RepoFile(path, 1, Digest(Algorithm.SHA256, "0" * 64), is_lfs=True)
    if unportable([path]):
        return
    windows = PureWindowsPath("C:/base") / path
    assert windows.parts == ("C:\\", "base", *path.split("/"))
    assert not windows.is_reserved() if hasattr(windows, "is_reserved") else True


@given(st.lists(st.text(alphabet="aàb .é", min_size=1, max_size=5), min_size=1, max_size=4))
def test_check_path_depends_on_each_part_alone(parts: list[str]) -> None:
    def is_safe(path: str) -> bool:
        try:
            return check_path(path) == path
        except UnsafeError:
            return False

    assert is_safe("/".join(parts)) == all(is_safe(part) for part in parts)


@given(st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" "), max_size=10))
def test_fold_is_stable(text: str) -> None:
    assert fold(text) == fold(unicodedata.normalize("NFD", text)) == fold(unicodedata.normalize("NFC", text))
