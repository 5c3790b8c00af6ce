"""The registry's gRPC calls, through a real server and by a real client."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from orchestrator.serve.access.tokens import fresh_token
from orchestrator.serve.registry.rpc.stubs import registry_pb2 as pb
from tests.hub.certificates import make_certificate
from tests.machine.machine import until
from tests.serve.registry.calling import Called, Calling, calling, ended, grpc_place, shown
from tests.serve.registry.house import RegistryHouse, registry_house

REPOSITORY = Path(__file__).parents[3]
GUIDE = REPOSITORY / "docs/guides/registry-team.md"
MODEL = "team/model"
RULES = """
[[gate]]
models = "team/*"
aliases = "safe"
formats = "safe"
"""


@pytest.fixture(scope="module")
def place() -> str:
    return grpc_place()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, place: str) -> Iterator[RegistryHouse]:
    folder = tmp_path_factory.mktemp("rpc")
    (folder / "gates.toml").write_text(RULES)
    env, log = {"GLM_ARIA_SERVE_REGISTRY_RULES": str(folder / "gates.toml")}, folder / "access.log"
    with registry_house(folder, "--registry-grpc", place, "--access-log", str(log), env=env) as house:
        for role in ("reader", "publisher", "promoter"):
            house.person(role, "--role", role)
        house.publish("publisher", MODEL, "1.0.0", {"config.json": b"{}"})
        house.publish("publisher", MODEL, "1.1.0", {"config.json": b"[]"})
        house.publish("publisher", MODEL, "2.0.0-rc.1", {"pytorch_model.bin": b"pickle"})
        yield house
        written = b"".join(path.read_bytes() for path in (log, *house.machine.folder.rglob("trail.jsonl")))
        assert not [name for name, token in house.tokens.items() if token.encode() in written]


@pytest.fixture
def client(house: RegistryHouse, place: str) -> Iterator[Calling]:
    with calling(place) as client:
        yield client


def resolve(client: Calling, house: RegistryHouse, wanted: str = "") -> Called:
    return client.do("ResolveVersion", pb.ResolveVersionRequest(model=MODEL, wanted=wanted), house.tokens["reader"])


def move(client: Calling, house: RegistryHouse, who: str = "promoter", **asked: Any) -> Called:
    return client.do("SetAlias", pb.SetAliasRequest(model=MODEL, **asked), house.tokens[who])


def test_a_version_is_found_as_by_rest(client: Calling, house: RegistryHouse) -> None:
    for wanted in ("^1", "1.0.0", "", ">=2.0.0-0"):
        found = resolve(client, house, wanted).value
        told = house.call("reader", "GET", f"/{MODEL}/resolve?range={wanted}").value
        assert (found.model, found.version, list(found.aliases)) == (told["name"], told["version"], told["aliases"])
        assert (found.digest, found.commit, found.repository) == (told["digest"], told["commit"], told["repository"])
        assert resolve(client, house, found.digest).value == resolve(client, house, found.commit).value == found
    absent = resolve(client, house, "^9")
    assert (absent.code, dict(absent.trailers)["error-code"]) == ("NOT_FOUND", "not-found")
    assert "1.1.0" in dict(absent.trailers)["error-hint"]
    for long in ("x" * 60_000, "\N{OGHAM SPACE MARK}" * 20_000):
        assert resolve(client, house, long).code == "NOT_FOUND"


def test_versions_are_listed_in_pages(client: Calling, house: RegistryHouse) -> None:
    def page(**asked: Any) -> Any:
        return client.do("ListVersions", pb.ListVersionsRequest(model=MODEL, **asked), house.tokens["reader"]).value

    whole, told = page(), house.call("reader", "GET", f"/{MODEL}/versions").value
    assert [(one.version, one.digest, one.size, one.published_by) for one in whole.versions] == [
        (one["version"], one["digest"], one["size"], one["who"]) for one in told["versions"]
    ]
    assert abs(whole.versions[0].published_at.ToNanoseconds() / 1e9 - told["versions"][0]["at"]) < 0.001
    assert whole.next_page_token == ""
    first = page(page_size=2)
    last = page(page_size=2, page_token=first.next_page_token)
    assert [*first.versions, *last.versions] == list(whole.versions)
    assert last.next_page_token == ""
    for wrong in ({"page_size": -1}, {"page_token": "x"}):
        asked = pb.ListVersionsRequest(model=MODEL, **wrong)
        assert client.do("ListVersions", asked, house.tokens["reader"]).code == "INVALID_ARGUMENT"


def test_an_alias_moves_for_who_names_what_it_stands_for(client: Calling, house: RegistryHouse) -> None:
    one, two = (resolve(client, house, wanted).value.digest for wanted in ("1.0.0", "1.1.0"))
    made = move(client, house, alias="stable", wanted="1.0.0", must_not_exist=True)
    assert (made.value.digest, list(made.value.aliases)) == (one, ["stable"])
    again = move(client, house, alias="stable", wanted="1.1.0", must_not_exist=True)
    late = move(client, house, alias="stable", wanted="1.1.0", expected=two)
    for lost in (again, late):
        assert (lost.code, lost.details) == ("ABORTED", [one])
        assert "something else" in lost.said
    assert move(client, house, alias="stable", wanted="^1", expected=one).value.version == "1.1.0"
    assert house.call("reader", "GET", f"/{MODEL}/aliases/stable").tag == f'"{two}"'
    event = house.call("reader", "GET", f"/{MODEL}/events").value["events"][-1]
    assert (event["who"], event["deed"], event["before"], event["after"]) == ("promoter", "move", one, two)
    refused = move(client, house, alias="safe", wanted="2.0.0-rc.1", must_not_exist=True)
    assert (refused.code, dict(refused.trailers)["error-code"]) == ("FAILED_PRECONDITION", "gate")
    assert "pytorch_model.bin" in refused.said


@pytest.mark.parametrize(
    ("method", "asked", "code"),
    [
        ("SetAlias", pb.SetAliasRequest(model=MODEL, alias="a", wanted="1.0.0"), "INVALID_ARGUMENT"),
        ("SetAlias", pb.SetAliasRequest(model=MODEL, alias="a", must_not_exist=True), "INVALID_ARGUMENT"),
        (
            "SetAlias",
            pb.SetAliasRequest(model=MODEL, alias="a", wanted="1.0.0", expected="sha256:x"),
            "INVALID_ARGUMENT",
        ),
        (
            "SetAlias",
            pb.SetAliasRequest(
                model=MODEL, alias="a", wanted="1.0.0", expected="sha256:" + "0" * 64, must_not_exist=True
            ),
            "INVALID_ARGUMENT",
        ),
        (
            "SetAlias",
            pb.SetAliasRequest(model=MODEL, alias="1.x", wanted="1.0.0", must_not_exist=True),
            "INVALID_ARGUMENT",
        ),
        ("SetAlias", pb.SetAliasRequest(model=MODEL, alias="a", wanted="^9", must_not_exist=True), "NOT_FOUND"),
        ("ResolveVersion", pb.ResolveVersionRequest(model="Team/Model"), "INVALID_ARGUMENT"),
        ("ResolveVersion", pb.ResolveVersionRequest(model="uploads/x"), "INVALID_ARGUMENT"),
        ("ResolveVersion", pb.ResolveVersionRequest(model="team/absent"), "NOT_FOUND"),
        ("ListVersions", pb.ListVersionsRequest(model="team/absent"), "NOT_FOUND"),
        ("WatchAliases", pb.WatchAliasesRequest(model="team"), "INVALID_ARGUMENT"),
    ],
)
def test_what_makes_no_sense_is_refused(
    client: Calling, house: RegistryHouse, method: str, asked: Any, code: str
) -> None:
    assert client.do(method, asked, house.tokens["promoter"]).code == code


def test_of_eight_who_move_an_alias_by_grpc_and_rest_one_wins_and_seven_are_told(
    client: Calling, house: RegistryHouse
) -> None:
    one, two = (resolve(client, house, wanted).value.digest for wanted in ("1.0.0", "1.1.0"))
    assert move(client, house, alias="raced", wanted="1.0.0", must_not_exist=True).code == "OK"

    def by_grpc() -> tuple[str, list[str]]:
        found = move(client, house, alias="raced", wanted="1.1.0", expected=one)
        return found.code, found.details

    def by_rest() -> tuple[str, list[str]]:
        path = f"/{MODEL}/aliases/raced"
        found = house.call("promoter", "PUT", path, {"version": "1.1.0"}, If_Match=f'"{one}"')
        return {200: "OK", 412: "ABORTED"}[found.status], found.value.get("details", [])

    writers: list[Callable[[], tuple[str, list[str]]]] = [by_grpc, by_rest] * 4
    with ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(lambda write: write(), writers))
    assert sorted(ends) == [("ABORTED", [two])] * 7 + [("OK", [])]
    moves = [
        event for event in house.call("reader", "GET", f"/{MODEL}/events").value["events"] if event["name"] == "raced"
    ]
    assert [(event["before"], event["after"]) for event in moves] == [("", one), (one, two)]


def test_who_watches_sees_a_move_by_either_way(client: Calling, house: RegistryHouse) -> None:
    one, two = (resolve(client, house, wanted).value.digest for wanted in ("1.0.0", "1.1.0"))
    path = f"/{MODEL}/aliases/seen"
    every, begin = client.watch(house.tokens["reader"])
    named, _ = client.watch(house.tokens["reader"], model=MODEL, aliases=["seen"])
    house.publish("publisher", MODEL, "0.9.0", {"config.json": b"0"})
    assert move(client, house, alias="other", wanted="1.0.0", must_not_exist=True).code == "OK"
    assert house.call("promoter", "PUT", path, {"version": "1.0.0"}, If_None_Match="*").status == 200
    assert move(client, house, alias="seen", wanted="1.1.0", expected=one).code == "OK"
    assert house.call("promoter", "DELETE", path, If_Match=f'"{two}"').status == 200
    seen = [next(named) for _ in range(3)]
    assert [(move.alias, move.before, move.after, move.version, move.moved_by) for move in seen] == [
        ("seen", "", one, "1.0.0", "promoter"),
        ("seen", one, two, "1.1.0", "promoter"),
        ("seen", two, "", "", "promoter"),
    ]
    assert [next(every).alias for _ in range(4)] == ["other", "seen", "seen", "seen"]
    numbers = [begin, *(move.number for move in seen)]
    assert all(one < two for one, two in itertools.pairwise(numbers))
    behind, number = client.watch(house.tokens["reader"], model=MODEL, aliases=["seen"], after=seen[0].number)
    assert (number, next(behind)) == (seen[0].number, seen[1])
    for stream in (every, named, behind):
        stream.cancel()


def test_a_stream_ends_with_the_token_that_it_showed(client: Calling, house: RegistryHouse) -> None:
    token = house.tokens[house.person("leaver", "--role", "reader")]
    stream, _ = client.watch(token, model=MODEL)
    house.machine.run("token", "revoke", "leaver").ended(0)
    with pytest.raises(grpc.RpcError) as raised:
        next(stream)
    assert ended(raised.value).code == "UNAUTHENTICATED"
    assert client.do("ResolveVersion", pb.ResolveVersionRequest(model=MODEL), token).code == "UNAUTHENTICATED"


def test_calls_are_logged_and_counted_as_requests_are(client: Calling, house: RegistryHouse) -> None:
    (log,) = house.machine.folder.parent.glob("access.log")
    asked = pb.ResolveVersionRequest(model=MODEL, wanted="^9")
    assert client.do("ResolveVersion", asked, house.tokens["reader"]).code == "NOT_FOUND"
    path = "/glm_aria.registry.v1.ModelRegistry/ResolveVersion"

    def is_logged() -> bool:
        lines = map(json.loads, log.read_text().splitlines())
        told = [
            (line["client"], line["caller"], line["face"], line["status"]) for line in lines if line["path"] == path
        ]
        return ("127.0.0.1", "reader", "grpc", 404) in told

    # The client has its answer before the server has ended the call.
    assert until(is_logged, 30)
    assert re.search(r'glm_aria_requests_total\{code="404",face="grpc"\} [1-9]', metrics(house))


def metrics(house: RegistryHouse) -> str:
    text = house.ask("reader", "GET", "/metrics").value
    assert isinstance(text, bytes)
    return text.decode()


def test_health_answers_all_and_reflection_who_has_a_token(house: RegistryHouse, place: str) -> None:
    name = "glm_aria.registry.v1.ModelRegistry"
    with grpc.insecure_channel(place) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        assert (
            health.Check(health_pb2.HealthCheckRequest(service=name)).status == health_pb2.HealthCheckResponse.SERVING
        )
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        for token, code in (("", "UNAUTHENTICATED"), (house.tokens["reader"], "OK")):
            try:
                (answer,) = reflection.ServerReflectionInfo(iter([asked]), metadata=shown(token))
                assert name in {one.name for one in answer.list_services_response.service}
                found = "OK"
            except grpc.RpcError as error:
                found = ended(error).code
            assert found == code


def follows_as_the_guide_says(house: RegistryHouse, folder: Path, port: str) -> None:
    """Run the program of the guide against a server with the certificate in this folder."""
    (block,) = re.findall(r"^```python follow.py\n(.*?)^```$", GUIDE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    (folder / "follow.py").write_text(block.replace("registry.lab:8092", f"localhost:{port}"))
    (folder / "ca.pem").write_bytes((folder / "cert.pem").read_bytes())
    for name in ("registry_pb2", "registry_pb2_grpc"):
        (folder / f"{name}.py").write_text(f"from orchestrator.serve.registry.rpc.stubs.{name} import *\n")
    path = f"/{MODEL}/aliases/prod"
    made = house.call("promoter", "PUT", path, {"version": "1.0.0"}, If_None_Match="*")
    env = os.environ | {"GLM_ARIA_REGISTRY_TOKEN": house.tokens["reader"], "PYTHONPATH": str(REPOSITORY)}
    words = (sys.executable, "follow.py")
    with subprocess.Popen(words, cwd=folder, env=env, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout
        try:
            assert program.stdout.readline().split() == ["1.0.0", made.value["digest"]]
            moved = house.call("promoter", "PUT", path, {"version": "1.1.0"}, If_Match=str(made.tag))
            assert program.stdout.readline().split() == ["1.1.0", moved.value["digest"]]
        finally:
            program.kill()


def test_other_machines_are_answered_over_tls_with_the_certificate_of_the_server(
    house: RegistryHouse, tmp_path: Path
) -> None:
    certificate, key = make_certificate(tmp_path)
    place = grpc_place()
    port = place.rpartition(":")[2]
    words = (
        "--listen",
        "127.0.0.1:0",
        "--no-mirrors",
        "--registry",
        house.below.url,
        "--registry-grpc",
        f"0.0.0.0:{port}",
    )
    refused = house.machine.run("serve", "--root", house.hub.url, *words, "--json").ended(2)
    assert refused.error["hint"].endswith(f"--registry-grpc 127.0.0.1:{port}")
    running = house.machine.start(
        "serve", "--root", house.hub.url, *words, "--cert", str(certificate), "--key", str(key)
    )
    assert running.process.stdout
    assert "https://" in running.process.stdout.readline()
    credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
    with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
        found = Calling(channel).do("ResolveVersion", pb.ResolveVersionRequest(model=MODEL), house.tokens["reader"])
        # Other machines reach it, so a token is needed by who is on this one, too.
        assert Calling(channel).do("ListVersions", pb.ListVersionsRequest(model=MODEL)).code == "UNAUTHENTICATED"
    assert found.value.version == "1.1.0"
    follows_as_the_guide_says(house, tmp_path, port)
    with calling(place) as plain:
        assert (
            plain.do("ResolveVersion", pb.ResolveVersionRequest(model=MODEL), house.tokens["reader"]).code
            == "UNAVAILABLE"
        )
    with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
        client = Calling(channel)
        wrong = [client.do("ResolveVersion", pb.ResolveVersionRequest(model=MODEL), fresh_token()) for _ in range(12)]
        assert [one.code for one in wrong] == ["UNAUTHENTICATED"] * 10 + ["RESOURCE_EXHAUSTED"] * 2
        stream, _ = client.watch(house.tokens["reader"])
        running.signal(2)
        with pytest.raises(grpc.RpcError) as raised:
            next(stream)
        assert (ended(raised.value).code, ended(raised.value).said.partition(";")[0]) == (
            "UNAVAILABLE",
            "this server ends",
        )
    assert f"the registry answers gRPC at 0.0.0.0:{port}" in running.end(20).ended(0).err


def test_grpc_is_for_a_server_with_a_registry(house: RegistryHouse) -> None:
    words = ("serve", "--root", house.hub.url, "--listen", "127.0.0.1:0", "--registry-grpc", grpc_place(), "--json")
    assert json.loads(house.machine.run(*words).ended(2).out)["errors"][0]["hint"] == "name it: --registry URL"
