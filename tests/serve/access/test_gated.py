"""Closed repos: who gets them from a server, what the root hears, and what nobody else learns."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hub.content import generate
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.machine.fixtures import MakeHub, wanted
from tests.machine.machine import Machine, content, until
from tests.serve.access.tokens import NewTokens
from tests.serve.conftest import Users, assert_secret
from tests.serve.servers import Client, Server

ALICE, BOB, STRANGER = "hf_canary_of_alice_0123456", "hf_canary_of_bob_012345678", "hf_canary_of_nobody_01234"
SECRET = generate(3 << 20, 5)
FILES = {"model.safetensors": SECRET, "README.md": b"closed"}
OPEN = Repo("model", "team/open", {"README.md": b"open"})
GATED = Repo("model", "team/gated", FILES, gated="manual")
PRIVATE = Repo("model", "team/private", {"model.safetensors": generate(3 << 20, 6)}, private=True)
# Somebody lists the digest of a closed file in a repo of his own.
THIEF = Repo("model", "thief/open", {"stolen.safetensors": SECRET})
CLOSED = {GATED.name, PRIVATE.name}
BIG = "/resolve/main/model.safetensors"


@pytest.fixture
def hub(make_hub: MakeHub, machine: Machine) -> LoopbackHub:
    tokens = {machine.token: CLOSED, ALICE: {GATED.name}, BOB: set()}
    return make_hub(OPEN, GATED, PRIVATE, THIEF, tokens=tokens)


@pytest.fixture
def tokens(machine: Machine) -> NewTokens:
    return NewTokens(machine)


@pytest.fixture(autouse=True)
def _secrets(machine: Machine, hub: LoopbackHub, tokens: NewTokens) -> Iterator[None]:
    """No token of ours leaves the server, and a user's token goes to the root alone, for the headers of a file."""
    yield
    for running in machine.running:
        if running.process.poll() is None:
            running.signal(2)
            running.end(20)
    assert_secret(machine, hub, *tokens.texts)
    for token in (ALICE, BOB, STRANGER):
        seen = [one for one in hub.log.requests() if token in str(one.headers) + one.query + one.path]
        assert all(one.face == "hub" and one.method == "HEAD" and "/resolve/" in one.path for one in seen)
        assert not any(token in result.out + result.err for result in machine.results)
        assert not any(token.encode() in path.read_bytes() for path in machine.files())
    assert hub.log.tokens(face="cdn") == set()


def start(machine: Machine, gated: str, *words: str) -> Server:
    return Server.start(machine, "--no-mirrors", "--gated", gated, *words)


def code(user: Client, path: str, token: str = "", *words: str) -> int:
    shown = ("-H", f"Authorization: Bearer {token}") if token else ()
    done = user.run("curl", "-s", "-o", "got", "-w", "%{http_code}", *shown, *words, user.url + path)
    return int(done.stdout)


def told(user: Client, path: str, token: str = "") -> tuple[str, str]:
    """The code and the message of a refusal, as huggingface_hub reads them."""
    shown = ("-H", f"Authorization: Bearer {token}") if token else ()
    lines = user.run("curl", "-s", "-D", "-", "-o", "/dev/null", *shown, user.url + path).stdout.splitlines()
    found = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return found.get("x-error-code", ""), found.get("x-error-message", "")


def test_off_gives_closed_repos_to_nobody(machine: Machine, hub: LoopbackHub, users: Users, tokens: NewTokens) -> None:
    token = tokens.make("all", "--restricted")
    user = users(start(machine, "off"))
    assert code(user, f"/{GATED.name}{BIG}", token) == 403
    assert code(user, f"/{PRIVATE.name}{BIG}", token) == 404
    assert code(user, f"/{GATED.name}{BIG}", ALICE) == 403
    assert hub.log.tokens() == set()


