"""ModelScope that is searched.

`GET /openapi/v1/models?search=&owner=&sort=&page_number=&page_size=` as its OpenAPI document (version 1.1) and its own
client have it (modelscope-hub 0.5.1, `OpenAPIClient.list_models` and `types.RepoInfo`): at most 50 on a page, below
`data.models`, each with the size that the site counts. It compares the beginning of names, without the owner.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from orchestrator.catalogs.search import answers
from orchestrator.catalogs.search.interface import Hit, Query, RepoAccess, SearchOrder
from orchestrator.core.refs import RepoType
from orchestrator.core.sources import Source
from orchestrator.net import shapes
from orchestrator.net.session import Net

_SORTS = {SearchOrder.DOWNLOADS: "downloads", SearchOrder.LIKES: "likes", SearchOrder.UPDATED: "last_modified"}


class ModelScopeSearcher:
    """Implements `Searcher` for modelscope.cn and modelscope.ai: models."""

    def __init__(self, source: Source, net: Net) -> None:
        self.source = source
        self._net = net

    def find(self, query: Query) -> tuple[Hit, ...]:
        """See `Searcher.find`. Only models have a REF there, so nothing else is asked for."""
        if query.type is not RepoType.MODEL:
            return ()
        owner, slash, name = query.words.partition("/")
        asked: dict[str, str | int] = {"owner": owner, "search": name} if slash else {"search": query.words}
        asked |= {"sort": _SORTS[query.order], "page_number": 1, "page_size": query.limit}
        asked |= {"filter.library": "gguf"} if query.gguf else {}
        site = self.source.name
        answer = answers.ask(self._net, self.source, f"{self.source.url}/openapi/v1/models?{urlencode(asked)}")
        body = shapes.mapping(answer.value, site, "the answer")
        if body.get("success") is False:
            raise shapes.odd(site, f"code {str(body.get('code'))[:40]!r}, {str(body.get('message'))[:200]!r}")
        data = shapes.mapping(body.get("data"), site, "what it found")
        entries = shapes.sequence(data.get("models"), site, "what it found")
        found = (self._hit(shapes.mapping(entry, site, "what it found")) for entry in entries)
        return tuple(hit for hit in found if hit is not None)[: query.limit]

    def measure(self, hit: Hit) -> Hit:
        """See `Searcher.measure`. The listing would be a request for each folder of a large repo."""
        return hit

    def _hit(self, entry: Mapping[str, Any]) -> Hit | None:
        repo = answers.repo_of(RepoType.MODEL, entry.get("id"))
        if repo is None:
            return None
        tasks = entry.get("tasks")
        is_closed = bool(entry.get("gated")) or bool(entry.get("login_required"))
        return Hit(
            repo,
            self.source.kind,
            answers.size(entry.get("file_size")),
            False,
            answers.count(entry.get("downloads")),
            answers.count(entry.get("likes")),
            answers.moment(entry.get("last_modified")),
            RepoAccess.PRIVATE if entry.get("private") is True else RepoAccess.GATED if is_closed else RepoAccess.OPEN,
            str(tasks[0])[:100] if isinstance(tasks, list) and tasks else "",
        )
