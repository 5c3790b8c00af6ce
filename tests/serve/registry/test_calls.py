"""The registry's REST calls and the commands that make them, through a real server."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.oci.manifests import model_pack
from tests.serve.registry.house import RegistryHouse, registry_house

FILES = {"config.json": b'{"architectures": ["A"]}', "model.safetensors": b"weights", "tokenizer.json": b"{}"}
MODEL = "team/model"
RULES = """
[[gate]]
models = "team/*"
aliases = "prod"
config_keys = ["architectures"]
tokenizer = "unchanged"
formats = "safe"
max_size = "1 MB"
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryHouse]:
    folder = tmp_path_factory.mktemp("calls")
    (folder / "gates.toml").write_text(RULES)
    with registry_house(folder, env={"GLM_ARIA_SERVE_REGISTRY_RULES": str(folder / "gates.toml")}) as house:
        for role in ("reader", "publisher", "promoter"):
            house.person(role, "--role", role)
        house.publish("publisher", MODEL, "1.0.0", FILES)
        house.publish("publisher", MODEL, "1.1.0", FILES | {"model.safetensors": b"better weights"})
        house.publish("publisher", MODEL, "2.0.0-rc.1", FILES | {"pytorch_model.bin": b"pickle"})
        made = house.call("promoter", "PUT", f"/{MODEL}/aliases/prod", {"version": "1.1.0"}, If_None_Match="*")
        assert made.status == 200, made
        yield house


def digest(house: RegistryHouse, wanted: str) -> str:
    found: str = house.call("reader", "GET", f"/{MODEL}/resolve?range={wanted}").value["digest"]
    return found


def test_an_alias_moves_by_its_etag(house: RegistryHouse) -> None:
    path, one, two = f"/{MODEL}/aliases/stable", digest(house, "1.0.0"), digest(house, "1.1.0")
    body = {"version": "1.0.0"}
    assert house.call("promoter", "PUT", path, body).status == 428
    assert house.call("promoter", "PUT", path, body, If_Match=f'"{two}"').status == 412
    made = house.call("promoter", "PUT", path, body, If_None_Match="*")
    assert (made.status, made.tag, made.value["aliases"]) == (200, f'"{one}"', ["stable"])
    assert house.call("reader", "GET", path).tag == made.tag
    late = house.call("promoter", "PUT", path, {"version": "1.1.0"}, If_None_Match="*")
    assert (late.status, late.tag, late.value["details"]) == (412, made.tag, [one])
    moved = house.call("promoter", "PUT", path, {"version": "^1"}, If_Match=str(made.tag))
    assert (moved.status, moved.value["version"]) == (200, "1.1.0")
    assert house.call("promoter", "DELETE", path, If_Match=str(made.tag)).status == 412
    assert house.call("promoter", "DELETE", path, If_Match=str(moved.tag)).status == 200
    assert house.call("reader", "GET", path).status == 404
    for wrong in ('"nonsense"', "*", one):
        assert house.call("promoter", "PUT", path, body, If_Match=wrong).status == 400


def test_a_version_is_published_once(house: RegistryHouse) -> None:
    path, known = f"/{MODEL}/versions/1.0.0", digest(house, "1.0.0")
    assert house.call("publisher", "PUT", path, {"digest": known}).status == 200
    other = house.upload("publisher", MODEL, {"config.json": b"[]"})
    refused = house.call("publisher", "PUT", path, {"digest": other})
    assert (refused.status, refused.value["code"], refused.value["details"]) == (409, "conflict", [known])
    wrong: tuple[object, ...] = ({}, {"digest": 3}, {"digest": "sha256:x"}, [], "x")
    for body in wrong:
        assert house.call("publisher", "PUT", path, body).status == 400
    assert house.call("publisher", "PUT", f"/{MODEL}/versions/1.x", {"digest": known}).status == 400


@pytest.mark.parametrize(
    "files",
    [
        [("a", b"1"), ("a", b"2")],
        [("a", b"1"), ("a/b", b"2")],
        [("../up", b"1")],
        [],
    ],
    ids=["twice", "file and folder", "above", "none"],
)
def test_a_version_that_nobody_could_pull_is_not_published(
    house: RegistryHouse, files: list[tuple[str, bytes]]
) -> None:
    contents = (content for _, content in files)
    digest = house.upload_manifest("publisher", MODEL, model_pack(files), *contents)
    refused = house.call("publisher", "PUT", f"/{MODEL}/versions/9.0.0", {"digest": digest})
    assert (refused.status, refused.value["code"]) == (400, "usage")
    assert house.call("reader", "GET", f"/{MODEL}/resolve?range=9.0.0").status == 404


