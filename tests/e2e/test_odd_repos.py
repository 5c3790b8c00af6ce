"""Repositories as people make them: odd names, odd entries, odd refs, and folders that hold something already."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import snapshot_download

from tests.hub.content import generate
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo, RepoFile
from tests.machine.fixtures import MakeHub, sent, wanted
from tests.machine.machine import Machine, content

pytestmark = pytest.mark.sampled(14)

ODD = {
    "results_2024-01-01T10:16:43.json": b"{}",
    "a|b.parquet": generate(70_000, 3),
    "weird.": b"dot",
    "dir ./x?*<>.txt": b"all of them",
    "README.md": b"one",
    "readme.md": b"two",
    "caf\u00e9": b"composed",
    "cafe\u0301": b"decomposed",
    "CON": b"device",
    "c:/x": b"colon",
}


def repo_of(files: Mapping[str, bytes | RepoFile]) -> Repo:
    return Repo("model", "org/m", dict(files))


def places(folder: Path) -> set[str]:
    """All names below a folder, links and folders as well."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


# -- names


def test_names_that_only_another_system_forbids_are_fetched_with_one_warning(
    machine: Machine, make_hub: MakeHub
) -> None:
    repo = repo_of(ODD)
    make_hub(repo)
    done = machine.pull("org/m", "--local-dir", "plain").ended(0)
    (warning,) = done.document["warnings"]
    assert warning["code"] == "not-portable"
    assert "and 7 more" in warning["message"]
    assert content(machine.snapshot("model/org/m", repo.head)) == ODD == content(machine.work / "plain")
    found = Path(snapshot_download("org/m", cache_dir=machine.cache, local_files_only=True))
    assert content(found) == ODD
    assert machine.pull("org/m", "--offline").ended(0).warnings == ["not-portable"]
    assert machine.run("verify", "org/m").ended(0)
    flat = machine.run("cache", "link", "org/m", "flat", "--layout", "flat", "--json").ended(0)
    assert {file["place"] for file in flat.document["data"]["files"]} == set(ODD)
    assert machine.pull("org/m", "--include", "weird.", "--exclude", "*.md").ended(0).warnings == ["not-portable"]
    assert machine.pull("org/m", "--include", "README.md").ended(0).warnings == []


@pytest.mark.parametrize("how", ["flag", "variable", "file"])
def test_portable_refuses_the_whole_listing(machine: Machine, make_hub: MakeHub, how: str) -> None:
    hub = make_hub(repo_of({"config.json": b"{}", "a:b": b"x"}))
    words, env = (
        (["--portable"], {}) if how == "flag" else ([], {"GLM_ARIA_PORTABLE": "1"} if how == "variable" else {})
    )
    if how == "file":
        (machine.work / "glm-aria.toml").write_text("[cache]\nportable = true\n")
    done = machine.pull("org/m", *words, "--include", "*.json", env=env).ended(80)
    assert "a:b" in done.error["message"]
    assert sent(hub) == []
    assert not list(machine.cache.glob("models--*"))


@pytest.mark.parametrize("names", [("README.md", "readme.md"), ("A", "a/b"), ("a:b",), ("weird.",), ("CON",)])
@pytest.mark.parametrize("where", ["cache", "local"])
@pytest.mark.sampled(3)
def test_a_disk_that_cannot_hold_them_is_told_before_anything_is_fetched(
    machine: Machine, make_hub: MakeHub, windows: Path, names: tuple[str, ...], where: str
) -> None:
    hub = make_hub(repo_of({"config.json": b"{}", **{name: name.encode() for name in names}}))
    words = ["--cache-dir", str(windows / "hub")] if where == "cache" else ["--local-dir", str(windows / "plain")]
    done = machine.pull("org/m", *words).ended(80)
    assert names[-1] in done.error["message"] or names[0] in done.error["message"]
    assert "--exclude" in done.error["hint"]
    assert sent(hub) == []
    assert not [path for path in places(windows) if "glm-aria" not in path and path not in ("hub", "hub/.locks")]
    machine.pull("org/m", *words, "--exclude", names[-1]).ended(0)
    assert sorted(sent(hub)) == sorted({"config.json", *names} - {names[-1]})


