"""A registry of models as a catalog: `GET /registry/v1/{name}/resolve?range=` tells the manifest of a version.

The user's login there is a token of that server. It is sent to that server alone: with the question, and to its token
service when the OCI registry that it named demands a token of it.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from orchestrator.catalogs.interface import Catalog
from orchestrator.catalogs.pointers import Pointed, PointerCatalog
from orchestrator.core.refs import Ref, parse_ref
from orchestrator.core.registries import is_sha256
from orchestrator.core.sources import Source
from orchestrator.errors import GlmAriaError, NotAllowedError, NotFoundError, ProtocolError, UsageError
from orchestrator.net import shapes
from orchestrator.net.addresses import split
from orchestrator.net.answers import Answer
from orchestrator.net.failures import blaming
from orchestrator.net.session import Net
from orchestrator.oci.login import command, for_server
from orchestrator.oci.registries import Registries


class RegistryCatalog(PointerCatalog):
    """Implements `Catalog` for a server of `glm-aria serve` that knows the versions and aliases of models."""

    def __init__(self, source: Source, net: Net, registries: Registries, follow: Callable[[Ref], Catalog]) -> None:
        super().__init__(source, follow)
        self._net = net
        self._registries = registries

    def _point(self, ref: Ref) -> Pointed:
        site = self.source.name
        login = self._registries.login(self.source.url)
        url = f"{self.source.api_url(ref.repo)}/resolve?{urlencode({'range': ref.revision})}"
        with blaming(site):
            answer = self._net.carrying(for_server(login, self.source.url)).get_json(url)
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
            self._registries.introduce(target.site.registry, login, f"{self.source.url}/registry/token")
        return Pointed(target, version)

    def _refusal(self, answer: Answer, ref: Ref) -> GlmAriaError:
        """The error in the words of the server, which knows what there is and what a token may do."""
        host = split(self.source.url).netloc
        words, hint = shapes.refusal(answer) or ("", None)
        said = f": {words}" if words else ""
        if answer.status in (401, 403):
            return NotAllowedError(f"{host} does not let you read {ref.repo.name}{said}", hint=hint or command(host))
        if not words:
            hint = "is it the server of a registry of models, glm-aria serve --registry?"
        kind = NotFoundError if answer.status == 404 else ProtocolError
        return kind(f"{host} has no {ref}{said or f' (HTTP {answer.status})'}", hint=hint)
