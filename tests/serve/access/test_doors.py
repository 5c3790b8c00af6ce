"""Servers that ask for tokens: what real clients get with and without them, and that no token leaks."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.serve.access.tokens import hashed
from tests.clients.installs import python_of
from tests.hub.loopback import LoopbackHub
from tests.hub.models import tiny_model
from tests.hub.repos import Repo
from tests.machine.fixtures import MakeHub, wanted
from tests.machine.machine import Machine, content
from tests.serve.access.tokens import NewTokens
from tests.serve.conftest import Users, assert_unseen
from tests.serve.servers import Client, Server

FILES: dict[str, Any] = tiny_model(1, shard_size=1 << 20)
REPOS = [
    Repo("model", "team/one", FILES),
    Repo("model", "team/two", {"a.txt": b"two"}),
    Repo("model", "other/m", FILES),
]
JSON = "/api/models/team/one"


@pytest.fixture
def hub(make_hub: MakeHub) -> LoopbackHub:
    return make_hub(*REPOS)


@pytest.fixture
def tokens(machine: Machine) -> NewTokens:
    return NewTokens(machine)


@pytest.fixture
def server(machine: Machine, hub: LoopbackHub, tokens: NewTokens) -> Iterator[Server]:
    """A server that demands tokens. None of them is seen anywhere when it has ended."""
    tokens.make("first")
    made = Server.start(machine, "--no-mirrors", "--auth", "tokens")
    yield made
    made.stop()
    assert_unseen(machine, hub, *tokens.texts)


def status(user: Client, path: str, token: str = "", *words: str) -> tuple[int, dict[str, str]]:
    """The status and headers of an answer."""
    shown = ("-H", f"Authorization: Bearer {token}") if token else ()
    done = user.run("curl", "-s", "-D", "-", "-o", "/dev/null", *shown, *words, user.url + path)
    head, *lines = done.stdout.strip().splitlines()
    return int(head.split()[1]), {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}


def test_hf_with_a_token_gets_everything_and_a_name(server: Server, users: Users, tokens: NewTokens) -> None:
    user, token = users(server), tokens.make("laptop")
    done = user.hf("download", "team/one", HF_TOKEN=token)
    assert done.returncode == 0, done.stdout
    assert content(user.cache / "models--team--one" / "snapshots" / REPOS[0].head) == wanted(REPOS[0])
    who = user.hf("auth", "whoami", HF_TOKEN=token)
    assert who.returncode == 0, who.stdout
    assert "laptop" in who.stdout
    assert json.loads(user.get("/api/whoami-v2", "-H", f"Authorization: Bearer {token}"))["orgs"] == []


def test_hf_without_one_is_told_what_to_do(server: Server, users: Users) -> None:
    user = users(server)
    done = user.hf("download", "team/one")
    assert done.returncode != 0
    assert "without a token of this server" in done.stdout
    assert user.hf("auth", "whoami").returncode != 0
    code, headers = status(user, JSON)
    assert (code, headers["www-authenticate"]) == (401, "Bearer")


def test_modelscope_with_a_token_and_without(
    machine: Machine, hub: LoopbackHub, users: Users, tokens: NewTokens
) -> None:
    scope = hub.modelscope()
    token = tokens.make("laptop", "--namespace", "team")
    server = Server.start(machine, "--mirror", f"modelscope+{scope.url}", "--auth", "tokens")
    user = users(server)
    client = str(Path(sys.executable).with_name("modelscope"))

    def get(name: str, shown: str) -> tuple[int, str]:
        where = ("--local-dir", name.replace("/", "-"))
        done = user.run(client, "download", name, *where, MODELSCOPE_ENDPOINT=server.url, MODELSCOPE_API_TOKEN=shown)
        return done.returncode, done.stdout

    assert get("team/one", token)[0] == 0
    assert content(user.folder / "team-one") == wanted(REPOS[0])
    for name, shown in (("other/m", token), ("team/one", ""), ("team/one", "gla_" + "x" * 43)):
        code, told = get(name, shown)
        assert code != 0, told
        assert shown not in told or not shown
    server.stop()
    assert_unseen(machine, hub, *tokens.texts)


def test_a_token_is_obeyed_as_soon_as_it_is_made_and_revoked(
    server: Server, users: Users, machine: Machine, tokens: NewTokens
) -> None:
    user, token = users(server), tokens.make("short")
    assert status(user, JSON, token)[0] == 200
    machine.run("token", "revoke", "short").ended(0)
    assert status(user, JSON, token)[0] == 401
    listed = machine.run("token", "ls", "--json").ended(0).document["data"]["tokens"]
    assert [entry["name"] for entry in listed] == ["first"]


def test_the_last_use_is_shown_and_a_token_never_again(
    server: Server, users: Users, machine: Machine, tokens: NewTokens
) -> None:
    user, token = users(server), tokens.make("laptop", "--role", "reader", "--namespace", "team", "--expires", "2d")
    listed = machine.run("token", "ls", "--json").ended(0).document["data"]["tokens"]
    (entry,) = (entry for entry in listed if entry["name"] == "laptop")
    assert (entry["role"], entry["namespaces"], entry["last_used"]) == ("reader", ["team"], None)
    assert entry["expires"] - entry["created"] == 2 * 86400
    status(user, JSON, token)
    server.stop()
    shown = machine.run("token", "ls").ended(0)
    assert "laptop" in shown.out
    listed = machine.run("token", "ls", "--json").ended(0).document["data"]["tokens"]
    assert next(entry["last_used"] for entry in listed if entry["name"] == "laptop") % 86400 == 0


def test_a_reader_gets_what_is_cached_and_causes_no_traffic(
    server: Server, users: Users, machine: Machine, hub: LoopbackHub, tokens: NewTokens
) -> None:
    reader = tokens.make("reader", "--role", "reader")
    machine.pull("team/one", "config.json").ended(0)
    user, name = users(server), "model.safetensors.index.json"
    hub.log.reset()
    assert status(user, "/team/one/resolve/main/config.json", reader)[0] == 200
    code, headers = status(user, f"/team/one/resolve/main/{name}", reader)
    assert (code, "'reader' (reader)" in headers["x-error-message"]) == (403, True)
    for path in ("/api/models/team/two", "/api/models/team/one/refs", "/api/models/no/such"):
        assert status(user, path, reader)[0] == 403
    assert hub.log.requests() == []
    done = user.hf("download", "team/one", "config.json", HF_TOKEN=reader)
    assert done.returncode == 0, done.stdout
    assert hub.log.requests() == []


def test_outside_of_its_namespaces_a_token_learns_nothing(
    server: Server, users: Users, hub: LoopbackHub, tokens: NewTokens
) -> None:
    user, token = users(server), tokens.make("ci", "--namespace", "team/o*")
    assert status(user, JSON, token)[0] == 200
    hub.log.reset()
    answers = {name: status(user, f"/api/models/{name}", token) for name in ("other/m", "other/none", "team/two")}
    for name, (code, headers) in answers.items():
        assert code == 403
        assert headers["x-error-message"] == f"{name} is not served for the token 'ci' (puller)"
        assert "x-repo-commit" not in headers
    assert hub.log.requests() == []


def test_git_and_wget_are_told_what_they_need(server: Server, users: Users, tokens: NewTokens) -> None:
    user, token = users(server), tokens.make("laptop")
    if shutil.which("git"):
        done = user.run("git", "clone", f"{user.url}/team/one", GIT_TERMINAL_PROMPT="0", LC_ALL="C")
        assert done.returncode != 0
        assert "git is not served here" in done.stdout
    url = f"{user.url}/team/one/resolve/main/config.json"
    assert "401" in user.run("wget", "-O", "got", url).stdout
    login = ("--auth-no-challenge", "--user=me", f"--password={token}")
    assert user.run("wget", "-q", "-O", "got", *login, url).returncode == 0
    assert (user.folder / "got").read_bytes() == wanted(REPOS[0])["config.json"]


def test_who_guesses_is_slowed_down_and_its_neighbours_are_not(server: Server, users: Users, tokens: NewTokens) -> None:
    user, token = users(server), tokens.make("laptop")
    codes = [status(user, JSON, f"gla_{number:043}")[0] for number in range(12)]
    assert codes == [401] * 10 + [429] * 2
    assert status(user, JSON, token)[0] == 200


def test_a_server_for_this_machine_needs_no_token_and_knows_them(
    machine: Machine, hub: LoopbackHub, users: Users, tokens: NewTokens
) -> None:
    token = tokens.make("laptop")
    server = Server.start(machine, "--no-mirrors")
    user = users(server)
    assert status(user, JSON)[0] == 200
    assert status(user, "/api/whoami-v2")[0] == 401
    assert status(user, "/api/whoami-v2", token)[0] == 200
    assert status(user, JSON, "gla_" + "x" * 43)[0] == 401
    server.stop()
    assert_unseen(machine, hub, *tokens.texts)


@pytest.mark.parametrize("words", [("--listen", "0.0.0.0:0"), ("--auth", "tokens")])
def test_where_a_token_is_needed_there_has_to_be_one(
    machine: Machine, hub: LoopbackHub, words: tuple[str, ...]
) -> None:
    done = machine.run("serve", "--root", hub.url, "--no-mirrors", "--json", "--listen", "127.0.0.1:0", *words)
    assert done.ended(2).error["hint"].startswith("make one: glm-aria token create")


def test_beyond_this_machine_with_tokens_and_openly_only_when_said(
    machine: Machine, hub: LoopbackHub, users: Users, tokens: NewTokens
) -> None:
    token = tokens.make("laptop")
    server = Server.start(machine, "--no-mirrors", "--listen", "0.0.0.0:0")
    assert not server.url.startswith("http://0.0.0.0")
    user = users(server)
    assert status(user, JSON)[0] == 401
    assert status(user, JSON, token)[0] == 200
    server.stop()
    server = Server.start(machine, "--no-mirrors", "--listen", "0.0.0.0:0", "--auth", "none")
    assert status(users(server), JSON)[0] == 200
    assert "everybody who can reach" in server.stop().err
    assert_unseen(machine, hub, *tokens.texts)


def test_tokens_of_a_file_that_others_may_read_are_refused(
    machine: Machine, hub: LoopbackHub, tokens: NewTokens
) -> None:
    tokens.make("laptop")
    (path,) = (path for path in machine.files() if path.name == "tokens.json")
    path.chmod(0o644)
    done = machine.run("serve", "--root", hub.url, "--json", "--listen", "127.0.0.1:0", "--auth", "tokens").ended(74)
    assert "tokens.json" in done.error["message"]


@pytest.mark.parametrize("version", ["hf-0.36", "hf-1.10", "hf-1.22"])
def test_older_versions_of_hf_send_it_too(server: Server, users: Users, tokens: NewTokens, version: str) -> None:
    user, token = users(server), tokens.make("laptop")
    program = str(python_of(version).with_name("hf"))
    refused = user.run(program, "download", "team/two", HF_TOKEN="")
    assert refused.returncode != 0
    assert "without a token of this server" in refused.stdout
    done = user.run(program, "download", "team/two", HF_TOKEN=token)
    assert done.returncode == 0, done.stdout
    assert content(user.cache / "models--team--two" / "snapshots" / REPOS[1].head) == wanted(REPOS[1])


def test_transformers_with_a_token(server: Server, users: Users, tokens: NewTokens) -> None:
    user, token = users(server), tokens.make("laptop")
    program = "import transformers as t; print(t.AutoTokenizer.from_pretrained('team/one')('a b').input_ids)"
    done = user.python(program, HF_TOKEN=token)
    assert done.returncode == 0, done.stdout
    assert user.python(program, HF_TOKEN="", HF_HOME=str(user.folder / "new")).returncode != 0


def test_no_token_is_in_a_page_a_metric_or_a_log(
    machine: Machine, hub: LoopbackHub, users: Users, tokens: NewTokens
) -> None:
    puller, admin = tokens.make("laptop"), tokens.make("boss", "--role", "admin")
    log = machine.folder / "access.log"
    server = Server.start(machine, "--no-mirrors", "--auth", "tokens", "--access-log", str(log))
    user = users(server)
    wrong = "gla_" + "w" * 43
    for token in (puller, admin, wrong):
        status(user, "/team/one/resolve/main/config.json", token)
        status(user, f"{JSON}?token={token}", token)
    shown = b""
    for path in ("/", "/metrics", "/-/events", "/api/admin/state"):
        user.run(
            "curl", "-sN", "--max-time", "2", "-o", "page", "-H", f"Authorization: Bearer {admin}", user.url + path
        )
        shown += (user.folder / "page").read_bytes()
    server.stop()
    assert b"laptop" in shown + log.read_bytes()
    for token in (puller, admin, wrong, user.env["HF_TOKEN"]):
        assert token.encode() not in shown + log.read_bytes()
        assert hashed(token).encode() not in shown + log.read_bytes()
    assert_unseen(machine, hub, *tokens.texts, wrong)


def test_no_token_is_kept_as_it_is(machine: Machine, tokens: NewTokens) -> None:
    made = tokens.make("laptop")
    assert Path(machine.hf_home, "glm-aria", "tokens.json").stat().st_mode & 0o777 == 0o600
    assert not any(made.encode() in path.read_bytes() for path in machine.files())