@pytest.mark.parametrize("path", [".git/config", "sub/.GIT/config", "git~1/config"])
def test_a_folder_of_git_is_refused_everywhere(machine: Machine, make_hub: MakeHub, path: str) -> None:
    hub = make_hub(repo_of({"config.json": b"{}", path: b'[core]\n\tfsmonitor = "touch pwned; false"\n'}))
    for words in ((), ("--local-dir", "plain"), ("--include", "*.json")):
        done = machine.pull("org/m", *words).ended(80)
        assert done.error["file"] == path
    (machine.work / "stick").mkdir()
    (machine.work / "stick" / "c.json").write_bytes(b"{}")
    machine.run("cache", "import", "--root", machine.root, "stick", "--model", "org/m", "--json").ended(80)
    assert sent(hub) == []
    # What another program put into the cache goes no further.
    snapshot_download("org/m", endpoint=hub.url, cache_dir=machine.cache, token=False)
    machine.run("cache", "link", "org/m", "flat", "--layout", "flat", "--json").ended(80)
    assert not (machine.work / "flat").exists()
    assert not (machine.work / "plain").exists()


def test_git_runs_no_command_of_a_pulled_folder(machine: Machine, make_hub: MakeHub) -> None:
    """The repository itself, as git would take it for one, in a checkout of the user's."""
    git = {"HEAD": b"ref: refs/heads/main\n", "objects/x": b"x", "refs/x": b"x"}
    config = b'[core]\n\trepositoryformatversion = 0\n\tfsmonitor = "touch %s; false"\n' % os.fsencode(
        machine.work / "pwned"
    )
    make_hub(repo_of({**{f".git/{path}": data for path, data in git.items()}, ".git/config": config, "a.txt": b"a"}))
    subprocess.run(["git", "init", "-q", machine.work], check=True, env=machine.env)
    machine.pull("org/m", "--local-dir", ".").ended(80)
    subprocess.run(["git", "status"], cwd=machine.work, check=False, env=machine.env, capture_output=True)
    assert not (machine.work / "pwned").exists()


def test_a_file_name_of_250_bytes(machine: Machine, make_hub: MakeHub) -> None:
    names = {"x" * 246 + ".bin": b"1", "d/" + "é" * 125: b"2", "y" * 255: b"3", "a": b"4", "a.metadata/b": b"5"}
    repo = repo_of(names)
    hub = make_hub(repo)
    for _ in range(2):
        machine.pull("org/m", "--local-dir", "plain").ended(0)
        assert content(machine.work / "plain") == names == content(machine.snapshot("model/org/m", repo.head))
    repo.commit({"x" * 246 + ".bin": b"newer"})
    machine.pull("org/m", "--local-dir", "plain").ended(0)
    assert (machine.work / "plain" / ("x" * 246 + ".bin")).read_bytes() == b"newer"
    machine.run("cache", "link", "org/m", "flat", "--layout", "flat").ended(0)
    machine.run("verify", "org/m").ended(0)
    assert hub.url


def test_a_name_that_is_too_long_for_the_disk_says_so(machine: Machine, make_hub: MakeHub) -> None:
    make_hub(repo_of({"/".join(["x" * 200] * 15): b"1"}))
    deep = "/".join(["d" * 240] * 5)
    done = machine.pull("org/m", "--local-dir", deep).ended(73)
    assert "too long" in done.error["message"]
    assert "nearer to the root" in done.error["hint"]


# -- entries


def test_an_entry_that_is_no_file_is_left_out(machine: Machine, make_hub: MakeHub, tiny: Repo) -> None:
    hub = make_hub(tiny)
    entry = {"type": "unknown", "path": "third_party/sub", "oid": "e" * 40, "size": 0}
    hub.fault(Fault("lying_listing", "/api/*/tree/*", edit=lambda page: [entry, *page]))
    done = machine.pull("org/tiny").ended(0)
    (warning,) = done.document["warnings"]
    assert (warning["code"], warning["file"]) == ("left-out", "'third_party/sub'")
    assert content(machine.snapshot("model/org/tiny", tiny.head)) == wanted(tiny)


@pytest.mark.parametrize("trust", ["root", "commit"])
def test_an_lfs_pointer_with_crlf(machine: Machine, make_hub: MakeHub, trust: str) -> None:
    weights = generate(300_000, 4)
    repo = repo_of({"config.json": b"{}", "w.safetensors": RepoFile.of("w.safetensors", weights, newline=b"\r\n")})
    hub = make_hub(repo)
    hub.mirror("near")
    done = machine.pull(f"org/m@{repo.head}", "--trust", trust, "--lock", "my.lock").ended(0)
    assert (done.warnings, done.model["trust"]["level"]) == (["odd-pointer"], trust)
    assert content(machine.snapshot("model/org/m", repo.head))["w.safetensors"] == weights
    machine.pull("--locked", "my.lock").ended(0)
    verified = machine.hf("cache", "verify", "org/m", "--revision", repo.head, HF_ENDPOINT=hub.url)
    assert verified.returncode == 0, verified.stdout + verified.stderr