@pytest.mark.parametrize("role", ["reader", "puller", "publisher", "promoter", "admin"])
def test_a_right_gives_them_and_its_absence_does_not(
    machine: Machine, hub: LoopbackHub, users: Users, tokens: NewTokens, role: str
) -> None:
    with_right = tokens.make("with", "--role", role, "--restricted")
    without = tokens.make("without", "--role", role)
    if role != "admin":
        outside = tokens.make("outside", "--role", role, "--restricted", "--namespace", "other")
    machine.pull(GATED.name).ended(0)
    user = users(start(machine, "right", "--auth", "tokens"))
    assert code(user, f"/{GATED.name}{BIG}", with_right) == 200
    assert (user.folder / "got").read_bytes() == SECRET
    assert code(user, f"/{GATED.name}{BIG}", without) == 403
    assert code(user, f"/{GATED.name}{BIG}") == 401
    if role != "admin":
        assert code(user, f"/{GATED.name}{BIG}", outside) == 403
    assert code(user, f"/{OPEN.name}/resolve/main/README.md", without) == (403 if role == "reader" else 200)


def test_hf_downloads_what_its_token_has_a_right_to(
    machine: Machine, hub: LoopbackHub, users: Users, tokens: NewTokens
) -> None:
    token = tokens.make("team", "--restricted", "--namespace", "team")
    server = start(machine, "right", "--auth", "tokens")
    for repo in (GATED, PRIVATE):
        user = users(server)
        done = user.hf("download", repo.name, HF_TOKEN=token)
        assert done.returncode == 0, done.stdout
        folder = user.cache / repo.name.replace("team/", "models--team--")
        assert content(folder / "snapshots" / repo.head) == wanted(repo)
    # The operator's token went to the root, and to no address of a file's bytes.
    assert hub.log.tokens(face="hub") == {machine.token}


def test_who_has_no_right_to_a_private_repo_does_not_learn_that_there_is_one(
    machine: Machine, hub: LoopbackHub, users: Users, tokens: NewTokens
) -> None:
    with_right, without = tokens.make("with", "--restricted"), tokens.make("without")
    reader = tokens.make("reader", "--role", "reader")
    user = users(start(machine, "right", "--auth", "tokens"))
    assert code(user, f"/api/models/{PRIVATE.name}", with_right) == 200
    for path in ("", "/revision/main", "/revision/none", "/tree/main", "/refs"):
        private, missing = (told(user, f"/api/models/{name}{path}", without) for name in (PRIVATE.name, "team/none"))
        assert (private[0], private[1].replace(PRIVATE.name, "team/none")) == missing
    private, missing = (told(user, f"/api/models/{name}", reader) for name in (PRIVATE.name, "team/none"))
    assert (private[0], private[1].replace(PRIVATE.name, "team/none")) == missing


def test_the_users_own_token_is_checked_at_the_root_and_kept_for_a_while(
    machine: Machine, hub: LoopbackHub, users: Users
) -> None:
    server = start(machine, "hub")
    alice = users(server)
    done = alice.hf("download", GATED.name, HF_TOKEN=ALICE)
    assert done.returncode == 0, done.stdout
    assert content(alice.cache / "models--team--gated" / "snapshots" / GATED.head) == wanted(GATED)
    asked = [one for one in hub.log.requests() if ALICE in str(one.headers)]
    assert len(asked) == 1
    user = users(server)
    assert code(user, f"/{GATED.name}{BIG}", BOB) == 403
    assert code(user, f"/{GATED.name}{BIG}", STRANGER) == 403
    assert code(user, f"/{GATED.name}{BIG}") == 403
    assert code(user, f"/{PRIVATE.name}{BIG}", ALICE) == 404
    assert code(user, f"/{OPEN.name}/resolve/main/README.md") == 200


def test_hf_says_what_the_root_says(machine: Machine, hub: LoopbackHub, users: Users) -> None:
    done = users(start(machine, "hub")).hf("download", GATED.name, HF_TOKEN=BOB)
    assert done.returncode != 0
    assert "gated" in done.stdout


