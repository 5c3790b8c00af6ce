"""The whole matrix of rights, with real tokens: role x namespace x call, through REST and at the registry itself."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import NotAllowedError
from orchestrator.registry.names import model_named, upload_repository
from orchestrator.serve.registry.rpc.stubs import registry_pb2 as pb
from orchestrator.signatures.bundle import MEDIA_TYPE
from tests.oci.manifests import model_pack
from tests.oci.pushing import push_blob
from tests.serve.registry.calling import calling, grpc_place
from tests.serve.registry.house import Answered, RegistryHouse, registry_house

ROLES = ("reader", "puller", "publisher", "promoter", "admin")
MAY = {
    "read": set(ROLES),
    "publish": {"publisher", "admin"},
    "promote": {"promoter", "admin"},
}
FILES = {"config.json": b"{}", "model.safetensors": b"weights"}
NO_BLOB = "sha256:" + "0" * 64
OURS, OTHERS = "team/model", "other/model"


@pytest.fixture(scope="module")
def place() -> str:
    """The place for gRPC."""
    return grpc_place()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, place: str) -> Iterator[RegistryHouse]:
    """A registry with two models in two namespaces, and somebody with each role, in all namespaces and in one."""
    with registry_house(tmp_path_factory.mktemp("rights"), "--registry-grpc", place) as house:
        house.tokens.clear()
        for role in ROLES:
            house.person(role, "--role", role)
            if role != "admin":
                house.person(f"{role}-team", "--role", role, "--namespace", "team")
        for model in (OURS, OTHERS):
            house.publish("admin", model, "1.0.0", FILES)
            answer = house.call("admin", "PUT", f"/{model}/aliases/prod", {"version": "1.0.0"}, If_None_Match="*")
            assert answer.status == 200, answer
        yield house


def may(who: str, right: str, model: str) -> bool:
    role, _, namespace = who.partition("-")
    return role in MAY[right] and (not namespace or model.startswith(f"{namespace}/"))


CALLS: dict[str, tuple[str, Callable[[RegistryHouse, str, str], Answered]]] = {
    "versions": ("read", lambda house, who, model: house.call(who, "GET", f"/{model}/versions")),
    "resolve": ("read", lambda house, who, model: house.call(who, "GET", f"/{model}/resolve?range=^1")),
    "alias": ("read", lambda house, who, model: house.call(who, "GET", f"/{model}/aliases/prod")),
    "events": ("read", lambda house, who, model: house.call(who, "GET", f"/{model}/events")),
    "follow": (
        "read",
        lambda house, who, model: house.call(who, "HEAD", f"/{model}/events", Accept="text/event-stream"),
    ),
    "diff": ("read", lambda house, who, model: house.call(who, "GET", f"/{model}/diff?from=1.0.0&to=prod")),
    "check": ("read", lambda house, who, model: house.call(who, "GET", f"/{model}/check?range=1.0.0&alias=prod")),
    "check by": (
        "read",
        lambda house, who, model: house.call(who, "POST", f"/{model}/check?range=prod&alias=prod", {"rules": ""}),
    ),
    "uploads": ("publish", lambda house, who, model: house.call(who, "GET", f"/{model}/uploads")),
    "upload": ("publish", lambda house, who, model: house.call(who, "GET", f"/{model}/uploads/{NO_BLOB}")),
    "send": (
        "publish",
        lambda house, who, model: house.call(
            who, "PATCH", f"/{model}/uploads/{NO_BLOB}?from=7", "chunk", Content_Type="application/octet-stream"
        ),
    ),
    "end upload": (
        "publish",
        lambda house, who, model: house.call(
            who, "PUT", f"/{model}/uploads/{NO_BLOB}", "blob", Content_Type="application/octet-stream"
        ),
    ),
    "publish a manifest": (
        "publish",
        lambda house, who, model: house.call(
            who, "PUT", f"/{model}/versions/9.0.0", {}, Content_Type="application/vnd.oci.image.manifest.v1+json"
        ),
    ),
    "publish": (
        "publish",
        lambda house, who, model: house.call(who, "PUT", f"/{model}/versions/9.0.0", {"digest": "sha256:" + "0" * 64}),
    ),
    "sign": (
        "publish",
        lambda house, who, model: house.call(
            who, "POST", f"/{model}/versions/1.0.0/signatures", {}, Content_Type=MEDIA_TYPE
        ),
    ),
    "move": (
        "promote",
        lambda house, who, model: house.call(
            who, "PUT", f"/{model}/aliases/prod", {"version": "1.0.0"}, If_Match='"sha256:' + "0" * 64 + '"'
        ),
    ),
    "remove": (
        "promote",
        lambda house, who, model: house.call(
            who, "DELETE", f"/{model}/aliases/prod", If_Match='"sha256:' + "0" * 64 + '"'
        ),
    ),
}
DONE = {
    "send": 409,
    "end upload": 409,
    "publish a manifest": 400,
    "publish": 404,
    "sign": 400,
    "move": 412,
    "remove": 412,
}
"""The statuses of calls that are allowed, and have nothing to do: they must leave the models as they are."""


@pytest.mark.parametrize("call", CALLS)
def test_a_token_may_call_what_its_role_allows(house: RegistryHouse, call: str) -> None:
    right, ask = CALLS[call]
    cases = list(itertools.product(house.tokens, (OURS, OTHERS)))
    assert {case: ask(house, *case).status for case in cases} == {
        (who, model): DONE.get(call, 200) if may(who, right, model) else 403 for who, model in cases
    }
    assert {ask(house, "", model).status for model in (OURS, OTHERS)} == {401}


RPC_CALLS: dict[str, tuple[str, str, Callable[[str], Any]]] = {
    "ResolveVersion": ("read", "OK", lambda model: pb.ResolveVersionRequest(model=model, wanted="^1")),
    "ListVersions": ("read", "OK", lambda model: pb.ListVersionsRequest(model=model)),
    "WatchAliases": ("read", "OK", lambda model: pb.WatchAliasesRequest(model=model)),
    "SetAlias": (
        "promote",
        "ABORTED",
        lambda model: pb.SetAliasRequest(model=model, alias="prod", wanted="1.0.0", expected=NO_BLOB),
    ),
}
"""The calls of gRPC: the right that each needs, and how one that is allowed ends."""


@pytest.mark.parametrize("call", RPC_CALLS)
def test_a_token_may_call_by_grpc_what_its_role_allows(house: RegistryHouse, place: str, call: str) -> None:
    right, done, asked = RPC_CALLS[call]
    cases = list(itertools.product(house.tokens, (OURS, OTHERS)))
    with calling(place) as client:
        assert {case: client.do(call, asked(case[1]), house.tokens[case[0]]).code for case in cases} == {
            (who, model): done if may(who, right, model) else "PERMISSION_DENIED" for who, model in cases
        }
        for token in ("", "nonsense", "gla_" + "x" * 43):
            assert client.do(call, asked(OURS), token).code == "UNAUTHENTICATED"


def test_who_watches_all_aliases_sees_those_of_what_may_be_read(house: RegistryHouse, place: str) -> None:
    with calling(place) as client:
        for who in house.tokens:
            stream, _ = client.watch(house.tokens[who], after=0)
            readable = [model for model in (OURS, OTHERS) if may(who, "read", model)]
            assert [next(stream).model for _ in readable] == readable
            stream.cancel()
        streams = {who: client.watch(house.tokens[who])[0] for who in ("reader-team", "reader")}
        for model in (OTHERS, OURS):
            made = house.call("admin", "PUT", f"/{model}/aliases/seen", {"version": "1.0.0"}, If_None_Match="*")
            assert made.status == 200, made
        assert next(streams["reader-team"]).model == OURS
        assert [next(streams["reader"]).model for _ in range(2)] == [OTHERS, OURS]


def test_lists_have_what_somebody_may_read_alone(house: RegistryHouse) -> None:
    for who in house.tokens:
        readable = [model for model in (OTHERS, OURS) if may(who, "read", model)]
        assert house.call(who, "GET", "/models").value == {"models": readable}
        events = house.call(who, "GET", "/events").value["events"]
        assert {event["model"] for event in events} == set(readable)
    for path in ("/models", "/events"):
        refused = house.call("", "GET", path)
        assert (refused.status, refused.value["code"]) == (401, "not-allowed"), refused
        assert "registry login" in refused.value["hint"]
    assert house.call("", "GET", "/events", Accept="text/event-stream").status == 401
    refused = house.call("reader-team", "GET", f"/{OTHERS}/versions")
    assert refused.value["hint"] == (
        "it is reader in team; to read there takes one of the roles reader, puller, publisher, promoter, admin"
    )


def test_who_publishes_moves_the_aliases_for_development_and_no_others(house: RegistryHouse) -> None:
    for alias, who in itertools.product(("dev", "dev-ann"), ("publisher", "publisher-team", "promoter", "admin")):
        path, body = f"/{OURS}/aliases/{alias}", {"version": "1.0.0"}
        made = house.call(who, "PUT", path, body, If_None_Match="*")
        assert made.status == 200, made
        assert house.call(who, "DELETE", path, If_Match=str(made.tag)).status == 200
    for alias, who in (
        *itertools.product(("dev", "dev-ann"), ("reader", "puller")),
        *itertools.product(("development", "devel", "DEV", "x-dev", "prod"), ("publisher", "publisher-team")),
    ):
        refused = house.call(who, "PUT", f"/{OURS}/aliases/{alias}", {"version": "1.0.0"}, If_None_Match="*")
        assert refused.status == 403, (alias, who, refused)
    assert house.call("publisher-team", "PUT", f"/{OTHERS}/aliases/dev", body, If_None_Match="*").status == 403


@pytest.mark.parametrize("model", [OURS, OTHERS])
def test_a_token_of_the_registry_opens_what_the_table_gives(house: RegistryHouse, model: str) -> None:
    for who in house.tokens:
        mine, others = (upload_repository(name, model_named(model)) for name in (who, "somebody"))
        every = "pull,push,delete,*"
        given = house.granted(
            who, *(f"repository:{name}:{every}" for name in (model, mine, others)), "registry:catalog:*"
        )
        expected: dict[str, tuple[str, ...]] = {}
        if may(who, "read", model):
            expected[model] = ("pull",)
        if may(who, "publish", model):
            expected[mine] = ("pull", "push")
        if who == "admin":
            expected["catalog"] = ("*",)
        assert given == expected, who
    assert house.granted("", f"repository:{model}:pull,push") == {}


@pytest.mark.parametrize("model", [OURS, OTHERS])
def test_the_registry_itself_lets_nobody_do_more(house: RegistryHouse, model: str) -> None:
    """Each role, past the facade: read, and change a tag, add a blob, delete."""
    before = {tag: house.client("admin", model).head(tag) for tag in ("1.0.0", "prod")}
    other = model_pack({"x": b"x"})
    for who in (*house.tokens, ""):
        client = house.client(who, model)
        if who and may(who, "read", model):
            assert client.head("prod") == before["prod"]
        else:
            with pytest.raises(NotAllowedError):
                client.head("prod")
        for change in (
            lambda client=client: client.put("prod", json.dumps(other).encode(), other["mediaType"]),
            lambda client=client: client.put("1.0.0", json.dumps(other).encode(), other["mediaType"]),
            lambda client=client: push_blob(client, b"a blob"),
            lambda client=client: client.delete(str(before["prod"])),
            lambda client=client: client.delete("prod"),
        ):
            with pytest.raises(NotAllowedError):
                change()
    assert {tag: house.client("admin", model).head(tag) for tag in before} == before


def test_uploads_are_their_publishers_alone(house: RegistryHouse) -> None:
    house.upload("publisher", OURS, {"mine": b"mine"})
    name = upload_repository("publisher", model_named(OURS))
    assert house.client("publisher", name).head("upload") is not None
    for who in (*(set(house.tokens) - {"publisher"}), ""):
        with pytest.raises(NotAllowedError):
            house.client(who, name).head("upload")
        with pytest.raises(NotAllowedError):
            push_blob(house.client(who, name), b"a blob")


def test_who_may_not_read_a_model_cannot_mount_its_blobs(house: RegistryHouse) -> None:
    secret = {"secret": b"a secret of others"}
    house.publish("admin", OTHERS, "2.0.0", secret)
    client = house.client("publisher-team", upload_repository("publisher-team", model_named(OURS)))
    digest = push_blob(house.client("admin", upload_repository("admin", model_named(OTHERS))), secret["secret"])
    with pytest.raises(NotAllowedError):
        client.mount(digest, OTHERS)
    assert client.blob_size(digest) is None


def test_a_revoked_token_gets_nothing_more(house: RegistryHouse) -> None:
    house.person("leaver", "--role", "publisher")
    assert house.call("leaver", "GET", f"/{OURS}/uploads").status == 200
    house.machine.run("token", "revoke", "leaver").ended(0)
    assert house.call("leaver", "GET", f"/{OURS}/uploads").status == 401
    answer = house.ask("leaver", "GET", f"/registry/token?service={house.below.host}&scope=repository:{OURS}:pull")
    assert answer.status == 401


def test_tokens_are_for_our_registry_alone(house: RegistryHouse) -> None:
    for query in ("service=other", "", f"service={house.below.host}&scope=nonsense"):
        assert house.ask("admin", "GET", f"/registry/token?{query}").status == 400
    assert house.ask("admin", "POST", "/registry/token", {}).status == 405


def test_skopeo_logs_in_with_a_token_of_ours(house: RegistryHouse, tmp_path: Path) -> None:
    def skopeo(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["skopeo", *words], capture_output=True, text=True, timeout=60, check=False)

    place = f"docker://{house.below.host}/{OURS}"
    reader, publisher = (f"--creds=x:{house.tokens[who]}" for who in ("reader", "publisher"))
    read = skopeo("inspect", "--raw", "--tls-verify=false", reader, f"{place}:prod")
    assert read.returncode == 0, read.stderr
    (tmp_path / "copy").mkdir()
    kept = skopeo("copy", "--src-tls-verify=false", f"--src-creds=x:{house.tokens['reader']}", f"{place}:prod",
                  f"dir:{tmp_path / 'copy'}")  # fmt: skip
    assert kept.returncode == 0, kept.stderr
    pushed = skopeo("copy", "--dest-tls-verify=false", f"--dest-creds=x:{house.tokens['publisher']}",
                    f"dir:{tmp_path / 'copy'}", f"{place}:prod")  # fmt: skip
    assert pushed.returncode != 0
    assert skopeo("delete", "--tls-verify=false", publisher, f"{place}:prod").returncode != 0
