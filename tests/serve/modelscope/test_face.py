"""A server that is asked in ModelScope's words, with the Hub beside it: the same blobs, and no name of the other's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.hub.content import generate, sha256_of
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub, Site
from tests.hub.modelscope import foreign_id
from tests.hub.repos import Repo
from tests.machine.fixtures import MakeHub
from tests.machine.machine import Machine
from tests.serve.conftest import Users, assert_unseen
from tests.serve.servers import CANARY, Server

BIG = "sub/model.safetensors"
FILES = {"config.json": b"{}\n", BIG: generate(3 << 20, 5), "empty.txt": b"", "größe.txt": b"g"}


@pytest.fixture
def scope(hub: LoopbackHub) -> Site:
    return hub.modelscope()


@pytest.fixture
def server(machine: Machine, hub: LoopbackHub, scope: Site) -> Iterator[Server]:
    """A server that knows both worlds. No token has reached either when it has ended."""
    made = Server.start(machine, "--mirror", f"modelscope+{scope.url}")
    yield made
    if made.running.process.poll() is None:
        made.stop()
    assert_unseen(machine, hub)


def ask(server: Server, path: str, query: dict[str, str] | None = None, status: int = 200) -> Any:
    """The answer to somebody whose token nobody else must see."""
    headers = {"Authorization": f"Bearer {CANARY}", "Cookie": f"m_session_id={CANARY}"}
    answer = requests.get(f"{server.url}/api/v1/{path}", params=query, headers=headers, timeout=30)
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert (body["Success"], body["Code"] == 200) == (status == 200, status == 200)
    return body["Data"] if status == 200 else body


def listed(server: Server, name: str = "org/m", revision: str = "master", **query: str) -> dict[str, Any]:
    asked = {"Revision": revision, "Recursive": "True"} | query
    files = ask(server, f"models/{name}/repo/files", asked)["Files"]
    return {entry["Path"]: entry for entry in files}


def get(server: Server, path: str, **headers: str) -> requests.Response:
    return requests.get(
        f"{server.url}/api/v1/models/org/m/repo",
        params={"Revision": "master", "FilePath": path},
        headers=headers,
        timeout=60,
    )


def test_each_file_is_listed_with_its_sha256(server: Server, repo: Repo) -> None:
    found = listed(server)
    assert {path for path, entry in found.items() if entry["Type"] == "tree"} == {"sub"}
    files = {path: entry for path, entry in found.items() if entry["Type"] == "blob"}
    for path, file in repo.commits[repo.head].files.items():
        told = files.pop(path)
        assert (told["Size"], told["IsLFS"], told["Name"]) == (file.size, file.sha256 is not None, path.split("/")[-1])
        assert told["Sha256"] == digest(repo, path)
        assert told["Revision"] == foreign_id(repo.head)
    assert files == {}


def test_a_folder_a_level_and_what_is_not_there(server: Server) -> None:
    assert set(listed(server, Root="sub")) == {BIG}
    assert set(listed(server, Recursive="False")) == {"config.json", "sub", "empty.txt", "größe.txt", *extra(server)}
    assert listed(server, Root="none") == {}
    assert ask(server, "models/org/none/repo/files", status=404)["Code"] == 10010205001
    assert ask(server, "models/org/m/repo/files", {"Revision": "none"}, 404)["Code"] == 10010205002
    assert get(server, "none.txt").json()["Code"] == 10010205004
    assert get(server, "none.txt").status_code == 404


def extra(server: Server) -> set[str]:
    """What the loopback adds to each repo."""
    return {path for path in listed(server, Recursive="False") if path not in FILES and path != "sub"}


def test_facts_revisions_and_commits(server: Server, repo: Repo) -> None:
    repo.tag("v1")
    facts = ask(server, "models/org/m")
    assert (facts["Path"], facts["Name"]) == ("org", "m")
    told = ask(server, "models/org/m/revisions")["RevisionMap"]
    assert [one["Revision"] for one in told["Branches"]] == ["master"]
    assert [one["Revision"] for one in told["Tags"]] == ["v1"]
    assert ask(server, "models/org/m/commits", {"Ref": "v1"})["Commit"][0]["Id"] == foreign_id(repo.head)
    assert ask(server, "repos/internalAccelerationInfo") == {"InternalRegionQueryAddress": ""}


def test_bytes_ranges_and_headers(server: Server) -> None:
    whole = get(server, BIG)
    assert whole.content == FILES[BIG]
    name = sha256(FILES[BIG])
    # By which modelscope-hub verifies a file that it has no listing of.
    assert (whole.headers["X-Linked-ETag"], whole.headers["ETag"]) == (f'"{name}"',) * 2
    part = get(server, BIG, Range="bytes=5-9")
    assert (part.status_code, part.content) == (206, FILES[BIG][5:10])
    assert get(server, "config.json").headers["X-Linked-ETag"].strip('"') == sha256(b"{}\n")
    assert get(server, "größe.txt").content == b"g"
    assert get(server, "empty.txt").content == b""
    url = f"{server.url}/models/org/m/resolve/master/{BIG}"
    assert requests.head(url, timeout=30).headers["Content-Length"] == str(len(FILES[BIG]))
    assert requests.get(url, timeout=30).content == FILES[BIG]


def test_a_blob_comes_once_and_lies_once_for_both_faces(
    server: Server, hub: LoopbackHub, users: Users, machine: Machine, repo: Repo
) -> None:
    assert get(server, BIG).content == FILES[BIG]
    assert users(server).get(f"/org/m/resolve/main/{BIG}") == FILES[BIG]
    hub.log.settle()
    assert hub.log.bytes_sent(file=BIG) <= 1.02 * len(FILES[BIG])
    name = sha256(FILES[BIG])
    assert len([path for path in machine.cache.glob("models--*/blobs/*") if path.name == name]) == 1
    assert (machine.cache / f"models--org--m/snapshots/{foreign_id(repo.head)}/{BIG}").read_bytes() == FILES[BIG]


def test_the_hub_sends_what_modelscope_lists(server: Server, hub: LoopbackHub) -> None:
    hub.fault(Fault("status", status=503), face="modelscope-cdn")
    assert get(server, BIG).content == FILES[BIG]
    assert hub.log.bytes_sent(face="cdn", file=BIG) == len(FILES[BIG])


def test_a_name_means_what_its_own_catalog_lists(machine: Machine, make_hub: MakeHub, users: Users) -> None:
    """Whoever takes a name on one site gets nobody who asks for it at the other."""
    at_hub = Repo("model", "org/m", {"config.json": b"hub", BIG: generate(3 << 20, 1)})
    at_scope = Repo("model", "org/m", {"config.json": b"scope", BIG: generate(3 << 20, 2)})
    only_hub, only_scope = Repo("model", "org/hub", {"a": b"a"}), Repo("model", "org/scope", {"a": b"a"})
    for repo in (at_hub, at_scope):
        repo.tag("v1")
    hub = make_hub(at_hub, only_hub)
    scope = hub.modelscope(repos=[at_scope, only_scope])
    server = Server.start(machine, "--mirror", f"modelscope+{scope.url}")
    user = users(server)
    for path in ("config.json", BIG):
        for revision in ("v1", at_hub.head):
            assert sha256(user.get(f"/org/m/resolve/{revision}/{path}")) == digest(at_hub, path)
        for revision in ("v1", foreign_id(at_scope.head)):
            answer = requests.get(f"{server.url}/models/org/m/resolve/{revision}/{path}", timeout=60)
            assert sha256(answer.content) == digest(at_scope, path)
    ask(server, "models/org/hub/repo/files", status=404)
    assert requests.get(f"{server.url}/api/models/org/scope", timeout=30).status_code == 404
    # Nor by a commit of the other's, or when nobody can be asked any more.
    ask(server, "models/org/m/repo/files", {"Revision": at_hub.head}, 404)
    assert (
        requests.get(f"{server.url}/api/models/org/m/revision/{foreign_id(at_scope.head)}", timeout=30).status_code
        == 404
    )
    server.stop()
    offline = Server.start(machine, "--mirror", f"modelscope+{scope.url}", "--offline")
    assert listed(offline, "org/m", "v1")["config.json"]["Sha256"] == digest(at_scope, "config.json")
    ask(offline, "models/org/m/repo/files", {"Revision": at_hub.head}, 404)
    info = requests.get(f"{offline.url}/api/models/org/m/revision/v1", timeout=30)
    assert info.json()["sha"] == at_hub.head
    # Readers of the cache find the Hub's alone under a name.
    assert {path.name for path in (machine.cache / "models--org--m/refs").iterdir()} == {"v1"}
    assert (machine.cache / "models--org--m/refs/v1").read_text() == at_hub.head
    offline.stop()


def test_a_dataset_in_pages(server: Server, hub: LoopbackHub) -> None:
    repo = hub.add(Repo("dataset", "org/rows", {f"d/f{n}.csv": b"%d" % n for n in range(25)}))
    # Where modelscope up to 1.37 writes the number of the dataset, it writes what it was told.
    number = ask(server, "datasets/org/rows")["Id"]
    found: list[dict[str, Any]] = []
    for page in (1, 2, 3):
        query = {"Revision": "master", "Root": "/", "Recursive": "True", "PageNumber": str(page), "PageSize": "10"}
        found += ask(server, f"datasets/{number}/repo/tree", query)["Files"]
    files = {entry["Path"]: entry["Sha256"] for entry in found if entry["Type"] == "blob"}
    assert files == {path: digest(repo, path) for path in repo.commits[repo.head].files}
    query = {"Source": "SDK", "Revision": "master", "FilePath": "d/f7.csv", "View": "False"}
    assert requests.get(f"{server.url}/api/v1/datasets/org/rows/repo", params=query, timeout=30).content == b"7"


def test_what_is_known_while_modeloffline(server: Server, hub: LoopbackHub, repo: Repo) -> None:
    repo.tag("v1")
    for revision in ("master", "v1"):
        listed(server, revision=revision)
    assert get(server, BIG).content == FILES[BIG]
    port = int(server.url.rpartition(":")[2])
    hub.fault(Fault("status", status=503), face="modelscope")
    server.stop()
    again = Server.start(
        server.machine, "--mirror", f"modelscope+{hub.faces['modelscope'].url}", "--listen", f"127.0.0.1:{port}"
    )
    answer = requests.get(f"{again.url}/api/v1/models/org/m/repo/files?Revision=v1&Recursive=True", timeout=60)
    assert answer.headers["X-GLM-Aria-Stale"] == "1"
    assert {one["Path"] for one in answer.json()["Data"]["Files"]} == set(listed(again))
    names = {one["Revision"] for one in ask(again, "models/org/m/revisions")["RevisionMap"]["Branches"]}
    assert names == {"master", "v1"}
    assert get(again, BIG).content == FILES[BIG]
    again.stop()


def test_readers_of_the_cache_are_not_disturbed(server: Server, hub: LoopbackHub, machine: Machine, repo: Repo) -> None:
    """What ModelScope's clients brought is whole for glm-aria, and the Hub's model of that name is what it was."""
    for path in listed(server):
        get(server, path)
    assert machine.run("verify", "org/m").ended(0)
    assert "org/m" in machine.run("cache", "ls").ended(0).out
    assert machine.hf("cache", "ls").returncode == 0
    assert machine.hf("download", "org/m", HF_HUB_OFFLINE="1").returncode != 0
    assert machine.hf("download", "org/m", HF_ENDPOINT=hub.url).returncode == 0
    checked = machine.hf("cache", "verify", "org/m", HF_ENDPOINT=hub.url)
    assert checked.returncode == 0, checked.stdout
    assert machine.hf("download", "org/m", HF_HUB_OFFLINE="1").stdout.strip().endswith(repo.head)
    assert machine.run("verify", "org/m").ended(0)


def test_a_model_of_modelscopes_is_fetched_ahead_and_let_go(server: Server, hub: LoopbackHub, machine: Machine) -> None:
    machine.run("serve", "prefetch", "ms://org/m").ended(0)
    hub.log.reset()
    assert get(server, BIG).content == FILES[BIG]
    assert hub.log.bytes_sent(file=BIG) == 0
    machine.run("serve", "evict", "ms://org/m").ended(0)
    assert not list(machine.cache.glob(f"models--*/blobs/{sha256(FILES[BIG])}"))
    assert get(server, BIG).content == FILES[BIG]


def test_a_token_of_modelscopes_is_no_token_of_the_hubs(machine: Machine, make_hub: MakeHub) -> None:
    """Where the Hub is asked about callers' own tokens, one for ModelScope goes to neither."""
    closed = Repo("model", "org/closed", {"a": b"a"}, gated="manual")
    hub = make_hub(closed, tokens={machine.token: {"org/closed"}, CANARY: {"org/closed"}}, opens=["org/closed"])
    scope = hub.modelscope()
    server = Server.start(machine, "--mirror", f"modelscope+{scope.url}", "--gated", "hub")
    ask(server, "models/org/closed/repo/files", status=404)
    server.stop()
    assert_unseen(machine, hub)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest(repo: Repo, path: str) -> str:
    file = repo.commits[repo.head].files[path]
    return file.sha256 or sha256_of(file.content)


def test_organizations_with_another_name(machine: Machine, hub: LoopbackHub, users: Users) -> None:
    """The alias says where else to look for the bytes of a name, and not what the name means."""
    scope = hub.modelscope(aliases={"OrgMS/m": "org/m", "org/m": "nobody/has-it"})
    machine.own_settings('[aliases]\n"org/m" = "OrgMS/m"\n')
    server = Server.start(machine, "--mirror", f"modelscope+{scope.url}")
    hub.fault(Fault("status", status=503), face="modelscope-cdn")
    answer = requests.get(f"{server.url}/models/OrgMS/m/resolve/master/{BIG}", timeout=60)
    assert answer.content == FILES[BIG]
    assert users(server).get(f"/org/m/resolve/main/{BIG}") == FILES[BIG]
    hub.log.settle()
    assert hub.log.bytes_sent(file=BIG) <= 1.02 * len(FILES[BIG])
    server.stop()
    assert not (machine.cache / "models--OrgMS--m" / "refs").exists()