def test_a_gate_refuses_with_the_rule(house: RegistryHouse) -> None:
    path = f"/{MODEL}/aliases/prod"
    refused = house.call("promoter", "PUT", path, {"version": "2.0.0-rc.1"}, If_Match=f'"{digest(house, "1.1.0")}"')
    assert (refused.status, refused.value["code"]) == (422, "gate")
    assert "pytorch_model.bin" in refused.value["error"]


def test_events_are_read_on_from_a_number(house: RegistryHouse) -> None:
    every = house.call("reader", "GET", f"/{MODEL}/events").value["events"]
    first, second = every[0], every[1]
    assert [event["number"] for event in every] == sorted(event["number"] for event in every)
    assert (first["deed"], first["who"], first["name"]) == ("publish", "publisher", "1.0.0")
    assert house.call("reader", "GET", f"/events?after={first['number']}&limit=1").value["events"] == [second]
    assert house.call("reader", "GET", f"/events?after={every[-1]['number']}").value["events"] == []
    assert house.call("reader", "GET", "/events?after=x").status == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/Team/Model/versions", 404),
        ("GET", "/uploads/x/versions", 404),
        ("GET", "/team/absent/versions", 404),
        ("GET", "/team/absent/resolve", 404),
        ("GET", f"/{MODEL}/resolve?range=^9", 404),
        ("GET", f"/{MODEL}/resolve?range={'x' * 4000}", 404),
        ("GET", "/team/%2e%2e/versions", 404),
        ("POST", f"/{MODEL}/versions", 405),
        ("DELETE", f"/{MODEL}/versions/1.0.0", 405),
    ],
)
def test_what_makes_no_sense_is_refused(house: RegistryHouse, method: str, path: str, status: int) -> None:
    assert house.call("reader", method, path, {} if method == "POST" else None).status == status


MANIFEST = "application/vnd.oci.image.manifest.v1+json"
UPLOAD = f"/{MODEL}/uploads/sha256:" + "5" * 64


@pytest.mark.parametrize(
    ("method", "path", "kind", "body", "status"),
    [
        ("PUT", f"/{MODEL}/versions/5.0.0", MANIFEST, None, 400),
        ("PUT", f"/{MODEL}/versions/5.0.0", MANIFEST, {"schemaVersion": 2}, 400),
        ("PUT", f"/{MODEL}/versions/5.0.0", MANIFEST, [], 400),
        ("PUT", f"/{MODEL}/versions/5.0.0", MANIFEST, model_pack({"../../x": b"x"}), 400),
        ("PUT", f"/{MODEL}/versions/5.0.0", MANIFEST, model_pack({"never-uploaded": b"x"}), 404),
        ("PUT", f"/{MODEL}/versions/5.0.0", "", None, 400),
        ("PATCH", f"{UPLOAD}?from=0", "", "x", 415),
        ("PATCH", f"{UPLOAD}?from=0", "application/x-www-form-urlencoded", "x", 415),
        ("PATCH", f"{UPLOAD}?from=0", "application/json", {}, 415),
        ("POST", f"/{MODEL}/versions/1.0.0/signatures", "application/json", {}, 415),
        ("POST", f"/{MODEL}/check?range=1.0.0&alias=x", "application/json", {"rules": "gate = [1]"}, 400),
        ("POST", f"/{MODEL}/check?range=1.0.0&alias=x", "application/json", {"rules": "[[gate]]\nmax_size = -1"}, 400),
    ],
)
def test_bad_input_is_the_fault_of_who_sent_it(
    house: RegistryHouse, method: str, path: str, kind: str, body: object, status: int
) -> None:
    found = house.call("publisher", method, path, body, **({"Content_Type": kind} if kind else {}))
    assert found.status == status, found
    assert "--mirror" not in str(found.value["hint"])


def test_who_looks_at_an_upload_changes_nothing(house: RegistryHouse) -> None:
    """Neither there nor here: the model's blobs are not taken over, and no upload begins."""

    def kept() -> set[tuple[str, int]]:
        every = (*house.below.store.rglob("*"), *house.machine.cache.parent.rglob("uploads.json"))
        return {(str(path), path.stat().st_mtime_ns) for path in every}

    house.person("another", "--role", "publisher")
    before = kept()
    for file in (*FILES.values(), b"never seen"):
        for method in ("GET", "HEAD"):
            path = f"/{MODEL}/uploads/sha256:{hashlib.sha256(file).hexdigest()}"
            found = house.call("another", method, path)
            assert found.status == 200
            if method == "GET":
                assert found.value["is_there"] is (file in FILES.values())
    assert kept() == before


