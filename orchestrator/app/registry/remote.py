"""The calls to a registry: to the server that the settings name, or to the one that this user runs."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeVar
from urllib.parse import quote, urlencode

from orchestrator.app.compose import known_state, logins_of, proxies_of, state_of
from orchestrator.app.registry.own_server import with_own_registry
from orchestrator.core.text import printable
from orchestrator.documents import decode
from orchestrator.errors import (
    ConflictError,
    GateError,
    GlmAriaError,
    NotAllowedError,
    NotFoundError,
    ProtocolError,
    SourcesDownError,
    TemporaryError,
    UsageError,
)
from orchestrator.net.addresses import place
from orchestrator.net.answers import Answer
from orchestrator.net.credentials import Credentials, is_private
from orchestrator.net.session import Net
from orchestrator.oci.login import login_at
from orchestrator.registry.document import (
    AliasEntry,
    CheckDocument,
    DiffDocument,
    ModelsDocument,
    ModelVersionsDocument,
    PublishedDocument,
    RemovedAliasDocument,
    ResolvedDocument,
    RightsDocument,
    SignedDocument,
    TrailDocument,
    TrailEntry,
    UploadDocument,
)
from orchestrator.registry.uploads import UploadState
from orchestrator.settings import Settings
from orchestrator.signatures.bundle import MEDIA_TYPE

_BLOB = "application/octet-stream"
_ERRORS: Mapping[int, type[GlmAriaError]] = {
    400: UsageError,
    401: NotAllowedError,
    403: NotAllowedError,
    404: NotFoundError,
    409: ConflictError,
    412: ConflictError,
    422: GateError,
    429: TemporaryError,
    503: SourcesDownError,
}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RegistryServices:
    """The calls. Each raises the error that a refusal stands for, what `Net` does, ProtocolError for an answer that is
    none, and UsageError where no server is named and none runs."""

    settings: Settings
    net: Net | None = None

    @contextlib.contextmanager
    def kept(self) -> Iterator[RegistryServices]:
        """The same calls over connections that are kept."""
        with self._opened() as net:
            yield replace(self, net=net)

    def certificate(self) -> str:
        """The certificate of the tokens of a server on this cache, in PEM form. Raises ConfigError without the
        libraries."""
        from orchestrator.app.registry.facade import token_signer

        return token_signer(state_of(self.settings)).certificate.read_text("ascii")

    def models(self) -> ModelsDocument:
        """The models."""
        return self._get(ModelsDocument, "/models")

    def versions(self, model: str) -> ModelVersionsDocument:
        """The versions and aliases of a model."""
        return self._get(ModelVersionsDocument, f"/{model}/versions")

    def resolve(self, model: str, wanted: str) -> ResolvedDocument:
        """A version."""
        return self._get(ResolvedDocument, f"/{model}/resolve", {"range": wanted})

    def diff(self, model: str, before: str, after: str) -> DiffDocument:
        """The difference of two versions."""
        return self._get(DiffDocument, f"/{model}/diff", {"from": before, "to": after})

    def check(self, model: str, wanted: str, alias: str, rules: str | None) -> CheckDocument:
        """A version judged for an alias, by rules of one's own if they are given."""
        path, query = f"/{model}/check", {"range": wanted, "alias": alias}
        if rules is None:
            return self._get(CheckDocument, path, query)
        return self._ask(CheckDocument, "POST", path, query, body={"rules": rules})

    def trail(self, model: str | None, after: int) -> TrailDocument:
        """The changes of a model, or of all, behind the event of a number."""
        path = f"/{model}/events" if model else "/events"
        found: list[TrailEntry] = []
        while page := self._get(TrailDocument, path, {"after": str(after)}).events:
            if any(one >= next_one for one, next_one in pairwise((after, *(entry.number for entry in page)))):
                raise ProtocolError("the registry tells changes that are not in order", source=self._server()[0])
            found += page
            after = page[-1].number
        return TrailDocument(tuple(found))

    def present(self, model: str, alias: str) -> str:
        """The digest that an alias stands for; empty where there is none."""
        try:
            return self._get(AliasEntry, f"/{model}/aliases/{quote(alias, safe='')}").digest
        except NotFoundError:
            return ""

    def move(self, model: str, alias: str, wanted: str, expected: str) -> ResolvedDocument:
        """Have an alias stand for a version, if it stands for this digest, or with an empty one for nothing."""
        path = f"/{model}/aliases/{quote(alias, safe='')}"
        return self._ask(ResolvedDocument, "PUT", path, headers=_if(expected), body={"version": wanted})

    def rights(self, model: str) -> RightsDocument:
        """The rights of who asks."""
        return self._get(RightsDocument, f"/{model}/rights")

    def has(self, model: str) -> bool:
        """True for a model that is there, and that you may read."""
        try:
            return bool(self.versions(model))
        except (NotFoundError, NotAllowedError):
            return False

    def digest_of(self, model: str, version: str) -> str | None:
        """The digest of this very version; None when there is none."""
        try:
            found = self.versions(model).versions
        except NotFoundError:
            return None
        return next((one.digest for one in found if one.version == version), None)

    def publish(self, model: str, version: str, manifest: bytes, media_type: str) -> None:
        """Make a manifest of uploaded blobs a version."""
        path = f"/{model}/versions/{quote(version, safe='')}"
        self._ask(PublishedDocument, "PUT", path, content=(media_type, manifest))

    def sign(self, model: str, version: str, bundle: bytes) -> None:
        """Attach a signature to a version."""
        path = f"/{model}/versions/{quote(version, safe='')}/signatures"
        self._ask(SignedDocument, "POST", path, content=(MEDIA_TYPE, bundle))

    def upload(self, model: str, digest: str) -> UploadState:
        """The state of a blob that is uploaded for a version."""
        found = self._get(UploadDocument, f"/{model}/uploads/{digest}")
        return UploadState(found.is_there, found.done)

    def send(self, model: str, digest: str, start: int, chunk: bytes) -> int:
        """Send a chunk of a blob that begins at byte `start`; returns the bytes that are there then."""
        path, query = f"/{model}/uploads/{digest}", {"from": str(start)}
        return self._ask(UploadDocument, "PATCH", path, query, content=(_BLOB, chunk)).done

    def end_upload(self, model: str, digest: str, data: bytes = b"") -> None:
        """End the upload of a blob; `data` is the whole of one of which nothing was sent before."""
        self._ask(UploadDocument, "PUT", f"/{model}/uploads/{digest}", content=(_BLOB, data))

    def remove(self, model: str, alias: str, expected: str) -> RemovedAliasDocument:
        """Remove an alias, if it stands for this digest."""
        path = f"/{model}/aliases/{quote(alias, safe='')}"
        return self._ask(RemovedAliasDocument, "DELETE", path, headers=_if(expected))

    def _get(self, kind: type[T], path: str, query: Mapping[str, str] | None = None) -> T:
        return self._ask(kind, "GET", path, query)

    def _ask(
        self,
        kind: type[T],
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, str] | None = None,
        content: tuple[str, bytes] | None = None,
    ) -> T:
        base = self._server()[0]
        url = f"{base}/registry/v1{path}{f'?{urlencode(query)}' if query else ''}"
        if body is not None:
            content = "application/json", json.dumps(body).encode()
        kind_of, sent = content or ("", None)
        given = {**(headers or {}), **({"Content-Type": kind_of} if kind_of else {})}
        with contextlib.nullcontext(self.net) if self.net else self._opened() as net:
            # A change that was made is answered otherwise when it is asked for again.
            attempts = None if method == "GET" else 1
            answer = net.exchange(method, url, headers=given, body=sent, attempts=attempts)
        if answer.status not in (200, 201):
            raise _refusal(answer, base)
        try:
            return decode(kind, answer.json)
        except ValueError as error:
            raise ProtocolError(f"{base} does not answer as a registry does: {error}", source=base) from error

    def _opened(self) -> Net:
        """The way to the server, with the token for it."""
        base, token = self._server()
        credentials = Credentials(token, frozenset({place(base)}))
        return Net(credentials, proxies=proxies_of(self.settings), ca_bundle=self.settings.ca_bundle)

    def _server(self) -> tuple[str, str | None]:
        """The address of the server, and the token for it."""
        settings = with_own_registry(self.settings, known_state(self.settings))
        url = settings.registry_url
        if url is None:
            raise UsageError(
                "no registry of models is named, and no `glm-aria serve --registry` of yours runs here alone",
                hint="GLM_ARIA_REGISTRY=https://HOST names one; glm-aria serve --registry URL starts one here",
            )
        login = login_at(logins_of(settings), url)
        token = login.password if login else None
        if token is not None and not is_private(url):
            raise UsageError(
                f"the token is not sent to {url} over plain http, where others could read it",
                hint="use an https address, or http on this machine",
            )
        return url, token


def _if(expected: str) -> dict[str, str]:
    return {"If-Match": f'"{expected}"'} if expected else {"If-None-Match": "*"}


def _refusal(answer: Answer, base: str) -> GlmAriaError:
    try:
        said = answer.json
        message, hint, details = str(said["error"]), said.get("hint"), tuple(map(str, said.get("details", ())))
    except (ProtocolError, KeyError, TypeError, AttributeError):
        return ProtocolError(
            f"{base} answered HTTP {answer.status}", hint="is it a registry: glm-aria serve --registry?"
        )
    kind = _ERRORS.get(answer.status, ProtocolError)
    return kind(printable(message), hint=printable(str(hint)) if hint else None, details=tuple(map(printable, details)))
