"""The whole matrix of rights through a real server: role x action x namespace x the right to closed repos."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.machine.machine import Machine
from tests.serve.access.tokens import NewTokens
from tests.serve.servers import Server

FILE = {"a.txt": b"a"}
OPEN, GATED = Repo("model", "team/open", FILE), Repo("model", "team/gated", FILE, gated="auto")
ELSEWHERE, CLOSED = Repo("model", "other/open", FILE), Repo("model", "other/gated", FILE, gated="auto")
FETCHERS = {"puller", "publisher", "promoter", "admin"}
ROLES = ("reader", *sorted(FETCHERS))
ACTIONS = {
    "read": "/{}/resolve/main/a.txt",
    "list": "/api/models/{}/tree/main",
    "ask": "/api/models/{}/refs",
    "command": "/api/admin/state",
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[tuple[str, str, bool], str]]]:
    """A server that has all files, and a token of each kind: by role, namespace, and right to closed repos."""
    machine = Machine(tmp_path_factory.mktemp("matrix") / "machine", "hf_of_the_operator")
    repos = (OPEN, GATED, ELSEWHERE, CLOSED)
    with LoopbackHub(repos, tokens={machine.token: {repo.name for repo in repos}}) as hub:
        machine.root = hub.url
        machine.pull(*(repo.name for repo in repos), "--no-mirrors").ended(0)
        maker, tokens = NewTokens(machine), {}
        for role, namespace, is_restricted in itertools.product(ROLES, ("", "team"), (False, True)):
            if role == "admin" and namespace:
                continue
            words = ["--role", role, *(("--namespace", namespace) if namespace else ())]
            name = f"{role}-{namespace or 'all'}-{is_restricted}"
            tokens[role, namespace, is_restricted] = maker.make(name, *words, *(["--restricted"] * is_restricted))
        server = Server.start(machine, "--no-mirrors", "--auth", "tokens", "--gated", "right")
        yield server, tokens
        server.stop()
        machine.stop()


def status(server: Server, path: str, token: str) -> int:
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def expected(role: str, namespace: str, action: str, repo: Repo, *, is_restricted: bool) -> int:
    if action == "command":
        return 200 if role == "admin" else 403
    is_inside = not namespace or repo.name.startswith(f"{namespace}/")
    may = is_inside and (is_restricted or not repo.gated) and (action != "ask" or role in FETCHERS)
    return 200 if may else 403


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("role", ROLES)
def test_a_token_opens_what_its_kind_allows(
    house: tuple[Server, dict[tuple[str, str, bool], str]], role: str, action: str
) -> None:
    server, tokens = house
    mine = [(namespace, is_restricted) for kind, namespace, is_restricted in tokens if kind == role]
    cases = list(itertools.product(mine, (OPEN, GATED, ELSEWHERE, CLOSED)))
    found = {
        (kind, repo.name): status(server, ACTIONS[action].format(repo.name), tokens[role, *kind])
        for kind, repo in cases
    }
    assert found == {
        ((namespace, is_restricted), repo.name): expected(role, namespace, action, repo, is_restricted=is_restricted)
        for (namespace, is_restricted), repo in cases
    }


@pytest.mark.parametrize("action", ACTIONS)
def test_nothing_opens_without_a_token(house: tuple[Server, dict[tuple[str, str, bool], str]], action: str) -> None:
    server, _ = house
    assert {status(server, ACTIONS[action].format(repo.name), "") for repo in (OPEN, GATED, ELSEWHERE, CLOSED)} == {401}