# -- refs


@pytest.mark.parametrize("revision", ["a,b", "it's(ok)!", "v1.0-中文", "50%25#x", 'q"uo;te', "a@b"])
@pytest.mark.sampled(2)
def test_revisions_that_git_allows(machine: Machine, make_hub: MakeHub, revision: str) -> None:
    repo = repo_of({"config.json": b"{}"})
    repo.branch(revision)
    make_hub(repo)
    for words in ((f"org/m@{revision}",), ("org/m", "--revision", revision)):
        done = machine.pull(*words).ended(0)
        assert (done.model["ref"], done.model["commit"]) == (f"org/m@{revision}", repo.head)
    assert (machine.cache / "models--org--m" / "refs" / revision).read_text() == repo.head
    assert snapshot_download("org/m", revision=revision, cache_dir=machine.cache, local_files_only=True)
    machine.pull(f"org/m@{revision}", "--offline").ended(0)
    (machine.work / "models.txt").write_text(f'"org/m@{revision.replace(chr(34), chr(92) + chr(34))}"\n', "utf-8")
    assert machine.pull("-f", "models.txt").ended(0).model["ref"] == f"org/m@{revision}"
    for command in ("verify", "cache link"):
        machine.run(*command.split(), f"org/m@{revision}", *(["flat"] if "link" in command else [])).ended(0)
    machine.run("cache", "rm", f"org/m@{revision}", "--yes").ended(0)


@pytest.mark.parametrize("pair", [("feature", "feature/x"), ("feature/x", "feature"), ("a/b", "a/b/c/d")])
@pytest.mark.parametrize("when", ["before", "in one run"])
@pytest.mark.sampled(2)
def test_refs_that_are_file_and_folder_are_told_before_anything_is_fetched(
    machine: Machine, make_hub: MakeHub, pair: tuple[str, str], when: str
) -> None:
    repo = repo_of({"config.json": b"{}"})
    first, second = pair
    repo.commit({"first.txt": b"1"}, ref=f"refs/heads/{first}")
    commit = repo.commit({"second.txt": b"2"}, ref=f"refs/heads/{second}")
    hub = make_hub(repo)
    if when == "before":
        machine.pull(f"org/m@{first}").ended(0)
        hub.log.reset()
        done = machine.pull(f"org/m@{second}").ended(73)
        machine.plan(f"org/m@{second}").ended(73)
    else:
        done = machine.pull(f"org/m@{first}", f"org/m@{second}").ended(3)
    assert f"org/m@{commit}" in done.error["hint"]
    assert "second.txt" not in sent(hub)
    machine.pull(f"org/m@{commit}").ended(0)
    machine.run("cache", "rm", f"org/m@{first}", "--yes").ended(0)
    machine.pull(f"org/m@{second}").ended(0)
    assert (machine.cache / "models--org--m" / "refs" / second).read_text() == commit


def test_a_commit_with_digits_missing_or_in_upper_case(machine: Machine, make_hub: MakeHub) -> None:
    repo = repo_of({"config.json": b"{}"})
    make_hub(repo)
    done = machine.pull(f"org/m@{repo.head.upper()}").ended(0)
    assert done.model["commit"] == repo.head
    for words in ((f"org/m@{repo.head[:10]}",), (f"org/m@{repo.head[:10]}", "--offline")):
        assert "all 40 digits" in machine.pull(*words).ended(66).error["hint"]
    linked = machine.run("cache", "link", f"org/m@{repo.head[:10]}", "flat").ended(66)
    assert "all 40 digits" in linked.err


# -- a folder that holds something already


@pytest.fixture
def repo() -> Repo:
    made = repo_of({"weights": b"a file", "config.json": b"{}", "d/x": b"in a folder", "same.txt": b"same"})
    made.tag("v1")
    made.commit({"weights/part-1": b"in a folder", "d": b"a file"}, remove=("weights", "d/x"))
    return made


@pytest.fixture
def hub(make_hub: MakeHub, repo: Repo) -> LoopbackHub:
    return make_hub(repo)


def of(repo: Repo, revision: str) -> dict[str, bytes]:
    commit = repo.resolve(revision)
    assert commit is not None
    return {path: file.content.read(0, file.size) for path, file in commit.files.items()}


