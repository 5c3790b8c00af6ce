"""Clients as processes, of a server that has everything: each gets the right bytes, and the root sends none."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.hub.loopback import LoopbackHub
from tests.hub.models import many_files, tiny_model
from tests.hub.repos import Repo
from tests.machine.fixtures import wanted
from tests.machine.machine import Machine, content
from tests.serve.conftest import Users
from tests.serve.servers import Client, Server

FILES: dict[str, Any] = tiny_model(1, shard_size=1 << 20) | {"sub/deep/ü b.txt": b"deep", "empty.txt": b""}
BIG = "model-00001-of-00003.safetensors"


@pytest.fixture
def warm(machine: Machine, hub: LoopbackHub, server: Server) -> Server:
    """Another run has filled the cache that is served."""
    fill(machine, "org/m")
    hub.log.reset()
    return server


def test_hf_download_and_verify(warm: Server, users: Users, hub: LoopbackHub, repo: Repo) -> None:
    user = users(warm)
    done = user.hf("download", "org/m")
    assert done.returncode == 0, done.stdout
    assert content(user.cache / "models--org--m" / "snapshots" / repo.head) == wanted(repo)
    checked = user.hf("cache", "verify", "org/m")
    assert checked.returncode == 0, checked.stdout
    assert hub.log.requests(path="*/resolve*") == []


def test_snapshot_download_again_and_offline(warm: Server, users: Users, repo: Repo) -> None:
    user = users(warm)
    program = "import huggingface_hub as h; print(h.snapshot_download('org/m', revision='main'))"
    folder = Path(user.python(program).stdout.strip().splitlines()[-1])
    assert content(folder) == wanted(repo)
    assert user.python(program, HF_HUB_OFFLINE="1").stdout.strip().splitlines()[-1] == str(folder)


def test_curl_wget_and_aria2c(warm: Server, users: Users, repo: Repo) -> None:
    user, right = users(warm), wanted(repo)
    url = f"{user.url}/org/m/resolve/main/{BIG}"
    assert user.get(f"/org/m/resolve/main/{BIG}") == right[BIG]
    for words in (("wget", "-q", "-O", "by-wget", url), ("aria2c", "-q", "-x4", "-k1M", "-o", "by-aria2", url)):
        done = user.run(*words)
        assert done.returncode == 0, done.stdout
    assert (user.folder / "by-wget").read_bytes() == (user.folder / "by-aria2").read_bytes() == right[BIG]


def test_a_pull_whose_root_is_the_server(warm: Server, users: Users, repo: Repo, tmp_path: Path) -> None:
    other = Machine(tmp_path / "other", "hf_of_the_other", warm.url)
    done = other.pull("org/m", "--no-mirrors").ended(0)
    assert done.model["commit"] == repo.head
    assert content(other.snapshot("model/org/m", repo.head)) == wanted(repo)
    other.stop()


def test_ranges_and_conditions(warm: Server, users: Users, repo: Repo) -> None:
    user, right = users(warm), wanted(repo)[BIG]
    path = f"/org/m/resolve/main/{BIG}"
    assert user.get(path, "-r", "10-99") == right[10:100]
    assert user.get(path, "-r", "-7") == right[-7:]
    assert user.get(path, "-r", f"{len(right) - 5}-") == right[-5:]
    head = heads(user, path)
    assert head["etag"] == head["x-linked-etag"] == f'"{hashlib.sha256(right).hexdigest()}"'
    assert head["content-length"] == head["x-linked-size"] == str(len(right))
    assert head["x-repo-commit"] == repo.head
    assert not {"x-xet-hash", "link", "location"} & head.keys()
    again = heads(user, path, "-X", "GET", "-H", f"If-None-Match: {head['etag']}", "--max-time", "10")
    assert again["status"] == "304"
    assert heads(user, path, "-X", "GET", "-r", f"{len(right)}-")["content-range"] == f"bytes */{len(right)}"


def test_names_and_revisions(machine: Machine, hub: LoopbackHub, server: Server, users: Users, repo: Repo) -> None:
    tagged = repo.tag("v1")
    change = repo.pull_request(3, {"new.txt": b"new"})
    hub.add(Repo("model", "gpt2", {"config.json": b"{}"}))
    data = hub.add(Repo("dataset", "org/d", {"data/x.parquet": b"PAR1"}))
    data.commit({"default/train/0.parquet": b"PAR1PAR1"}, ref="refs/convert/parquet")
    hub.add(Repo("space", "org/s", {"app.py": b"pass"}))
    refs = (
        "org/m@v1",
        "org/m@refs/pr/3",
        "hf://gpt2",
        "datasets/org/d",
        "datasets/org/d@refs/convert/parquet",
        "spaces/org/s",
    )
    fill(machine, *refs)
    user = users(server)
    assert get_json(user, "/api/models/org/m/revision/v1")["sha"] == tagged
    assert get_json(user, "/api/models/org/m/revision/refs%2Fpr%2F3")["sha"] == change
    assert get_json(user, "/api/models/gpt2")["id"] == "gpt2"
    assert user.get("/gpt2/resolve/main/config.json") == b"{}"
    assert user.get("/datasets/org/d/resolve/main/data/x.parquet") == b"PAR1"
    assert user.get("/datasets/org/d/resolve/refs%2Fconvert%2Fparquet/default/train/0.parquet") == b"PAR1PAR1"
    assert user.get("/org/m/resolve/refs/pr/3/new.txt") == b"new"
    assert user.get("/spaces/org/s/resolve/main/app.py") == b"pass"
    told = get_json(user, "/api/models/org/m/refs?include_prs=1")
    assert {entry["ref"] for entry in told["tags"] + told["pullRequests"]} == {"refs/tags/v1", "refs/pr/3"}


def test_a_renamed_repo(machine: Machine, hub: LoopbackHub, server: Server, users: Users) -> None:
    hub.add(Repo("model", "new/name", {"config.json": b"{}"}, renamed_from=("old/name",)))
    fill(machine, "new/name")
    user = users(server)
    assert heads(user, "/api/models/old/name/tree/main?recursive=true")["location"] == (
        "/api/models/new/name/tree/main?recursive=true"
    )
    assert user.get("/old/name/resolve/main/config.json", "-L") == b"{}"
    assert user.hf("download", "old/name").returncode == 0


def test_listings(warm: Server, users: Users, repo: Repo) -> None:
    user = users(warm)
    entries = {entry["path"]: entry for entry in get_json(user, f"/api/models/org/m/tree/{repo.head}?recursive=true")}
    assert {path for path, entry in entries.items() if entry["type"] == "file"} == set(FILES)
    assert {path for path, entry in entries.items() if entry["type"] == "directory"} == {"sub", "sub/deep"}
    known = repo.commits[repo.head].files[BIG]
    assert entries[BIG] == {
        "type": "file",
        "oid": known.oid,
        "size": known.size,
        "path": BIG,
        "lfs": {"oid": known.sha256, "size": known.size, "pointerSize": len(known.pointer)},
    }
    assert {entry["path"] for entry in get_json(user, "/api/models/org/m/tree/main/sub")} == {"sub/deep"}
    assert get_json(user, "/api/models/org/m/treesize/main")["size"] == sum(map(len, wanted(repo).values()))
    about = get_json(user, "/api/models/org/m?blobs=true")
    assert {one["rfilename"]: one["size"] for one in about["siblings"]} == {k: len(v) for k, v in wanted(repo).items()}
    asked = ("--data-urlencode", "paths=sub/deep/ü b.txt", "-d", "paths=sub", "-d", "paths=absent")
    found = json.loads(user.get("/api/models/org/m/paths-info/main", *asked))
    assert [(entry["path"], entry["type"]) for entry in found] == [("sub/deep/ü b.txt", "file"), ("sub", "directory")]


def test_pages_lead_to_the_server(make_hub: Any, machine: Machine, users: Users) -> None:
    repo = Repo("model", "org/wide", many_files(2100, smallest=1, largest=9))
    make_hub(repo)
    server = Server.start(machine, "--no-mirrors", "--prefix", "/hf")
    user = users(server)
    assert server.url.endswith("/hf")
    first = heads(user, "/api/models/org/wide/tree/main?recursive=true&expand=false", "-X", "GET")
    assert first["link"].startswith(f"<{server.url}/api/models/org/wide/tree/{repo.head}?")
    program = "from huggingface_hub import HfApi; print(len([*HfApi().list_repo_tree('org/wide', recursive=True)]))"
    assert user.python(program).stdout.split()[-1] == str(2100 + 21)
    server.stop()


REFUSALS = [
    ("/org/m/resolve/main/absent.json", "404", "EntryNotFound"),
    ("/api/models/org/m/tree/main/additional_chat_templates", "404", "EntryNotFound"),
    ("/api/models/org/m/revision/absent", "404", "RevisionNotFound"),
    ("/org/m/resolve/absent/config.json", "404", "RevisionNotFound"),
    ("/api/models/org/absent", "404", "RepoNotFound"),
    ("/org/m/resolve/main/..%2F..%2Fetc%2Fpasswd", "404", "EntryNotFound"),
    ("/api/whoami-v2", "401", None),
    ("/org/m/info/refs?service=git-upload-pack", "403", None),
]


def test_refusals(warm: Server, users: Users) -> None:
    user = users(warm)
    for path, status, code in REFUSALS:
        found = heads(user, path)
        assert (found["status"], found.get("x-error-code")) == (status, code), path
        assert found["x-error-message"], path


def test_no_command_of_hf_is_answered_with_an_error(warm: Server, users: Users) -> None:
    user = users(warm)

    def errors() -> list[bytes]:
        return [line for line in user.get("/metrics").splitlines() if b'code="4' in line]

    before = errors()
    assert user.hf("download", "org/m", "config.json").returncode == 0
    assert errors() == before


def test_closed_repos_are_not_served(machine: Machine, hub: LoopbackHub, server: Server, users: Users) -> None:
    """Not even those that the operator may read, and has."""
    hub.shelf.tokens = {machine.token: {"org/gated", "org/private"}}
    hub.add(Repo("model", "org/gated", {"a.bin": b"gated"}, gated="manual"))
    hub.add(Repo("model", "org/private", {"a.bin": b"private"}, private=True))
    machine.pull("org/gated", "org/private", "--no-mirrors").ended(0)
    hub.log.reset()
    user = users(server)
    for name in ("gated", "private"):
        for path in (f"/org/{name}/resolve/main/a.bin", f"/api/models/org/{name}/tree/main"):
            assert heads(user, path)["status"] in ("401", "403", "404")
    assert user.hf("download", "org/gated").returncode != 0


def test_a_page_of_another_site_fetches_nothing(hub: LoopbackHub, server: Server, users: Users) -> None:
    """A browser says where a request comes from."""
    user = users(server)
    path = f"/org/m/resolve/main/{BIG}"
    assert heads(user, path, "-X", "GET", "-H", "Sec-Fetch-Site: cross-site")["status"] == "403"
    assert hub.log.requests() == []
    assert heads(user, path, "-H", "Sec-Fetch-Site: none")["status"] == "200"


def test_git_is_told_what_to_do(warm: Server, users: Users) -> None:
    if shutil.which("git") is None:
        pytest.skip("no git")
    user = users(warm)
    done = user.run("git", "clone", f"{user.url}/org/m", GIT_TERMINAL_PROMPT="0")
    assert done.returncode != 0
    assert "hf download" in done.stdout


def test_what_another_program_put_there_is_proven_first(
    machine: Machine, hub: LoopbackHub, server: Server, users: Users, repo: Repo
) -> None:
    machine.hf("download", "org/m", HF_ENDPOINT=hub.url)
    hub.log.reset()
    assert users(server).get(f"/org/m/resolve/main/{BIG}") == wanted(repo)[BIG]
    assert hub.log.requests(path="*/resolve*") == []


def test_the_root_is_asked_once_a_minute(warm: Server, users: Users, hub: LoopbackHub) -> None:
    user = users(warm)
    for _ in range(3):
        user.get("/org/m/resolve/main/config.json")
        heads(user, f"/org/m/resolve/main/{BIG}")
    assert len(hub.log.requests(path="/api/*")) == 1


def test_without_the_root(warm: Server, users: Users, hub: LoopbackHub, repo: Repo) -> None:
    hub.stop_face("hub")
    user = users(warm)
    found = heads(user, "/org/m/resolve/main/config.json")
    assert (found["status"], found["x-glm-aria-stale"], found["x-repo-commit"]) == ("200", "1", repo.head)
    by_commit = heads(user, f"/org/m/resolve/{repo.head}/config.json")
    assert by_commit["status"] == "200"
    assert "x-glm-aria-stale" not in by_commit
    for listing in (
        "/api/models/org/m",
        "/api/models/org/m/tree/main?recursive=true",
        "/api/models/org/m/revision/main",
    ):
        assert heads(user, listing)["x-glm-aria-stale"] == "1"
    assert user.hf("download", "org/m").returncode == 0


def test_offline(machine: Machine, hub: LoopbackHub, users: Users, repo: Repo) -> None:
    fill(machine, "org/m")
    hub.log.reset()
    server = Server.start(machine, "--offline")
    user = users(server)
    assert user.hf("download", "org/m").returncode == 0
    assert heads(user, "/api/models/org/other")["status"] == "404"
    server.stop()
    assert hub.log.requests() == []


def test_offline_nobody_is_asked_for_what_is_not_in_the_cache(
    machine: Machine, hub: LoopbackHub, users: Users, repo: Repo
) -> None:
    machine.pull("org/m", "--include", "*.json", "--no-mirrors", env={"HF_TOKEN": None}).ended(0)
    hub.log.reset()
    server = Server.start(machine, "--offline", "--no-mirrors")
    user = users(server)
    for words in ((), ("-r", "0-99")):
        refused = heads(user, f"/org/m/resolve/main/{BIG}", "-X", "GET", *words)
        assert refused["status"] == "403"
        assert "--offline" in refused["x-error-message"]
    assert user.hf("download", "org/m").returncode != 0
    assert user.hf("download", "org/m", "config.json").returncode == 0
    assert machine.run("serve", "prefetch", "org/m").code == 66
    server.stop()
    assert hub.log.requests() == []


def test_a_repo_that_was_deleted_is_served_by_commit(warm: Server, users: Users, hub: LoopbackHub, repo: Repo) -> None:
    del hub.shelf.repos["model", "org/m"]
    user = users(warm)
    assert user.get(f"/org/m/resolve/{repo.head}/{BIG}") == wanted(repo)[BIG]
    gone = heads(user, f"/org/m/resolve/main/{BIG}")
    assert gone["status"] == "404"
    assert repo.head in gone["x-error-message"]


# -- the command


def test_it_ends_in_good_order_and_says_what_it_did(machine: Machine, hub: LoopbackHub, users: Users) -> None:
    running = machine.start("serve", "--root", machine.root, "--listen", "127.0.0.1:0", "--json")
    assert running.process.stderr
    line = running.process.stderr.readline()
    assert line.startswith("export HF_ENDPOINT=")
    running.signal(15)
    done = running.end(20).ended(0)
    assert done.document["data"]["requests"] == 0


@pytest.mark.parametrize(("address", "code"), [("example.org:80", 2), ("127.0.0.1", 2), ("192.0.2.1:80", 73)])
def test_what_is_no_address_of_this_machine(machine: Machine, hub: LoopbackHub, address: str, code: int) -> None:
    done = machine.run("serve", "--root", machine.root, "--listen", address).ended(code)
    assert "--listen" in done.err


def test_a_port_that_is_taken(machine: Machine, server: Server) -> None:
    port = server.url.rpartition(":")[2]
    done = machine.run("serve", "--root", machine.root, "--listen", f"127.0.0.1:{port}").ended(73)
    assert "--listen" in done.err


def test_its_own_address_is_no_root(machine: Machine, hub: LoopbackHub, server: Server) -> None:
    machine_env = {"HF_ENDPOINT": "http://127.0.0.1:18090"}
    done = machine.run("serve", "--listen", "127.0.0.1:18090", env=machine_env).ended(2)
    assert "--root" in done.err


def fill(machine: Machine, *refs: str) -> None:
    """Put repos into the cache that is served, as somebody without an account."""
    machine.pull(*refs, "--no-mirrors", env={"HF_TOKEN": None}).ended(0)


def heads(user: Client, path: str, *words: str) -> dict[str, str]:
    """The status and the headers of the answer to a HEAD, or to what the words say."""
    method = () if "-X" in words else ("-I",)
    done = user.run("curl", "-sS", "-o", "body", "-D", "head", *method, *words, user.url + path)
    assert done.returncode == 0, done.stdout
    first, *lines = (user.folder / "head").read_text("latin-1").strip().splitlines()
    pairs = (line.partition(":") for line in lines)
    return {"status": first.split()[1]} | {name.strip().lower(): value.strip() for name, _, value in pairs}


def get_json(user: Client, path: str) -> Any:
    """The document at a path."""
    return json.loads(user.get(path))
