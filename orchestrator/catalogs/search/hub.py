"""A Hub (huggingface.co, or a mirror of it) that is searched.

`GET /api/{type}s?search=&sort=&limit=&expand=…` as huggingface_hub 2.4 asks (`HfApi.list_models`). The listing of
models refuses `usedStorage` (huggingface_hub pull request 3182), which counts all revisions anyway, so a size costs a
request of its own: `GET /api/{type}s/{id}/revision/main?blobs=true` has that of each file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

from orchestrator.catalogs.search import answers
from orchestrator.catalogs.search.interface import Hit, Quantization, Query, RepoAccess, SearchOrder
from orchestrator.core.refs import RepoType
from orchestrator.core.sources import Source
from orchestrator.lists.quantizations import models_in
from orchestrator.net import shapes
from orchestrator.net.session import Net

_EXPANDED: Mapping[RepoType, tuple[str, ...]] = {
    RepoType.MODEL: ("downloads", "gated", "lastModified", "likes", "pipeline_tag", "private", "safetensors"),
    RepoType.DATASET: ("downloads", "gated", "lastModified", "likes", "private"),
    RepoType.SPACE: ("lastModified", "likes", "private"),
}
_SORTS = {SearchOrder.DOWNLOADS: "downloads", SearchOrder.LIKES: "likes", SearchOrder.UPDATED: "lastModified"}
# Of safetensors, in bits. Others do not occur in what people pull, or pack several weights into one.
_BITS = {"F64": 64, "I64": 64, "F32": 32, "I32": 32, "U32": 32, "BF16": 16, "F16": 16, "I16": 16, "U16": 16}
_BITS |= {"F8_E4M3": 8, "F8_E5M2": 8, "I8": 8, "U8": 8, "BOOL": 8}


class HubSearcher:
    """Implements `Searcher` for sites that speak the Hub's API."""

    def __init__(self, source: Source, net: Net) -> None:
        self.source = source
        self._net = net

    def find(self, query: Query) -> tuple[Hit, ...]:
        """See `Searcher.find`."""
        # Nobody counts the downloads of a space.
        is_counted = query.type is not RepoType.SPACE or query.order is not SearchOrder.DOWNLOADS
        sort = _SORTS[query.order if is_counted else SearchOrder.LIKES]
        asked: list[tuple[str, str | int]] = [("search", query.words), ("sort", sort), ("limit", query.limit)]
        asked += [("filter", "gguf")] if query.gguf else []
        asked += [("expand", name) for name in (*_EXPANDED[query.type], *(("siblings",) if query.gguf else ()))]
        site = self.source.name
        answer = answers.ask(self._net, self.source, f"{self.source.url}/api/{query.type.plural}?{urlencode(asked)}")
        entries = shapes.sequence(answer.value, site, "what it found")
        found = (self._hit(query.type, shapes.mapping(entry, site, "what it found")) for entry in entries)
        return tuple(hit for hit in found if hit is not None)[: query.limit]

    def measure(self, hit: Hit) -> Hit:
        """See `Searcher.measure`."""
        main = quote(hit.kind.main, safe="")
        answer = answers.ask(self._net, self.source, f"{self.source.api_url(hit.repo)}/revision/{main}?blobs=true")
        site = self.source.name
        info = shapes.mapping(answer.value, site, "the revision")
        files = [entry for entry in shapes.sequence(info.get("siblings"), site, "the files") if isinstance(entry, dict)]
        sizes = {str(entry.get("rfilename")): shapes.size(entry, "size", site, "a file") for entry in files}
        # The same bytes at two paths are fetched once.
        blobs = {str(entry.get("blobId") or entry.get("rfilename")): entry["size"] for entry in files}
        named = _quantizations(tuple(sizes), sizes) if hit.quantizations else ()
        return replace(hit, size=sum(blobs.values()), is_estimate=False, quantizations=named)

    def _hit(self, kind: RepoType, entry: Mapping[str, Any]) -> Hit | None:
        repo = answers.repo_of(kind, entry.get("id"))
        if repo is None:
            return None
        estimate = _weights(entry.get("safetensors"))
        listed = entry.get("siblings")
        siblings = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
        paths = [str(one.get("rfilename")) for one in siblings]
        is_private = entry.get("private") is True
        return Hit(
            repo,
            self.source.kind,
            estimate,
            estimate is not None,
            answers.count(entry.get("downloads")),
            answers.count(entry.get("likes")),
            answers.moment(entry.get("lastModified")),
            RepoAccess.PRIVATE if is_private else RepoAccess.GATED if entry.get("gated") else RepoAccess.OPEN,
            answers.word(entry, "pipeline_tag"),
            _quantizations(paths, {}),
        )


def _quantizations(paths: Sequence[str], sizes: Mapping[str, int]) -> tuple[Quantization, ...]:
    """The quantisations by their names, each once: a name that several models have is no REF."""
    models = models_in(paths)
    counts = Counter(model.label for model in models)
    return tuple(
        Quantization(model.label, sum(sizes[path] for path in model.paths) if sizes else None)
        for model in models
        if counts[model.label] == 1
    )


def _weights(told: object) -> int | None:
    """Bytes of the weights, from the number of parameters of each type; None where one is not known."""
    parameters = told.get("parameters") if isinstance(told, dict) else None
    if not isinstance(parameters, dict) or not parameters:
        return None
    bits = [_BITS.get(name, 0) * (answers.size(number) or 0) for name, number in parameters.items()]
    return sum(bits) // 8 if all(bits) else None
