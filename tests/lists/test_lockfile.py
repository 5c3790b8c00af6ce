"""Lock files: what is written is read again, what is wrong is refused by its place, and differences are told."""

import tomllib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.files import MAX_FILE, Digest, RepoFile, RepoTree
from orchestrator.core.refs import parse_ref
from orchestrator.core.trust import Level, Trust
from orchestrator.errors import GlmAriaError, UnsafeError, UsageError
from orchestrator.lists.lock_diff import ChangeKind, contradictions, diff_locks, differences
from orchestrator.lists.lockfile import Lock, LockedFile, LockedModel, parse_lock, render_lock

SMALL = LockedFile("config.json", 17, "1a" * 20, "2b" * 32)
LARGE = LockedFile.of_lfs("model.safetensors", 9, "3c" * 32)
MODEL = LockedModel(parse_ref("org/m"), "c0" * 20, Trust("root", "https://hub.example"), (SMALL, LARGE))

hexes = {length: st.text("0123456789abcdef", min_size=length, max_size=length) for length in (40, 64)}
names = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf"]), min_size=1, max_size=8)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@st.composite
def models(draw: st.DrawFn) -> LockedModel:
    files: list[LockedFile] = []
    for name in draw(st.lists(names, max_size=4)):
        size, sha256 = draw(st.integers(0, MAX_FILE)), draw(hexes[64])
        if draw(st.booleans()):
            files.append(LockedFile.of_lfs(name, size, sha256))
        else:
            files.append(LockedFile(name, size, draw(hexes[40]), sha256))
    ref = parse_ref(draw(st.sampled_from(["org/m@main", "datasets/org/d@v1", "ms://org/m@master", "gpt2@refs/pr/1"])))
    trust = Trust(draw(st.sampled_from(Level)).value, draw(texts) or "x", tuple(draw(st.lists(texts, max_size=2))))
    globs = tuple(draw(st.lists(texts, max_size=2)))
    return LockedModel(ref, draw(hexes[40]), trust, tuple(sorted(files, key=lambda f: f.path)), globs, globs[:1])


@given(st.lists(models(), max_size=3))
def test_what_is_written_is_read_again(found: list[LockedModel]) -> None:
    lock = Lock().with_models(found)
    text = render_lock(lock)
    assert tomllib.loads(text)["version"] == 1
    try:
        for model in lock.models:
            model.tree()
    except GlmAriaError as error:
        with pytest.raises(type(error)):
            parse_lock(text, "x.lock")
    else:
        assert parse_lock(text, "x.lock") == lock


def test_a_change_of_one_file_is_one_line() -> None:
    other = replace(MODEL, files=(replace(SMALL, size=18), LARGE))
    one, two = (render_lock(Lock((model,))).splitlines() for model in (MODEL, other))
    assert len([1 for a, b in zip(one, two, strict=True) if a != b]) == 1
    assert render_lock(Lock((replace(MODEL, files=(LARGE, SMALL)),))) == render_lock(Lock((MODEL,)))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("version = 1", "version = 2", "version is 2"),
        ("version = 1", "", "no version"),
        ("version = 1", "version = 1\nfoo = 2", "not foo"),
        ("commit = ", "comit = ", "unknown key 'comit'"),
        ('"' + "c0" * 20, '"' + "c0" * 19, "not a commit"),
        ('trust = "root"', 'trust = "mine"', "not a trust level"),
        ("size = 17", "size = -1", "config.json): size"),
        ("size = 17", "size = true", "config.json): size"),
        ("size = 17, ", "", "config.json): size"),
        ("1a1a", "../..", "not a git-sha1 digest"),
        (", lfs = true", ', lfs = "yes"', "lfs must be"),
        ("files = [", "files = [ 5,", "file 1: this is not a table"),
        ("[[model]]", "[[model]", "line 4"),
        ('ref = "org/m@main"', "", "ref is missing"),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, told: str) -> None:
    text = render_lock(Lock((MODEL,)))
    assert old in text
    with pytest.raises(UsageError) as caught:
        parse_lock(text.replace(old, new), "my.lock")
    assert caught.value.message.startswith("my.lock")
    assert told in caught.value.message


def test_an_lfs_pointer_that_git_lfs_did_not_write_stays_itself() -> None:
    file = LockedFile.of_lfs("w.bin", 9, "3c" * 32, "4d" * 20)
    lock = Lock((replace(MODEL, files=(file,)),))
    assert parse_lock(render_lock(lock), "my.lock") == lock
    (listed,) = lock.models[0].tree().files
    assert (listed.git_oid, listed.has_usual_pointer) == ("4d" * 20, False)
    usual = replace(lock.models[0], files=(LockedFile.of_lfs("w.bin", 9, "3c" * 32),))
    assert not contradictions(lock.models[0], lock.models[0].tree())
    (change,) = contradictions(lock.models[0], usual.tree())
    assert change.path == "w.bin"


def test_unsafe_paths_are_refused() -> None:
    text = render_lock(Lock((MODEL,)))
    with pytest.raises(UnsafeError, match="org/m"):
        parse_lock(text.replace('"config.json"', '"../config.json"'), "my.lock")
    with pytest.raises(UnsafeError):
        parse_lock(text.replace('"config.json"', '"model.safetensors/x"'), "my.lock")
    parse_lock(text.replace('"config.json"', '"MODEL.safetensors"'), "my.lock")
    block = text[text.index("[[model]]") :]
    with pytest.raises(UsageError, match="twice"):
        parse_lock(f"{text}\n{block}", "my.lock")


