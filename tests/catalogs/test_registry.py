"""A registry of models as a catalog: what it names, and who hears the login that is for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import pytest

from orchestrator.catalogs.interface import Catalog
from orchestrator.catalogs.oci import OciCatalog
from orchestrator.catalogs.registry import RegistryCatalog
from orchestrator.core.dialects import OCI, REGISTRY
from orchestrator.core.refs import Ref, parse_ref
from orchestrator.core.sources import Source
from orchestrator.errors import GlmAriaError, NotAllowedError, NotFoundError, TemporaryError
from orchestrator.net.session import Net
from orchestrator.oci.login import Login
from orchestrator.oci.registries import Registries
from tests.oci.manifests import model_pack, sha256, text
from tests.servers.registry import Answered, Seen, SmallServer

CANARY = "canary-of-the-server-of-models"
BODY = text(model_pack({"config.json": b"{}"}))


def _always(answer: Answered, _: Seen) -> Answered:
    return answer


def heard(server: SmallServer) -> set[str | None]:
    return {request.authorization for request in server.seen}


@pytest.mark.parametrize("challenge", ["Basic", "on itself", "elsewhere", "on the server of models"])
def test_the_login_at_a_server_of_models_goes_to_no_registry_that_it_names(challenge: str) -> None:
    def elsewhere(_: Seen) -> Answered:
        return Answered(200, b'{"token": "t"}')

    def blobs(request: Seen) -> Answered:
        if request.authorization == "Bearer of-the-service":
            return Answered(200, BODY, {"Content-Type": "application/vnd.oci.image.manifest.v1+json"})
        realms = {"on itself": "/token", "elsewhere": f"{third.url}/token"}
        realm = realms.get(challenge, f"{models.url}/registry/token")
        wanted = "Basic realm=x" if challenge == "Basic" else f'Bearer realm="{realm}",service="s"'
        return Answered(401, b"", {"WWW-Authenticate": wanted})

    def server_of_models(request: Seen) -> Answered:
        if request.path == "/registry/token":
            return Answered(200, b'{"token": "of-the-service"}')
        named = {"digest": sha256(BODY), "repository": f"{registry.url}/team/model"}
        return Answered(200, json.dumps(named).encode())

    third, registry, models = SmallServer(elsewhere), SmallServer(blobs), SmallServer(server_of_models)
    with ExitStack() as stack:
        for server in (third, registry, models):
            stack.enter_context(server)
        net = stack.enter_context(Net(sleep=lambda _: None))
        registries = Registries(net, lambda: {models.host: Login("token", CANARY)})

        def follow(target: Ref) -> Catalog:
            assert target.site is not None
            return OciCatalog(Source("oci", target.site.url, OCI), registries)

        catalog = RegistryCatalog(Source("registry", models.url, REGISTRY), net, registries, follow)
        asked: Callable[[], object] = lambda: catalog.revision(parse_ref("reg://team/model@prod"))  # noqa: E731
        if challenge == "on the server of models":
            asked()
            assert heard(registry) == {None, "Bearer of-the-service"}
        else:
            with pytest.raises(NotAllowedError):
                asked()
            assert heard(registry) == {None}
        assert third.seen == []
        assert all(heard(models))
        # Nor does what asks other servers for models take it for the user's login there.
        assert registries.login(registry.url) is None


@pytest.mark.parametrize("is_own", [True, False])
def test_a_registry_that_a_lock_names_gets_a_token_if_the_server_of_models_says_that_it_is_its_own(
    *, is_own: bool
) -> None:
    def blobs(request: Seen) -> Answered:
        if request.authorization == "Bearer of-the-service":
            return Answered(200, BODY, {"Content-Type": "application/vnd.oci.image.manifest.v1+json"})
        return Answered(401, b"", {"WWW-Authenticate": f'Bearer realm="{models.url}/registry/token",service="s"'})

    def server_of_models(request: Seen) -> Answered:
        if request.path == "/registry/token":
            return Answered(200 if request.authorization else 401, b'{"token": "of-the-service"}')
        own = registry.url if is_own else "https://r.example"
        told = {"name": "team/model", "rights": ["read"], "repository": f"{own}/team/model"}
        return Answered(200, json.dumps(told).encode())

    registry, models = SmallServer(blobs), SmallServer(server_of_models)
    with registry, models, Net(sleep=lambda _: None) as net:
        registries = Registries(net, lambda: {models.host: Login("token", CANARY)})
        source = Source("registry", models.url, REGISTRY)
        RegistryCatalog(source, net, registries, lambda _: pytest.fail("nothing is to be followed"))
        pinned = parse_ref(f"oci://{registry.host}/team/model@{sha256(BODY)}")
        assert pinned.site is not None
        catalog = OciCatalog(Source("oci", pinned.site.url, OCI), registries)
        if is_own:
            assert catalog.revision(pinned).is_restricted
        else:
            with pytest.raises(NotAllowedError):
                catalog.revision(pinned)
        assert heard(registry) == ({None, "Bearer of-the-service"} if is_own else {None})


@pytest.mark.parametrize("digest", [0, "sha256:x", "\x1b[2J"])
def test_what_is_no_answer_is_an_error_of_ours(digest: object) -> None:
    answer = json.dumps({"digest": digest, "repository": "https://r.example/team/model"}).encode()
    with SmallServer(lambda _: Answered(200, answer)) as server, Net(sleep=lambda _: None) as net:
        source = Source("registry", server.url, REGISTRY)
        catalog = RegistryCatalog(source, net, Registries(net), lambda _: pytest.fail("nothing is to be followed"))
        with pytest.raises(GlmAriaError) as caught:
            catalog.revision(parse_ref("reg://team/model@prod"))
        assert caught.value.source == "registry"


@pytest.mark.parametrize(
    ("status", "error"), [(401, NotAllowedError), (403, NotAllowedError), (404, NotFoundError), (502, TemporaryError)]
)
def test_a_refusal_is_told_in_the_words_of_the_server(status: int, error: type[GlmAriaError]) -> None:
    said = json.dumps({"error": "there is no model team/modl", "hint": "it has team/model"}).encode()
    for body, words in ((said, "no model team/modl"), (b"<html>", "")):
        with SmallServer(partial(_always, Answered(status, body))) as server, Net(sleep=lambda _: None) as net:
            source = Source("registry", server.url, REGISTRY)
            catalog = RegistryCatalog(source, net, Registries(net), lambda _: pytest.fail("nothing is to be followed"))
            with pytest.raises(error) as caught:
                catalog.revision(parse_ref("reg://team/modl@prod"))
            assert words in caught.value.message
            if words and error is not TemporaryError:
                assert caught.value.hint == "it has team/model"