def test_a_token_of_each_kind_in_one_header(
    machine: Machine, hub: LoopbackHub, users: Users, tokens: NewTokens
) -> None:
    ours = tokens.make("laptop")
    user = users(start(machine, "hub", "--auth", "tokens"))
    assert code(user, f"/{GATED.name}{BIG}", ALICE) == 401
    assert code(user, f"/{GATED.name}{BIG}", ours) == 403
    assert code(user, f"/{GATED.name}{BIG}", f"{ours}+{BOB}") == 403
    done = user.hf("download", GATED.name, HF_TOKEN=f"{ours}+{ALICE}")
    assert done.returncode == 0, done.stdout


def test_the_root_is_not_asked_without_end_about_wrong_tokens(machine: Machine, hub: LoopbackHub, users: Users) -> None:
    user = users(start(machine, "hub"))
    codes = [code(user, f"/{GATED.name}{BIG}", f"{STRANGER}{number}") for number in range(12)]
    assert codes == [403] * 10 + [429] * 2
    assert code(user, f"/{GATED.name}{BIG}", ALICE) == 429
    asked = [one for one in hub.log.requests() if STRANGER in str(one.headers)]
    assert len(asked) == 10


def test_a_closed_blob_is_given_under_no_other_name(
    machine: Machine, hub: LoopbackHub, users: Users, tokens: NewTokens
) -> None:
    token = tokens.make("with", "--restricted")
    user = users(start(machine, "right"))
    assert code(user, f"/{GATED.name}{BIG}", token) == 200
    hub.log.reset()
    # The other repo lists it, and the root has it there: so it comes from the root, and not from the closed repo.
    assert until(lambda: code(user, "/thief/open/resolve/main/stolen.safetensors") == 200)
    hub.log.settle()
    assert any(one.path.startswith("/thief/open/resolve/") for one in hub.log.requests(face="hub"))


def test_without_a_token_of_the_operators_nothing_closed_can_be_fetched(machine: Machine, hub: LoopbackHub) -> None:
    done = machine.run(
        "serve", "--root", hub.url, "--json", "--listen", "127.0.0.1:0", "--gated", "right", env={"HF_TOKEN": None}
    )
    assert "hf auth login" in done.ended(2).error["hint"]


def test_a_token_that_may_not_be_sent_is_told(machine: Machine, hub: LoopbackHub) -> None:
    done = machine.run("serve", "--json", "--listen", "127.0.0.1:0", "--gated", "hub", env={"HF_ENDPOINT": hub.url})
    assert "your token is not sent" in done.ended(2).error["message"]


def test_nobody_hears_of_a_private_repo_from_what_is_remembered(
    machine: Machine, hub: LoopbackHub, users: Users, tokens: NewTokens
) -> None:
    """Where the root cannot be asked, the server knows it from before."""
    with_right, without = tokens.make("with", "--restricted"), tokens.make("without")
    machine.pull(PRIVATE.name).ended(0)

    def assert_unheard(server: Server, *shown: str) -> None:
        user = users(server)
        for path in ("", "/revision/main", "/revision/none", "/tree/main", "/refs"):
            for token in shown:
                private, missing = (
                    told(user, f"/api/models/{name}{path}", token) for name in (PRIVATE.name, "team/none")
                )
                assert (private[0], private[1].replace(PRIVATE.name, "team/none")) == missing

    offline = start(machine, "off", "--offline")
    assert_unheard(offline, "", without)
    assert code(users(offline), f"/{PRIVATE.name}{BIG}", with_right) == 200
    offline.stop()
    online = start(machine, "right", "--auth", "tokens")
    hub.fault(Fault("status", "*", status=503), face="hub")
    # Also when it is in memory, since somebody who may have it asked for it.
    assert code(users(online), f"/{PRIVATE.name}{BIG}", with_right) == 200
    assert_unheard(online, without)
