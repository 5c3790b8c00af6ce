"""A registry of models as a catalog: `GET /registry/v1/{name}/resolve?range=` tells the manifest of a version.

The user's login there is a token of that server. It is sent to that server alone: with the question, and to its token
service when the OCI registry that it named demands a token of it.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from orchestrator.catalogs.interface import Catalog
from orchestrator.catalogs.pointers import Pointed, PointerCatalog
from orchestrator.core.dialects import REGISTRY
from orchestrator.core.refs import Ref, RepoId, RepoType, parse_ref
from orchestrator.core.registries import Repository, is_sha256
from orchestrator.core.sources import Source
from orchestrator.errors import GlmAriaError, NotAllowedError, NotFoundError, ProtocolError, UsageError
from orchestrator.net import shapes
from orchestrator.net.addresses import split
from orchestrator.net.answers import Answer
from orchestrator.net.failures import blaming
from orchestrator.net.session import Net
from orchestrator.oci.login import Login, command, for_server
from orchestrator.oci.registries import Registries


class RegistryCatalog(PointerCatalog):
    """Implements `Catalog` for a server of `glm-aria serve` that knows the versions and aliases of models."""

    def __init__(self, source: Source, net: Net, registries: Registries, follow: Callable[[Ref], Catalog]) -> None:
        super().__init__(source, follow)
        self._net = net
        self._registries = registries
        registries.consult(self._realm, self._vouch)

    @property
    def _realm(self) -> str:
        return f"{self.source.url}/registry/token"

    def _vouch(self, repository: Repository) -> None:
        """Introduce the user's login to the registry that has the repository, if this server says that it is its own:
        a lock file and the record of a pull name the registry, and not the server. Raises NotAllowedError for who may
        not read the model, and what `Net` does."""
        login = self._registries.login(self.source.url)
        try:
            ref = Ref(RepoId(RepoType.MODEL, repository.name), REGISTRY.main, REGISTRY)
        except UsageError:
            return  # models here have names of two parts
        if login is None:
            return
        with blaming(self.source.name):
            answer = self._get(f"{self.source.api_url(ref.repo)}/rights", login)
            if answer.status in (401, 403):
                raise self._refusal(answer, ref)
            told = answer.value if answer.status == 200 and isinstance(answer.value, dict) else {}
        if told.get("rights") == []:
            raise self._denied(ref)
        if told.get("repository") == f"{repository.registry}/{repository.name}":
            self._registries.introduce(repository.registry, login, self._realm)

    def _get(self, url: str, login: Login | None) -> Answer:
        return self._net.carrying(for_server(login, self.source.url)).get_json(url)

    def _point(self, ref: Ref) -> Pointed:
        site = self.source.name
        login = self._registries.login(self.source.url)
        url = f"{self.source.api_url(ref.repo)}/resolve?{urlencode({'range': ref.revision})}"
        with blaming(site):
            answer = self._get(url, login)
            if answer.status != 200:
                raise self._refusal(answer, ref)
            found = shapes.mapping(answer.value, site, "the version")
            digest = shapes.text(found, "digest", site, "the version")
            repository = shapes.text(found, "repository", site, "the version")
            version = found["version"] if isinstance(found.get("version"), str) else None
            if not is_sha256(digest):
                raise shapes.odd(site, f"{digest[:80]!r} is not the digest of a manifest")
            try:
                target = parse_ref(f"oci+{repository}@{digest}")
            except UsageError as error:
                raise shapes.odd(site, f"{repository[:200]!r} is not a repository of a registry") from error
        if login is not None and target.site is not None:
            self._registries.introduce(target.site.registry, login, self._realm)
        return Pointed(target, version)

    def _refusal(self, answer: Answer, ref: Ref) -> GlmAriaError:
        """The error in the words of the server, which knows what there is and what a token may do."""
        host = split(self.source.url).netloc
        words, hint = shapes.refusal(answer) or ("", None)
        said = f": {words}" if words else ""
        if answer.status in (401, 403):
            return self._denied(ref, said, hint)
        if not words:
            hint = "is it the server of a registry of models, glm-aria serve --registry?"
        kind = NotFoundError if answer.status == 404 else ProtocolError
        return kind(f"{host} has no {ref}{said or f' (HTTP {answer.status})'}", hint=hint)

    def _denied(self, ref: Ref, said: str = "", hint: str | None = None) -> NotAllowedError:
        host = split(self.source.url).netloc
        return NotAllowedError(f"{host} does not let you read {ref.repo.name}{said}", hint=hint or command(host))