def test_models_are_chosen_by_ref() -> None:
    other = replace(MODEL, ref=parse_ref("org/m@v1"), commit="d0" * 20)
    lock = Lock().with_models([MODEL, other])
    assert lock.choose([], "l") == lock.models
    assert lock.choose(["org/m"], "l") == lock.models
    assert lock.choose(["org/m@v1"], "l") == (other,)
    assert lock.choose([f"org/m@{MODEL.commit}"], "l") == (MODEL,)
    with pytest.raises(UsageError) as caught:
        lock.choose(["org/m@v2"], "l")
    assert caught.value.hint == "glm-aria pull org/m@v2 --lock l adds it"
    with pytest.raises(UsageError) as caught:
        lock.choose(["org/m", "config.json"], "l")
    assert "leave out 'config.json'" in (caught.value.hint or "")


def listing(*files: RepoFile) -> RepoTree:
    return RepoTree.checked(MODEL.commit, files)


def test_a_listing_is_held_against_the_lock() -> None:
    config, weights = MODEL.tree().files
    assert contradictions(MODEL, listing(config, weights)) == ()
    assert contradictions(MODEL, listing(replace(config, git_oid=None), weights)) == ()
    changed = replace(weights, digest=Digest.parse("sha256:" + "5e" * 32), git_oid=None)
    (change,) = contradictions(MODEL, listing(config, changed))
    assert (change.kind, change.path) == (ChangeKind.CHANGED, "model.safetensors")
    assert "3c3c" in str(change)
    assert "5e5e" in str(change)
    (change,) = contradictions(MODEL, listing(weights))
    assert (change.kind, change.path) == (ChangeKind.REMOVED, "config.json")
    extra = replace(config, path="evil.py")
    (change,) = contradictions(MODEL, listing(config, weights, extra))
    assert (change.kind, change.path) == (ChangeKind.ADDED, "evil.py")
    assert contradictions(replace(MODEL, include=("*",)), listing(config, weights, extra)) == ()


def test_locks_are_compared_by_bytes_and_commits() -> None:
    same = replace(MODEL, trust=Trust("single", "https://other.example"))
    assert diff_locks(Lock((MODEL,)), Lock((same,))) == ()
    moved = replace(MODEL, commit="d0" * 20)
    (change,) = diff_locks(Lock((MODEL,)), Lock((moved,)))
    assert (change.kind, change.before, change.after, change.files) == (ChangeKind.CHANGED, "c0" * 20, "d0" * 20, ())
    (change,) = diff_locks(Lock(), Lock((MODEL,)))
    assert (change.kind, len(change.files)) == (ChangeKind.ADDED, 2)
    (change,) = diff_locks(Lock((MODEL,)), Lock())
    assert (change.kind, {file.kind for file in change.files}) == (ChangeKind.REMOVED, {ChangeKind.REMOVED})


def test_both_digests_count() -> None:
    for other in (replace(SMALL, sha256="6f" * 32), replace(SMALL, git_oid="6f" * 20)):
        (change,) = differences(MODEL, replace(MODEL, files=(other, LARGE)))
        assert change.path == "config.json"


def test_the_version_of_a_registry_is_kept_and_no_other_word() -> None:
    ref, commit = parse_ref("reg://team/m@^1.2"), "d" * 40
    pinned = parse_ref(f"oci://host/team/m@sha256:{'d' * 64}")
    model = replace(MODEL, ref=ref, commit=commit, pinned=pinned, version="1.2.3")
    text = render_lock(Lock((model,)))
    assert 'called = "1.2.3"' in text
    assert parse_lock(text, "x.lock").models == (model,)
    for wrong in ('called = "../x"', 'called = ""', "called = 3"):
        with pytest.raises(UsageError, match=r"1.*called|version"):
            parse_lock(text.replace('called = "1.2.3"', wrong), "x.lock")


Q4, Q8 = (LockedFile.of_lfs(f"m-{name}.gguf", 9, digit * 64) for name, digit in (("Q4_0", "4"), ("Q8_0", "8")))


@pytest.mark.parametrize(
    ("first", "second", "files", "globs"),
    [
        (("a",), ("b",), (Q4, Q8), (("a", "b"), ())),
        (("a",), (), (Q8,), ((), ())),  # all of the commit
        ((), ("b",), (Q4,), ((), ())),
    ],
)
def test_a_ref_that_is_locked_twice_has_the_files_of_both(
    first: tuple[str, ...], second: tuple[str, ...], files: tuple[LockedFile, ...], globs: object
) -> None:
    one, two = replace(MODEL, files=(Q4,), include=first), replace(MODEL, files=(Q8,), include=second)
    (model,) = Lock((replace(MODEL, commit="e" * 40),)).with_models((one, two)).models
    assert (model.files, (model.include, model.exclude)) == (files, globs)


def test_two_selections_with_other_excludes_are_locked_by_their_files() -> None:
    one, two = replace(MODEL, files=(Q4,), exclude=("x",)), replace(MODEL, files=(Q8, SMALL), exclude=("y",))
    (model,) = Lock().with_models((one, two)).models
    assert (model.files, model.include, model.exclude) == ((SMALL, Q4, Q8), (SMALL.path, Q4.path, Q8.path), ())
    moved = replace(two, commit="e" * 40)
    assert Lock().with_models((one, moved)).models == (moved,)
