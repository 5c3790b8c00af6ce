"""MLflow's model registry as a catalog: two calls to what an alias names, which is a ref of another kind.

`GET /api/2.0/mlflow/registered-models/alias` and `…/model-versions/get-download-uri` (mlflow 3, its REST API). What
MLflow keeps itself (`mlflow-artifacts:`, `s3:` and so on) has no digests, so nothing could prove it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from orchestrator.catalogs.interface import Catalog
from orchestrator.catalogs.pointers import Pointed, PointerCatalog
from orchestrator.core.refs import Ref, parse_ref
from orchestrator.core.sources import Source
from orchestrator.errors import NotAllowedError, NotFoundError, ProtocolError, UsageError
from orchestrator.net import shapes
from orchestrator.net.addresses import place, redact
from orchestrator.net.answers import Answer
from orchestrator.net.credentials import Credentials
from orchestrator.net.failures import blaming
from orchestrator.net.session import Net
from orchestrator.oci.registries import Registries

_SHOWN = 200


class MlflowCatalog(PointerCatalog):
    """Implements `Catalog` for a tracking server of MLflow whose versions name refs of registries."""

    def __init__(self, source: Source, net: Net, registries: Registries, follow: Callable[[Ref], Catalog]) -> None:
        super().__init__(source, follow)
        self._net = net
        self._registries = registries

    def _point(self, ref: Ref) -> Pointed:
        name, site = ref.repo.name, self.source.name
        with blaming(site):
            version = ref.revision if ref.revision.isdecimal() else self._version(ref)
            found = self._get(ref, "model-versions/get-download-uri", {"name": name, "version": version})
            uri = shapes.text(found, "artifact_uri", site, "the version")
            try:
                if "://" not in uri:
                    raise UsageError("no ref")
                return Pointed(parse_ref(uri), version)
            except UsageError:
                raise NotFoundError(
                    f"{site} keeps version {version} of {name} at {uri[:_SHOWN]!r}, where no file has a digest that "
                    "could be proven",
                    hint="push the model to a registry, and register its oci:// address as the source of a version",
                ) from None

    def _version(self, ref: Ref) -> str:
        site = self.source.name
        found = self._get(ref, "registered-models/alias", {"name": ref.repo.name, "alias": ref.revision})
        version = shapes.mapping(found.get("model_version"), site, "the version").get("version")
        if not str(version).isdecimal():
            raise shapes.odd(site, f"{str(version)[:80]!r} is not a version")
        return str(version)

    def _get(self, ref: Ref, endpoint: str, query: Mapping[str, str]) -> dict[str, Any]:
        login = self._registries.login(self.source.url)
        hosts = frozenset({place(self.source.url)})
        credentials = Credentials()
        if login is not None:
            # MLFLOW_TRACKING_TOKEN has no user.
            has_user = bool(login.user)
            credentials = (
                Credentials.basic(login.user, login.password, hosts) if has_user else Credentials(login.password, hosts)
            )
        url = f"{self.source.api_url(ref.repo)}/{endpoint}?{urlencode(query)}"
        answer = self._net.carrying(credentials).get_json(url)
        if answer.status in (401, 403):
            raise NotAllowedError(
                f"{self.source.name} does not let you read {ref.repo.name}",
                hint="export MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
            )
        if answer.status in (400, 404) and _is_refusal(answer):
            raise NotFoundError(
                f"{self.source.name} has no {ref.revision!r} of a model called {ref.repo.name!r}",
                hint=f"see its models and their aliases: {redact(self.source.url)}",
            )
        if answer.status != 200:
            raise ProtocolError(
                f"{answer.place} answered HTTP {answer.status}, and not as MLflow does",
                hint="is it the tracking server? mlflow.url of your settings file, or MLFLOW_TRACKING_URI",
            )
        return shapes.mapping(answer.value, self.source.name, "the answer")


def _is_refusal(answer: Answer) -> bool:
    """True for what MLflow says of a name that it does not know, and not another program of a path."""
    try:
        return isinstance(answer.json, dict) and "error_code" in answer.json
    except ProtocolError:
        return False