def test_answers_are_what_the_openapi_document_says(house: RegistryHouse) -> None:
    described = house.ask("", "GET", "/registry/v1/openapi.json").value
    schemas = described["components"]["schemas"]

    def check(answer: Any, operation: Any, status: str) -> None:
        content = operation["responses"][status]["content"]["application/json"]["schema"]
        jsonschema.validate(answer.value, schemas[content["$ref"].rpartition("/")[2]])

    queries = {"diff": "?from=1.0.0&to=1.1.0", "check": "?range=1.0.0&alias=prod", "events": "?after=0"}
    for path, operations in described["paths"].items():
        filled = path.format(namespace="team", name="model", version="1.0.0", alias="prod", digest="sha256:" + "0" * 64)
        if "get" in operations:
            who = "publisher" if "/uploads" in path else "reader"
            answer = house.call(who, "GET", filled + queries.get(path.rpartition("/")[2], ""))
            assert answer.status == 200, path
            check(answer, operations["get"], "200")
            # Who may read nothing gets an empty list of what is not of one model, and of rights.
            if "{" in path and not path.endswith("/rights"):
                check(house.call("", "GET", filled), operations["get"], "401")
    page = house.ask("", "GET", "/registry/v1/")
    assert page.status == 200
    assert b"openapi.json" in page.value


def test_commands_ask_the_server_that_the_settings_name(house: RegistryHouse, tmp_path: Path) -> None:
    def run(who: str, *words: str, code: int = 0) -> Any:
        env = {"GLM_ARIA_REGISTRY": house.server.url, "GLM_ARIA_REGISTRY_TOKEN": house.tokens[who]}
        ended = house.machine.run("registry", *words, "--json", env=env).ended(code)
        return json.loads(ended.out)

    assert run("reader", "ls")["data"] == {"models": [MODEL]}
    versions = run("reader", "ls", MODEL)["data"]["versions"]
    assert [entry["version"] for entry in versions] == ["2.0.0-rc.1", "1.1.0", "1.0.0"]
    assert run("reader", "show", f"reg://{MODEL}@~1.0")["data"]["version"] == "1.0.0"
    assert run("reader", "show", f"{MODEL}@^9", code=66)["errors"][0]["code"] == "not-found"
    assert run("promoter", "alias", f"{MODEL}@1.0.0", "canary")["data"]["version"] == "1.0.0"
    known = digest(house, "1.0.0")
    assert run("promoter", "alias", f"{MODEL}@^1", "canary", "--expect", known)["data"]["version"] == "1.1.0"
    lost = run("promoter", "alias", f"{MODEL}@^1", "canary", "--expect", known, code=80)["errors"][0]
    assert (lost["code"], lost["details"]) == ("conflict", [digest(house, "1.1.0")])
    assert run("promoter", "alias", f"{MODEL}@^1", "canary", "--expect", "none", code=80)["errors"]
    assert run("promoter", "alias", f"{MODEL}@1.0.0", "canary", "--expect", "1.1.0")["data"]["version"] == "1.0.0"
    assert run("promoter", "alias", f"{MODEL}@1.0.0", "canary", "--expect", "^1", code=2)["errors"]
    assert run("promoter", "alias", MODEL, "canary", "--remove")["data"]["alias"] == "canary"
    assert run("promoter", "alias", MODEL, "canary", code=2)["errors"]
    assert run("reader", "alias", f"{MODEL}@1.0.0", "canary", code=77)["errors"][0]["code"] == "not-allowed"
    for words in ((MODEL, "1.0.0", "^1"), (f"{MODEL}@1.0.0", "^1")):
        assert run("reader", "diff", *words)["data"]["bytes_to_fetch"] == len(b"better weights")
    for few in ((MODEL, "1.0.0"), (f"{MODEL}@1.0.0", "1.1.0", "prod")):
        assert run("reader", "diff", *few, code=2)["errors"]
    assert run("reader", "show", f"{MODEL}:1.0.0")["data"]["version"] == "1.0.0"
    assert run("reader", "check", f"{MODEL}@^1", "--alias", "prod")["data"]["passed"] is True
    broken = run("reader", "check", f"{MODEL}@2.0.0-rc.1", "--alias", "prod", code=80)
    assert [one["rule"] for one in broken["data"]["results"] if one["verdict"] == "failed"] == ["formats"]
    (tmp_path / "mine.toml").write_text('[[gate]]\nconfig_keys = ["quantization_config"]\n')
    mine = ("--alias", "prod", "--rules", str(tmp_path / "mine.toml"))
    assert run("reader", "check", f"{MODEL}@1.0.0", *mine, code=80)["errors"][0]["code"] == "gate"
    # A name that is spelled wrong does not pass.
    (tmp_path / "others.toml").write_text('[[gate]]\naliases = "prod"\nformats = "safe"\n')
    others = ("--alias", "prd", "--rules", str(tmp_path / "others.toml"))
    assert run("reader", "check", f"{MODEL}@1.0.0", *others, code=2)["errors"]
    assert run("reader", "check", f"{MODEL}@1.0.0", "--alias", "prd", code=66)["errors"]
    trail = run("reader", "log", MODEL)["data"]["events"]
    assert [(event["who"], event["deed"]) for event in trail][:3] == [("publisher", "publish")] * 3
    assert run("reader", "log", "--after", str(trail[-1]["number"]))["data"] == {"events": []}


