"""The grammar of a REF, and the names that it lets through."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.dialects import MODELSCOPE
from orchestrator.core.names import check_path
from orchestrator.core.refs import (
    Ref,
    RepoId,
    RepoType,
    Target,
    as_word,
    commit_hint,
    is_commit,
    names_revision,
    parse_folder,
    parse_ref,
    parse_target,
)
from orchestrator.core.sources import site_of
from orchestrator.errors import UsageError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHA256 = COMMIT + "89abcdef" * 3


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("org/name", "org/name@main"),
        ("  org/name\n", "org/name@main"),
        ("org/name/", "org/name@main"),
        ("gpt2", "gpt2@main"),
        ("hf://org/name", "org/name@main"),
        ("org/name@v1.0", "org/name@v1.0"),
        ("org/name@refs/pr/1", "org/name@refs/pr/1"),
        ("org/name@feature/x", "org/name@feature/x"),
        (f"org/name@{COMMIT}", f"org/name@{COMMIT}"),
        ("datasets/org/name", "datasets/org/name@main"),
        ("spaces/org/name@dev", "spaces/org/name@dev"),
        ("datasets/squad", "datasets/squad@main"),
        ("models/org/name", "org/name@main"),
        ("ms://org/name", "ms://org/name@master"),
        ("ms://org/name@v1", "ms://org/name@v1"),
        ("oci://registry.example/org/name", "oci://registry.example/org/name:latest"),
        ("oci://registry.example:5000/a/b/org/name:v1", "oci://registry.example:5000/a/b/org/name:v1"),
        ("oci://registry.example/name:v1", "oci://registry.example/name:v1"),
        (f"oci://r.example/org/name@sha256:{SHA256}", f"oci://r.example/org/name@sha256:{SHA256}"),
        (f"oci://r.example/org/name@{COMMIT}", f"oci://r.example/org/name@{COMMIT}"),
        ("oci+http://registry.example/org/name:v1", "oci+http://registry.example/org/name:v1"),
        ("oci+http://127.0.0.1:5000/org/name:v1", "oci://127.0.0.1:5000/org/name:v1"),
        ("reg://team/model", "reg://team/model@main"),
        ("reg://team/model:1.2.3", "reg://team/model@1.2.3"),
        ("reg://team/model:^1.2", "reg://team/model@^1.2"),
        ("mlflow://fraud:3", "mlflow://fraud@3"),
        ("reg://team/model@^1.2", "reg://team/model@^1.2"),
        ("reg://team/model@>=1.2 <2 || 3.x", "reg://team/model@>=1.2 <2 || 3.x"),
        ("reg://team/model@1.2.3-rc.1+build.5", "reg://team/model@1.2.3-rc.1+build.5"),
        (f"reg://team/model@sha256:{SHA256}", f"reg://team/model@sha256:{SHA256}"),
        ("mlflow://fraud@champion", "mlflow://fraud@champion"),
        ("mlflow://catalog.schema.fraud@3", "mlflow://catalog.schema.fraud@3"),
    ],
)
def test_a_ref_is_read_and_shown(text: str, shown: str) -> None:
    ref = parse_ref(text)
    assert str(ref) == shown
    assert parse_ref(str(ref)) == ref


def test_a_ref_has_type_name_and_revision() -> None:
    ref = parse_ref("datasets/org/name@v2")
    assert (ref.repo.type, ref.repo.name, ref.revision) == (RepoType.DATASET, "org/name", "v2")
    assert (ref.repo.folder, ref.repo.url_path) == ("datasets--org--name", "datasets/org/name")
    assert RepoId(RepoType.MODEL, "gpt2").folder == "models--gpt2"
    assert parse_ref("ms://o/n").catalog is MODELSCOPE


def test_the_revision_flag_must_not_contradict_the_ref() -> None:
    assert parse_ref("o/n", revision="v1").revision == "v1"
    assert parse_ref("ms://o/n", revision="v1").revision == "v1"
    assert parse_ref("o/n@v1", revision="v1").revision == "v1"
    with pytest.raises(UsageError, match="another"):
        parse_ref("o/n@v2", revision="v1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "a/b/c",
        "../x",
        "org/..",
        "org/a--b",
        "org/.hidden",
        "-org/name",
        "org/name.git",
        "org/na me",
        "org/näme",
        "org/" + "x" * 97,
        "s3://org/name",
        "ms://name",
        "ms://datasets/org/name",
        "org/name@",
        "org/name@../x",
        "org/name@a..b",
        "org/name@a//b",
        "org/name@-x",
        "org/name@x.lock",
        "org/name@a b",
        "org\\name",
    ],
)
def test_what_is_no_ref_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_ref(text)


@pytest.mark.parametrize(
    ("url", "repo"),
    [
        ("https://huggingface.co/org/name", "org/name"),
        ("https://huggingface.co/org/name/tree/main?x=1", "org/name"),
        ("https://huggingface.co/datasets/org/name/blob/main/a.txt", "datasets/org/name"),
    ],
)
def test_a_web_address_is_answered_with_the_ref(url: str, repo: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_ref(url)
    assert caught.value.hint is not None
    assert f"for the repo itself: {repo};" in caught.value.hint


def test_a_commit_is_40_lower_hex_digits() -> None:
    assert parse_ref(f"o/n@{COMMIT}").is_commit
    assert not parse_ref("o/n@main").is_commit
    for text in (COMMIT.upper(), COMMIT[:-1], COMMIT + "0", COMMIT + "\n", "main", ""):
        assert not is_commit(text)


PARTS = st.from_regex(re.compile(r"[A-Za-z0-9_.-]{1,12}"), fullmatch=True)


@given(st.lists(PARTS, min_size=1, max_size=2).map("/".join), st.sampled_from(RepoType))
def test_a_name_that_is_accepted_is_one_safe_folder(name: str, repo_type: RepoType) -> None:
    try:
        repo = RepoId(repo_type, name)
    except UsageError:
        return
    assert "/" not in repo.folder
    assert check_path(repo.folder) == repo.folder
    assert repo.folder.split("--")[1:] == name.split("/"), "two repos never share a folder"


@given(st.text(max_size=30))
def test_any_text_is_a_ref_or_a_usage_error(text: str) -> None:
    try:
        ref = parse_ref(text)
    except UsageError:
        return
    assert parse_ref(str(ref)) == ref


@given(st.text(alphabet="ab./-_@{}~^:\\ \n*?[", max_size=12))
def test_a_revision_that_is_accepted_stays_inside_refs(revision: str) -> None:
    try:
        Ref(RepoId(RepoType.MODEL, "o/n"), revision)
    except UsageError:
        return
    assert ".." not in revision
    assert "@{" not in revision
    assert not set(revision) & set("~^:\\ \n*?[")
    assert all(part not in ("", ".", "..") and not part.startswith(".") for part in revision.split("/"))


ODD_REVISIONS = (
    "a,b",
    "it's(ok)!",
    "v1.0-中文",
    "a@b",
    'say"hi"',
    "a&b;c|d<e>f$g`h",
    "{x}",
    "50%",
    "a#b",
    "=",
    "ünï/cödé",
    "x.lockx",
)


@pytest.mark.parametrize("revision", ODD_REVISIONS)
def test_a_revision_may_be_what_git_allows(revision: str) -> None:
    ref = parse_ref(f"org/name@{revision}")
    assert ref.revision == revision
    assert parse_ref(str(ref)) == ref
    assert shlex.split(f"glm-aria pull {as_word(ref)}") == ["glm-aria", "pull", f"org/name@{revision}"]


def is_allowed_by_git(name: str) -> bool:
    done = subprocess.run(["git", "check-ref-format", "--allow-onelevel", name], capture_output=True, check=False)
    return done.returncode == 0


REVISIONS = st.text(alphabet="ab./-_@{}~^:\\ \t*?[]()'\",;%#lock中é\x7f\x85", min_size=1, max_size=10)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@given(
    REVISIONS
    | st.sampled_from(ODD_REVISIONS)
    | st.sampled_from(["@", "x.lock", "a/b.lock/c", "a.lock", "a./b", "a.", ".a"])
)
def test_git_says_what_a_revision_is(name: str) -> None:
    try:
        is_ours = parse_ref(f"org/name@{name}").revision == name
    except UsageError:
        is_ours = False
    # git's plumbing takes a leading dash, and no command of it that makes a branch or a tag does.
    expected = is_allowed_by_git(name) and not name.startswith("-")
    # parse_ref takes what stands in a text, so blanks around it go.
    assert is_ours == expected or name != name.strip()


@pytest.mark.parametrize("revision", ["x" * 256, "a/" + "é" * 128, "/".join(["x" * 250] * 5), "a\ud800"])
def test_a_revision_that_no_disk_can_hold(revision: str) -> None:
    with pytest.raises(UsageError):
        Ref(RepoId(RepoType.MODEL, "o/n"), revision)


def test_a_commit_in_upper_case_is_that_commit() -> None:
    assert parse_ref(f"o/n@{COMMIT.upper()}").revision == COMMIT
    assert parse_ref("o/n", revision=COMMIT.upper()).is_commit
    assert parse_target(f"o/n@{COMMIT.upper()}").revision == COMMIT


@pytest.mark.parametrize("text", [COMMIT[:7], COMMIT[:39], COMMIT[:7].upper(), COMMIT + "0", "0" * 64])
def test_a_commit_that_is_not_whole_gets_a_hint(text: str) -> None:
    hint = commit_hint(text)
    assert hint is not None
    assert "all 40 digits" in hint
    assert str(len(text)) in hint


@pytest.mark.parametrize("text", ["main", "v1.0", COMMIT, COMMIT[:6], "0" * 65, "deadbeef-x"])
def test_other_revisions_get_none(text: str) -> None:
    assert commit_hint(text) is None


@pytest.mark.parametrize("name", ["gpt2", "org/name", "org/na-me.v1", "a_b/c_d"])
@pytest.mark.parametrize("kind", RepoType)
def test_a_cache_folder_names_its_repo(name: str, kind: RepoType) -> None:
    repo = RepoId(kind, name)
    assert parse_folder(repo.folder) == repo


@pytest.mark.parametrize(
    "folder", ["", "models", "models--", "blobs", ".locks", "models--a--b--c", "models--..", "x--a--b"]
)
def test_other_folders_name_none(folder: str) -> None:
    assert parse_folder(folder) is None


def test_a_target_is_a_repo_or_one_of_its_revisions() -> None:
    assert parse_target("org/name") == Target(RepoId(RepoType.MODEL, "org/name"))
    assert parse_target("datasets/org/name@v1") == Target(RepoId(RepoType.DATASET, "org/name"), "v1")
    for text in ("org/name", "datasets/org/name@refs/pr/1"):
        assert str(parse_target(text)) == text
    with pytest.raises(UsageError):
        parse_target("a/b/c")


# -- refs of registries


def test_a_ref_of_a_registry_names_its_site() -> None:
    ref = parse_ref("oci://registry.example:5000/a/b/org/name:v1")
    assert (ref.repo.name, ref.revision) == ("org/name", "v1")
    assert ref.site is not None
    assert ref.site.url == "https://registry.example:5000/v2/a/b"
    source = site_of(ref)
    assert source is not None
    assert (source.name, source.witness) == (
        "oci://registry.example:5000/a/b",
        "oci+https://registry.example:5000/v2/a/b",
    )
    assert site_of(parse_ref("org/name")) is None


def test_a_digest_is_a_commit_by_its_first_digits() -> None:
    ref = parse_ref(f"oci://registry.example/org/name@sha256:{SHA256}")
    assert (ref.commit, ref.is_commit, ref.branch) == (COMMIT, True, None)
    assert parse_ref("oci://registry.example/org/name:v1").branch == "v1"
    assert parse_ref("reg://team/model@prod").branch == "prod"
    for revision in ("^1.2", ">=1.2 <2 || 3.x", "1.2 - 1.4", "*", "1.x"):
        assert parse_ref(f"reg://team/model@{revision}").branch == revision, "as hf keeps it"
    for revision in ("a..b", "1.", "a.lock", "a b"):
        assert parse_ref(f"reg://team/model@{revision}").branch is None


@pytest.mark.parametrize(
    "text",
    [
        "oci://org/name:v1:2",
        "oci://registry.example/org/name:.x",
        "oci://registry.example/org/name:^1",
        "oci://registry.example",
        "oci://registry.example/Org/name",
        "oci://user@registry.example/org/name",
        "oci+ftp://registry.example/org/name",
        "ms+http://org/name",
        "reg://team/model@1\t2",
        "reg://team/model@$(x)",
        "reg://datasets/team/model",
        "mlflow://fraud@a/b",
        "mlflow://a/b/c@1",
    ],
)
def test_what_no_registry_has_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_ref(text)


def test_a_revision_is_named_once() -> None:
    assert parse_ref("oci://r.example/org/name", revision="v1") == parse_ref("oci://r.example/org/name:v1")
    with pytest.raises(UsageError, match="--revision v2 another"):
        parse_ref("oci://r.example/org/name:v1", revision="v2")


@pytest.mark.parametrize(
    ("text", "is_named"),
    [
        ("org/name", False),
        ("org/name@v1", True),
        ("oci://r.example:5000/org/name", False),
        ("oci://r.example:5000/org/name:v1", True),
        (f"oci://r.example/org/name@sha256:{SHA256}", True),
    ],
)
def test_a_target_of_a_registry_is_all_of_a_repo_or_a_revision(text: str, *, is_named: bool) -> None:
    assert names_revision(text) is is_named
    assert (parse_target(text).revision is not None) is is_named


def test_a_target_may_have_a_revision_of_any_catalog() -> None:
    for text in ("team/model@^1.2", "team/model@prod", f"team/model@{COMMIT}"):
        target = parse_target(text)
        assert parse_target(str(target)) == target
    assert parse_target(f"oci://r.example/org/name@sha256:{SHA256}") == Target(parse_ref("org/name").repo, COMMIT)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("org/name:v1.0", "org/name@v1.0"),
        ("team/model:1.2.3", "team/model@1.2.3"),
        ("gpt2:main", "gpt2@main"),
        ("datasets/org/name:v1", "org/name@v1"),
        ("org/name@v1.0:Q4_K_M", "org/name:Q4_K_M@v1.0"),
        ("org/name@it's:Q8_0", "'org/name:Q8_0@it'\"'\"'s'"),
    ],
)
def test_a_colon_before_a_revision_is_told_what_to_type(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_ref(text)
    assert hint in str(refused.value.hint)


def test_a_model_of_a_registry_is_in_a_namespace() -> None:
    for text in ("reg://model", "reg://model@1.0", "reg://datasets/team/model"):
        with pytest.raises(UsageError, match="reg://org/name"):
            parse_ref(text)
