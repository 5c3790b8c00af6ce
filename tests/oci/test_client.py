"""The client against docker-registry, with skopeo and oras beside it, and against servers that misbehave."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import oras.client
import pytest

from orchestrator.core.files import Digest
from orchestrator.core.registries import Repository
from orchestrator.errors import NotAllowedError, NotFoundError, ProtocolError, TemporaryError, TrustError
from orchestrator.oci.client import Client, catalog, here
from orchestrator.oci.login import Login
from orchestrator.oci.manifest import OCI_INDEX, OCI_MANIFEST, Manifest, files_of, parse
from tests.oci.manifests import artifact, entry, index, model_pack, sha256, text
from tests.oci.pushing import push, push_blob, push_files
from tests.servers.registry import (
    Answered,
    RedirectingFront,
    RegistryServer,
    Seen,
    SmallServer,
    TokenService,
)

FILES = {"config.json": b"{}\n", "sub/model.safetensors": b"weights" * 1000}
CANARY = "canary-password"
CANARY_BCRYPT = "$2y$04$abcdefghijklmnopqrstuuag0.YlF7tv7WKWN7rgqJ5KkJ9XU2wny"
MakeClient = Callable[..., Client]


def listed(client: Client, reference: str) -> dict[str, str]:
    found = client.manifest(reference)
    manifest = parse(found.body, found.media_type, "r")
    assert isinstance(manifest, Manifest)
    files, _ = files_of(manifest, "m", "r")
    return {file.path: str(file.digest) for file in files}


def test_what_is_pushed_is_read(server: RegistryServer, make_client: MakeClient) -> None:
    client = make_client(server.url, "team/pushed")
    assert client.head("1.0.0") is None
    assert client.tags() == ()
    digest = push_files(client, "1.0.0", model_pack(FILES), FILES)
    assert client.head("1.0.0") == digest
    assert client.tags() == ("1.0.0",)
    for reference in ("1.0.0", str(digest)):
        assert client.manifest(reference).digest == digest
        assert listed(client, reference) == {path: sha256(content) for path, content in FILES.items()}
    blob = Digest.parse(sha256(FILES["config.json"]))
    assert client.blob_size(blob) == 3
    assert client.blob(blob) == b"{}\n"
    assert client.blob_size(Digest.parse(sha256(b"absent"))) is None
    assert client.referrers(digest).manifests == ()


def test_a_blob_is_mounted_from_another_repository(server: RegistryServer, make_client: MakeClient) -> None:
    digest = push_blob(make_client(server.url, "team/mounted-from"), b"mounted")
    other = make_client(server.url, "team/mounted-to")
    assert other.blob_size(digest) is None
    assert other.mount(digest, "team/mounted-from") is None
    assert other.blob_size(digest) == 7
    upload = other.mount(Digest.parse(sha256(b"late")), "team/mounted-from")
    assert upload is not None
    other.finish(other.send(upload, b"late"), Digest.parse(sha256(b"late")))


def test_an_upload_goes_on_after_the_registry_was_killed(tmp_path: Path, make_client: MakeClient) -> None:
    content = os.urandom(100_000)
    with RegistryServer(tmp_path) as server:
        upload = make_client(server.url).begin()
        upload = make_client(server.url).send(upload, content[:60_000])
        server.kill()
        server.start()
        client = make_client(server.url)
        again = client.resume(upload.url)
        assert again is not None
        assert again.done == 60_000
        again = client.send(again, content[60_000:])
        client.finish(again, Digest.parse(sha256(content)))
        assert client.blob(Digest.parse(sha256(content))) == content
        assert client.resume(upload.url) is None


def test_the_lists_of_a_registry_are_read_page_by_page(
    tmp_path: Path, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RegistryServer(tmp_path) as server:
        for number in range(3):
            client = make_client(server.url, f"team/m{number}")
            push(client, "1.0.0", model_pack({}))
        for number in range(7):
            client.put(f"1.0.{number}", client.manifest("1.0.0").body, OCI_MANIFEST)
        monkeypatch.setattr("orchestrator.oci.client._PAGE", 2)
        assert catalog(client.registries, server.url) == ("team/m0", "team/m1", "team/m2")
        assert set(client.tags()) == {f"1.0.{number}" for number in range(7)}


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")
def test_skopeo_copies_what_we_push_and_we_read_its_copy(server: RegistryServer, make_client: MakeClient) -> None:
    digest = push_files(make_client(server.url, "team/ours"), "1.0.0", model_pack(FILES), FILES)
    _skopeo(
        "copy",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        f"docker://{server.host}/team/ours:1.0.0",
        f"docker://{server.host}/team/copied:2",
    )
    copied = make_client(server.url, "team/copied")
    assert copied.head("2") == digest
    assert listed(copied, "2") == {path: sha256(content) for path, content in FILES.items()}
    seen = json.loads(_skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{server.host}/team/ours:1.0.0"))
    assert seen == model_pack(FILES)


def test_what_oras_pushes_is_read_and_the_other_way_round(
    server: RegistryServer, make_client: MakeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flat = {Path(path).name: content for path, content in FILES.items()}  # oras in Python gives a file its name alone
    for name, content in flat.items():
        Path(name).write_bytes(content)
    theirs = oras.client.OrasClient(hostname=server.host, insecure=True)
    theirs.push(files=list(flat), target=f"{server.host}/team/oras:1", disable_path_validation=True)
    client = make_client(server.url, "team/oras")
    assert listed(client, "1") == {name: sha256(content) for name, content in flat.items()}
    push_files(client, "2", artifact(FILES), FILES)
    pulled = theirs.pull(target=f"{server.host}/team/oras:2", outdir=str(tmp_path / "out"))
    assert {str(Path(path).relative_to(tmp_path / "out")) for path in pulled} == set(FILES)
    assert (tmp_path / "out/sub/model.safetensors").read_bytes() == FILES["sub/model.safetensors"]


def _skopeo(*words: str) -> str:
    done = subprocess.run(["skopeo", *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# -- logins


def test_a_password_is_sent_when_the_registry_asks_for_it(tmp_path: Path, make_client: MakeClient) -> None:
    with RegistryServer(tmp_path, htpasswd=f"ann:{CANARY_BCRYPT}") as server:
        with pytest.raises(NotAllowedError, match="asks for a login"):
            make_client(server.url).tags()
        with pytest.raises(NotAllowedError):
            make_client(server.url, logins=lambda: {server.host: Login("ann", "wrong")}).tags()
        client = make_client(server.url, logins=lambda: {server.host: Login("ann", CANARY)})
        push(client, "1.0.0", model_pack({}))
        assert client.tags() == ("1.0.0",)
        assert client.registries.is_closed(client.repository)
        assert CANARY not in server.log


@pytest.fixture
def tokens() -> Iterator[TokenService]:
    with TokenService({"ann": CANARY}, public=("team/open",)) as service:
        yield service


def test_a_token_is_asked_for_with_the_login_and_for_what_is_done(
    tmp_path: Path, make_client: MakeClient, tokens: TokenService
) -> None:
    with RegistryServer(tmp_path, tokens=tokens) as server:
        logins = {server.host: Login("ann", CANARY, tokens.realm)}
        client = make_client(server.url, logins=lambda: logins)
        digest = push_files(client, "1.0.0", model_pack(FILES), FILES)
        asked = len(tokens.seen)
        assert asked == 1
        assert client.manifest("1.0.0").digest == digest
        assert client.tags() == ("1.0.0",)
        client.mount(Digest.parse(sha256(b"{}")), "team/other")
        scopes = [request.query["scope"] for request in tokens.seen]
        pull, push_ = "repository:team/model:pull", "repository:team/model:pull,push"
        assert scopes == [[push_], [pull], [push_, "repository:team/other:pull"]]
        assert client.registries.is_closed(client.repository)
        assert CANARY not in server.log


def test_an_open_repository_needs_no_login_where_tokens_are_for_all(
    tmp_path: Path, make_client: MakeClient, tokens: TokenService
) -> None:
    with RegistryServer(tmp_path, tokens=tokens) as server:
        logins = {server.host: Login("ann", CANARY, tokens.realm)}
        push(make_client(server.url, "team/open", logins=lambda: logins), "1", model_pack({}))
        client = make_client(server.url, "team/open")
        assert client.tags() == ("1",)
        assert not client.registries.is_closed(client.repository)
        with pytest.raises(NotAllowedError) as caught:
            make_client(server.url, "team/closed").tags()
        assert caught.value.hint == f"glm-aria registry login {server.host}"


def test_a_token_is_renewed_before_it_ends(tmp_path: Path, make_client: MakeClient, tokens: TokenService) -> None:
    now = [0.0]
    tokens.life = 100
    with RegistryServer(tmp_path, tokens=tokens) as server:
        logins = {server.host: Login("ann", CANARY, tokens.realm)}
        client = make_client(server.url, logins=lambda: logins, clock=lambda: now[0])
        for at, asked in ((0.0, 1), (74.0, 1), (76.0, 2)):
            now[0] = at
            client.tags()
            assert len(tokens.seen) == asked
        client.registries.forget(client.repository)
        client.tags()
        assert len(tokens.seen) == 3


def test_a_token_that_another_thread_drops_is_still_that_of_who_asked_for_it(
    tmp_path: Path, make_client: MakeClient, tokens: TokenService
) -> None:
    with RegistryServer(tmp_path, tokens=tokens) as server:
        client = make_client(server.url, logins=lambda: {server.host: Login("ann", CANARY, tokens.realm)})
        digest = push_blob(client, b"shared")

        class Hasty(dict[object, object]):
            """Keeps nothing, as when others forget at once what is kept."""

            def __setitem__(self, key: object, value: object) -> None: ...

        client.registries._passes = Hasty()  # type: ignore[assignment]
        way = client.registries.reader(client.repository, client.blob_url(digest))
        assert way.exchange("GET", client.blob_url(digest)).status == 200


def test_who_issues_tokens_needs_no_login(tmp_path: Path, make_client: MakeClient, tokens: TokenService) -> None:
    def issue(scopes: tuple[str, ...]) -> str:
        parts = [scope.split(":") for scope in scopes]
        return tokens.sign([{"type": kind, "name": name, "actions": acts.split(",")} for kind, name, acts in parts])

    with RegistryServer(tmp_path, tokens=tokens) as server:
        client = make_client(server.url)
        client.registries.issue_for(server.url, issue)
        push(client, "1.0.0", model_pack({}))
        assert client.tags() == ("1.0.0",)
        assert catalog(client.registries, server.url) == ("team/model",)
        assert tokens.seen == []


def test_no_credential_goes_to_a_realm_on_another_host(make_client: MakeClient, tokens: TokenService) -> None:
    def hostile(_: Seen) -> Answered:
        return Answered(401, b"", {"WWW-Authenticate": f'Bearer realm="{tokens.realm}",service="tests-registry"'})

    with SmallServer(hostile) as server:
        client = make_client(server.url, logins=lambda: {server.host: Login("ann", CANARY)})
        with pytest.raises(NotAllowedError, match="another server"):
            client.manifest("1")
        assert tokens.seen == []
        assert [request.authorization for request in server.seen] == [None]


def test_a_bearer_does_not_follow_a_redirect_to_another_host(
    tmp_path: Path, make_client: MakeClient, tokens: TokenService
) -> None:
    with RegistryServer(tmp_path, tokens=tokens) as server, RedirectingFront(server) as front:
        logins = {host: Login("ann", CANARY, tokens.realm) for host in (server.host, front.host)}
        digest = push_blob(make_client(server.url, logins=lambda: logins), b"elsewhere")
        client = make_client(front.url, logins=lambda: logins)
        assert client.blob(digest) == b"elsewhere"
        assert client.blob_size(digest) == 9
        assert {request.authorization for request in front.storage.seen} == {None}
        assert any(request.authorization for request in front.seen)


# -- registries that misbehave


def test_a_manifest_that_is_not_what_was_asked_for_is_refused(make_client: MakeClient) -> None:
    body = text(model_pack(FILES))

    def lie(request: Seen) -> Answered:
        promised = {"Docker-Content-Digest": sha256(b"other")} if request.path.endswith("/tag") else {}
        return Answered(200, body, {"Content-Type": OCI_MANIFEST, **promised})

    with SmallServer(lie) as server:
        client = make_client(server.url)
        assert str(client.manifest("honest").digest) == sha256(body)
        for reference in ("tag", sha256(b"another")):
            with pytest.raises(TrustError):
                client.manifest(reference)
        with pytest.raises(TrustError):
            client.blob(Digest.parse(sha256(b"another")))


def test_a_manifest_may_be_compressed_and_come_in_chunks(make_client: MakeClient) -> None:
    body = text(model_pack(FILES))
    packed = gzip.compress(body)
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (packed[:10], packed[10:])) + b"0\r\n\r\n"

    def answer(_: Seen) -> Answered:
        headers = {"Content-Encoding": "gzip", "Content-Type": OCI_MANIFEST, "Docker-Content-Digest": sha256(body)}
        return Answered(200, chunked, {**headers, "Transfer-Encoding": "chunked"})

    with SmallServer(answer) as server:
        assert make_client(server.url).manifest("1").body == body


@pytest.mark.parametrize("packed", [True, False])
def test_a_manifest_that_does_not_end_is_refused(make_client: MakeClient, *, packed: bool) -> None:
    body = b" " * (5 << 20)
    headers = {"Content-Encoding": "gzip"} if packed else {}
    with (
        SmallServer(lambda _: Answered(200, gzip.compress(body) if packed else body, headers)) as server,
        pytest.raises(ProtocolError, match="more than"),
    ):
        make_client(server.url).manifest("1")


@pytest.mark.parametrize("number", ["\xb2", "9" * 5000, "+1", "x", ""])
def test_numbers_that_are_none_are_told_of_or_passed_over(make_client: MakeClient, number: str) -> None:
    digest = Digest.parse(sha256(b"x"))

    def odd(request: Seen) -> Answered:
        if request.method == "HEAD":
            return Answered(200, b"", {"Content-Length": number})
        return Answered(202, b"", {"Location": "/u", "Range": f"0-{number}"})

    with SmallServer(odd) as server:
        client = make_client(server.url)
        with pytest.raises(ProtocolError):
            client.blob_size(digest)
        assert client.begin().done == 0


@pytest.mark.parametrize("life", [10**400, -1, 0, "1", 1e300, None])
def test_a_token_with_an_odd_life_is_used(make_client: MakeClient, life: object) -> None:
    def issuing(request: Seen) -> Answered:
        if request.path == "/token":
            return Answered(200, json.dumps({"token": "t", "expires_in": life}).encode())
        if request.authorization:
            return Answered(404)
        return Answered(401, b"", {"WWW-Authenticate": 'Bearer realm="/token",service="x"'})

    with SmallServer(issuing) as server:
        assert make_client(server.url).head("1") is None


def test_what_people_forget_in_the_name_of_a_registry_is_said(make_client: MakeClient) -> None:
    with SmallServer(lambda _: Answered(400, b"Client sent an HTTP request to an HTTPS server.\n")) as server:
        with pytest.raises(ProtocolError) as caught:
            make_client(server.url).manifest("1")
        assert f"oci+https://{server.host}/team/model" in str(caught.value.hint)
    with pytest.raises(TemporaryError) as forgotten:
        make_client("https://team", "model").head("1")
    assert "oci://HOST/team/model" in str(forgotten.value.hint)


@pytest.mark.parametrize("location", ["http://r.example/u", "https://r.example:80/u"])
def test_a_registry_that_does_not_know_its_address_is_told_apart_from_one_that_leads_elsewhere(location: str) -> None:
    registry = "https://r.example"
    assert here(registry, f"{registry}/v2/", "/u?x=1") == f"{registry}/u?x=1"
    with pytest.raises((ProtocolError, TrustError)) as caught:
        here(registry, f"{registry}/v2/", location)
    assert "X-Forwarded-Proto" in str(caught.value.hint)
    with pytest.raises(ProtocolError) as elsewhere:
        here(registry, f"{registry}/v2/", "https://evil.example/u")
    assert "X-Forwarded-Proto" not in str(elsewhere.value.hint)


def test_a_busy_registry_is_asked_again_when_it_says(make_client: MakeClient, waits: list[float]) -> None:
    answers = [Answered(429, b"", {"Retry-After": "7"}), Answered(200, text(model_pack({})))]
    with SmallServer(lambda _: answers.pop(0)) as server:
        make_client(server.url).manifest("1")
    assert waits == [7.0]
    with SmallServer(lambda _: Answered(503)) as server, pytest.raises(TemporaryError):
        make_client(server.url).manifest("1")


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (404, "MANIFEST_UNKNOWN", NotFoundError),
        (404, "NAME_UNKNOWN", NotFoundError),
        (404, "", NotFoundError),
        (403, "DENIED", NotAllowedError),
        (400, "MANIFEST_INVALID", ProtocolError),
        (418, "", ProtocolError),
    ],
)
def test_refusals_are_errors_that_name_the_registry(
    make_client: MakeClient, status: int, code: str, error: type[Exception]
) -> None:
    body = json.dumps({"errors": [{"code": code, "message": "said so"}]}).encode() if code else b"<html>"
    with SmallServer(lambda _: Answered(status, body)) as server:
        with pytest.raises(error) as caught:
            make_client(server.url).manifest("1")
        assert server.host in str(caught.value)


def test_a_registry_leads_no_list_and_no_upload_to_another_server(make_client: MakeClient) -> None:
    def answer(request: Seen) -> Answered:
        if request.method == "POST":
            return Answered(202, b"", {"Location": "http://127.0.0.1:1/upload"})
        return Answered(200, b'{"tags": ["a"]}', {"Link": '<http://127.0.0.1:1/next>; rel="next"'})

    with SmallServer(answer) as server:
        client = make_client(server.url)
        with pytest.raises(ProtocolError, match="leads to"):
            client.begin()
        with pytest.raises(ProtocolError, match="leads to"):
            client.tags()
        assert client.resume("http://127.0.0.1:1/upload") is None


def test_a_list_that_goes_round_ends(make_client: MakeClient) -> None:
    with SmallServer(lambda _: Answered(200, b'{"tags": ["a"]}', {"Link": '</again>; rel="next"'})) as server:
        with pytest.raises(ProtocolError, match="does not end"):
            make_client(server.url).tags()
        assert len(server.seen) < 100


def test_signatures_are_found_by_the_tag_that_stands_in_for_the_api(
    server: RegistryServer, make_client: MakeClient
) -> None:
    client = make_client(server.url, "team/signed")
    digest = push(client, "1", model_pack({}))
    signature = push(client, "signature", artifact({}))
    entries = index({**entry(b"", OCI_MANIFEST), "digest": str(signature), "size": 1})
    client.put(str(digest).replace(":", "-"), text(entries), OCI_INDEX)
    assert [one.digest for one in client.referrers(digest).manifests] == [signature]


def test_a_repository_is_shown_as_it_is_written() -> None:
    assert str(Repository("https://registry.example", "team/model")) == "oci://registry.example/team/model"


def test_a_registry_without_a_certificate_is_told_of(server: RegistryServer, make_client: MakeClient) -> None:
    with pytest.raises(TrustError) as caught:
        make_client(server.url.replace("http:", "https:")).tags()
    assert f"oci://{server.host}/team/model" in str(caught.value.hint)