def test_who_runs_the_server_needs_no_token(house: RegistryHouse) -> None:
    shown = house.machine.run("registry", "ls", MODEL).ended(0).out
    assert shown.splitlines()[0].split() == ["VERSION", "ALIASES", "SIZE", "PUBLISHED", "BY", "DIGEST"]
    assert "1.1.0" in shown
    for words in (("show", MODEL), ("log",), ("diff", MODEL, "1.0.0", "1.1.0"), ("check", MODEL, "--alias", "prod")):
        assert house.machine.run("registry", *words).ended(0).out


def test_commands_show_the_login_of_who_asks(house: RegistryHouse) -> None:
    place = house.server.url.removeprefix("http://")
    settings = {"GLM_ARIA_REGISTRY": house.server.url}
    house.machine.run("registry", "login", place, stdin=house.tokens["reader"]).ended(0)
    assert house.machine.run("registry", "show", MODEL, env=settings).ended(0).out
    # With a login it is theirs that counts, also where they run the server themselves.
    move = ("registry", "alias", f"{MODEL}@1.0.0", "mine")
    assert "reader" in house.machine.run(*move, env=settings).ended(77).err
    house.machine.run("registry", "logout", place).ended(0)
    house.machine.run(*move, env=settings).ended(0)
    house.machine.run("registry", "alias", MODEL, "mine", "--remove", env=settings).ended(0)


def test_a_login_that_the_server_does_not_know_is_not_kept(house: RegistryHouse, tmp_path: Path) -> None:
    """Neither by the server of models nor by the registry that believes its tokens."""
    settings = {"GLM_ARIA_REGISTRY": house.server.url, "GLM_ARIA_REGISTRY_TOKEN": "garbage"}
    place, realm = house.server.url.removeprefix("http://"), f"{house.server.url}/registry/token"
    for wrong in ("garbage", "gla_" + "0" * 43):
        for words in ((place,), (house.below.host, "--realm", realm)):
            house.machine.run("registry", "login", *words, stdin=f"{wrong}\n").ended(77)
    house.machine.run("registry", "login", place, "-u", "a:b", stdin="x\n").ended(2)
    assert house.machine.run("registry", "logout", place).ended(66)
    assert house.machine.run("registry", "ls", env=settings).ended(77)
    told = house.machine.run("registry", "login", house.below.host, "--realm", realm, stdin=house.tokens["reader"])
    assert told.ended(0)
    # It is right, but nobody pushes past the server.
    (tmp_path / "config.json").write_text("{}")
    past = house.machine.run("push", str(tmp_path), f"oci://{house.below.host}/{MODEL}:9.0.0", "--json").ended(77)
    assert f"reg://{MODEL}" in past.error["hint"]
    house.machine.run("registry", "logout", house.below.host).ended(0)
    for path, without in (("/registry/v1/models", 401), (f"/registry/token?service={house.below.host}", 200)):
        assert house.ask("garbage", "GET", path).status == 401
        assert house.ask("garbage", "GET", path, login="x").status == 401
        assert house.ask("", "GET", path).status == without


def test_everybody_is_told_what_they_may_do(house: RegistryHouse) -> None:
    place = f"{house.below.url}/{MODEL}"
    for who, rights in (("reader", ["read"]), ("publisher", ["read", "fetch", "publish"]), ("", [])):
        found = house.call(who, "GET", f"/{MODEL}/rights")
        told = {"name": MODEL, "who": who, "rights": rights, "repository": place if rights else None}
        assert (found.status, found.value) == (200, told)