def put(machine: Machine, revision: str, how: str, *words: str) -> Any:
    """Make `plain` hold a revision, as `--local-dir` or as `cache link` does."""
    if how == "local":
        return machine.pull(f"org/m@{revision}", "--local-dir", "plain", *words)
    machine.pull(f"org/m@{revision}").ended(0)
    return machine.run("cache", "link", f"org/m@{revision}", "plain", "--layout", "flat", "--json", *words)


def held(machine: Machine) -> dict[str, bytes]:
    found = content(machine.work / "plain")
    found.pop(".glm-aria/metadata.json", None)
    return found


@pytest.mark.parametrize("how", ["local", "link"])
def test_a_revision_of_another_shape_finds_room(machine: Machine, hub: LoopbackHub, repo: Repo, how: str) -> None:
    for revision in ("v1", "main", "v1", "main"):
        put(machine, revision, how).ended(0)
        assert held(machine) == of(repo, revision)


@pytest.mark.parametrize("how", ["local", "link"])
@pytest.mark.parametrize("edited", ["weights", "d/x", "d/mine", "d/sub/mine"])
@pytest.mark.sampled(3)
def test_what_the_user_put_there_keeps_its_place(
    machine: Machine, hub: LoopbackHub, repo: Repo, how: str, edited: str
) -> None:
    put(machine, "v1", how).ended(0)
    mine = machine.work / "plain" / edited
    mine.parent.mkdir(exist_ok=True)
    mine.write_bytes(b"mine, not yours")
    os.utime(mine, (2**31, 2**31))
    before = held(machine)
    hub.log.reset()
    done = put(machine, "main", how).ended(73)
    assert edited in done.error["message"]
    assert held(machine) == before
    if how == "local":
        assert sent(hub) == []
    forced = put(machine, "main", how, "--force")
    # A whole folder is never replaced.
    forced.ended(0 if edited == "weights" else 73)
    assert (held(machine) == of(repo, "main")) == (edited == "weights")
    if edited != "weights":
        assert mine.read_bytes() == b"mine, not yours"


def test_what_no_note_knows_is_not_replaced(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    plain = machine.work / "plain"
    plain.mkdir()
    (plain / "config.json").write_bytes(b"mine")
    (plain / "same.txt").write_bytes(b"same")
    done = machine.pull("org/m", "--local-dir", "plain").ended(73)
    assert "'config.json'" in done.error["message"]
    assert "--force" in done.error["hint"]
    assert sent(hub) == []
    assert content(plain) == {"config.json": b"mine", "same.txt": b"same"}
    machine.plan("org/m").ended(0)
    (machine.work / "models.txt").write_text("org/m local-dir=plain\n")
    machine.pull("-f", "models.txt").ended(73)
    (plain / "config.json").rename(machine.work / "mine")
    machine.pull("org/m", "--local-dir", "plain").ended(0)
    assert held(machine) == of(repo, "main")
    (plain / "config.json").write_bytes(b"edited, and longer")
    os.utime(plain / "config.json", (2**31, 2**31))
    machine.pull("org/m", "--local-dir", "plain").ended(73)
    machine.pull("org/m", "--local-dir", "plain", "--force").ended(0)
    assert held(machine) == of(repo, "main")


@pytest.mark.parametrize("place", ["taken", "taken/below"])
def test_a_file_where_the_folder_has_to_be_is_told_before_the_first_byte(
    machine: Machine, hub: LoopbackHub, repo: Repo, place: str
) -> None:
    (machine.work / "taken").write_bytes(b"mine")
    done = machine.pull("org/m", "--local-dir", place).ended(73)
    assert done.error["message"] == f"'{machine.work / 'taken'}' is not a folder; nothing was changed"
    assert "--local-dir" in done.error["hint"]
    assert sent(hub) == []
    url = f"{hub.url}/org/m/resolve/main/config.json"
    machine.run("pull", url, "--sha256", "a" * 64, "--local-dir", place).ended(73)
    assert (machine.work / "taken").read_bytes() == b"mine"


@pytest.mark.parametrize("what", ["fifo", "link", "folder", "older than its note"])
def test_other_things_in_the_place_of_a_file(machine: Machine, hub: LoopbackHub, repo: Repo, what: str) -> None:
    machine.pull("org/m@v1", "--local-dir", "plain").ended(0)
    place = machine.work / "plain" / "same.txt"
    repo.commit({"same.txt": b"other, and newer"})
    place.unlink()
    if what == "fifo":
        os.mkfifo(place)
    elif what == "link":
        (machine.work / "precious").write_bytes(b"precious")
        place.symlink_to(machine.work / "precious")
    elif what == "folder":
        place.mkdir()
        (place / "mine").write_bytes(b"mine")
    else:
        place.write_bytes(b"mine")
        os.utime(place, (1, 1))
    for folder in ("weights", "d"):
        for path in sorted((machine.work / "plain" / folder).rglob("*"), reverse=True):
            path.unlink()
    done = machine.pull("org/m", "--local-dir", "plain").ended(73)
    assert "same.txt" in done.error["message"]
    if what == "link":
        assert (machine.work / "precious").read_bytes() == b"precious"


def test_notes_of_hf_count_and_ours_count_for_hf(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    """A newer revision over what `hf download` put there, and the other way round."""
    hf = machine.hf(
        "download", "org/m", "config.json", "same.txt", "--revision", "v1", "--local-dir", "plain", HF_ENDPOINT=hub.url
    )
    assert hf.returncode == 0, hf.stderr
    repo.commit({"config.json": b'{"newer": 1}'})
    machine.pull("org/m", "--local-dir", "plain").ended(0)
    assert held(machine) == of(repo, "main")
    repo.commit({"config.json": b'{"newest": 1}'})
    hf = machine.hf("download", "org/m", "--local-dir", "plain", HF_ENDPOINT=hub.url)
    assert hf.returncode == 0, hf.stderr
    repo.commit({"config.json": b'{"last": 1}'})
    machine.pull("org/m", "--local-dir", "plain").ended(0)
    assert held(machine) == of(repo, "main")


@pytest.mark.parametrize("lost", ["notes", "cache", "listing of the notes"])
def test_what_a_stopped_run_left_is_ours(machine: Machine, hub: LoopbackHub, repo: Repo, lost: str) -> None:
    """Files of a revision that nobody wants by now, of which the notes do not tell, or the cache."""
    machine.pull("org/m", "--local-dir", "plain").ended(0)
    notes = machine.work / "plain" / ".cache" / "huggingface"
    if lost == "notes":
        for path in (notes / "download").rglob("*.metadata"):
            path.unlink()
    elif lost == "cache":
        machine.run("cache", "rm", "org/m", "--yes").ended(0)
    else:
        for path in (notes / "trees").iterdir():
            path.unlink()
    repo.commit({"config.json": b'{"newer": 1}'})
    machine.pull("org/m", "--local-dir", "plain").ended(0)
    assert held(machine) == of(repo, "main")


def test_a_single_file_replaces_none_of_the_user(machine: Machine, make_hub: MakeHub) -> None:
    hub = make_hub(repo_of({"w.bin": b"weights", ".git": b"x", "a:b": b"colon"}))
    sha256 = {data: hashlib.sha256(data).hexdigest() for data in (b"weights", b"x", b"colon")}
    words = (f"{hub.url}/org/m/resolve/main/w.bin", "--sha256", sha256[b"weights"], "--local-dir", "out", "--json")
    (machine.work / "out").mkdir()
    (machine.work / "out" / "w.bin").write_bytes(b"mine")
    done = machine.run("pull", *words).ended(73)
    assert "w.bin" in done.error["message"]
    assert (machine.work / "out" / "w.bin").read_bytes() == b"mine"
    machine.run("pull", *words, "--force").ended(0)
    assert (machine.work / "out" / "w.bin").read_bytes() == b"weights"
    machine.run("pull", *words).ended(0)
    machine.run("pull", f"{hub.url}/org/m/resolve/main/.git", "--sha256", sha256[b"x"]).ended(80)
    colon = (f"{hub.url}/org/m/resolve/main/a%3Ab", "--sha256", sha256[b"colon"])
    machine.run("pull", *colon, "--portable").ended(80)
    machine.run("pull", *colon).ended(0)
    assert (machine.work / "a:b").read_bytes() == b"colon"


def test_a_model_cannot_write_the_notes_of_a_folder(machine: Machine, make_hub: MakeHub) -> None:
    path = ".cache/huggingface/download/config.json.metadata"
    hub = make_hub(repo_of({"config.json": b"{}", path: b"0\n0\n9999999999\n"}))
    done = machine.pull("org/m", "--local-dir", "plain").ended(80)
    assert path in done.error["message"]
    assert sent(hub) == []
    machine.pull("org/m", "--local-dir", "plain", "--exclude", ".cache/huggingface/*").ended(0)
    machine.pull("org/m").ended(0)
