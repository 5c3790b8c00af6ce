"""A Hub and ModelScope, as they are asked and understood."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from orchestrator.catalogs.search.hub import HubSearcher
from orchestrator.catalogs.search.interface import Hit, Quantization, Query, RepoAccess, SearchOrder
from orchestrator.catalogs.search.modelscope import ModelScopeSearcher
from orchestrator.core.dialects import HUGGINGFACE, MODELSCOPE
from orchestrator.core.refs import RepoType, parse_ref
from orchestrator.core.sources import Source
from orchestrator.errors import GlmAriaError, NotAllowedError, ProtocolError, TemporaryError
from orchestrator.net.answers import Limits
from orchestrator.net.credentials import Credentials
from orchestrator.net.session import Net
from tests.catalogs.search.conftest import GGUF, WEIGHTS, Shops
from tests.hub.faults import Fault
from tests.hub.wire import Reply, Request, json_reply


def net(shops: Shops, token: str | None = None) -> Net:
    return Net(Credentials(token, frozenset({shops.hub.host})), sleep=lambda _: None, limits=Limits(attempts=2))


def hub(shops: Shops, token: str | None = None) -> HubSearcher:
    return HubSearcher(Source("the-hub", shops.hub.url, HUGGINGFACE, is_root=True), net(shops, token))


def modelscope(shops: Shops, token: str | None = None) -> ModelScopeSearcher:
    return ModelScopeSearcher(Source("scope", shops.modelscope.url, MODELSCOPE), net(shops, token))


def names(hits: tuple[Hit, ...]) -> list[str]:
    return [hit.ref for hit in hits]


def test_a_hub_tells_what_it_knows_of_each_model_by_downloads(shops: Shops) -> None:
    found = hub(shops).find(Query("phone"))
    assert names(found) == ["zai/Phone-9B", "ggml/phone-GGUF", "org/phone-gated"]
    first = found[0]
    assert (first.downloads, first.likes, first.task, first.access) == (500, 7, "image-text-to-text", RepoAccess.OPEN)
    assert first.updated == 1_700_000_000
    assert found[2].access is RepoAccess.GATED
    assert first.is_estimate
    assert first.size == 2 * (100 * 50 + 7), "two bytes for each parameter of BF16"
    assert found[1].size is None, "nobody knows the size of a GGUF repo from its number of parameters"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query("phone", order=SearchOrder.LIKES), ["ggml/phone-GGUF", "zai/Phone-9B", "org/phone-gated"]),
        (Query("phone", limit=1), ["zai/Phone-9B"]),
        (Query("phone gguf"), ["ggml/phone-GGUF"]),
        (Query("zai/phone"), ["zai/Phone-9B"]),
        (Query("phone", gguf=True), ["ggml/phone-GGUF"]),
        (Query("phone", type=RepoType.DATASET), ["datasets/org/phone-calls"]),
        (Query("phone", type=RepoType.SPACE), ["spaces/org/phone-demo"]),
        (Query("nothing like it"), []),
    ],
)
def test_a_hub_is_asked_for_what_is_wanted_and_each_name_is_a_ref(
    shops: Shops, query: Query, expected: list[str]
) -> None:
    found = hub(shops).find(query)
    assert names(found) == expected
    assert [parse_ref(hit.ref).repo for hit in found] == [hit.repo for hit in found]


def test_the_token_finds_private_models_at_the_root_and_goes_nowhere_else(shops: Shops) -> None:
    found = hub(shops, "hf_in").find(Query("private"))
    assert [(hit.ref, hit.access) for hit in found] == [("org/phone-private", RepoAccess.PRIVATE)]
    modelscope(shops, "hf_in").find(Query("phone"))
    assert shops.hub.log.tokens(face="hub") == {"hf_in"}
    assert shops.hub.log.tokens(face="modelscope") == set()


@pytest.mark.parametrize("kind", RepoType)
def test_the_size_of_a_hit_is_that_of_its_distinct_files(shops: Shops, kind: RepoType) -> None:
    searcher = hub(shops)
    (hit, *_) = searcher.find(Query("phone", type=kind))
    measured = searcher.measure(hit)
    assert not measured.is_estimate
    assert (
        measured.size
        == {
            RepoType.MODEL: len(WEIGHTS) + 2,  # config.json and its twin are one blob
            RepoType.DATASET: 77,
            RepoType.SPACE: 11,
        }[kind]
    )


def test_quantisations_have_the_size_of_their_shards(shops: Shops) -> None:
    searcher = hub(shops)
    (hit,) = searcher.find(Query("phone", gguf=True))
    assert hit.quantizations == (Quantization("Q4_K_M", None), Quantization("Q8_0", None))
    measured = searcher.measure(hit)
    assert measured.quantizations == (Quantization("Q4_K_M", 4000), Quantization("Q8_0", 8000))
    assert measured.size == sum(map(len, GGUF.values()))


def test_modelscope_tells_size_and_task_of_models_alone(shops: Shops) -> None:
    searcher = modelscope(shops)
    found = searcher.find(Query("phone"))
    assert [(hit.ref, hit.size, hit.downloads) for hit in found] == [
        ("ms://china/Phone-only", 123, 20_000),
        ("ms://Zhipu/Phone-9B", 999, 9000),
    ]
    assert (found[0].task, found[0].updated) == ("chat", 1_700_000_000)
    assert [parse_ref(hit.ref).catalog for hit in found] == [MODELSCOPE, MODELSCOPE]
    assert searcher.measure(found[0]) == found[0]
    assert names(searcher.find(Query("Zhipu/phone"))) == ["ms://Zhipu/Phone-9B"]
    asked = len(shops.hub.log.requests(face="modelscope"))
    assert searcher.find(Query("phone", type=RepoType.DATASET)) == ()
    assert len(shops.hub.log.requests(face="modelscope")) == asked


@pytest.mark.parametrize("make", [hub, modelscope])
def test_a_site_that_cannot_be_asked_says_why(
    shops: Shops, make: Callable[..., HubSearcher | ModelScopeSearcher]
) -> None:
    searcher, face = make(shops), "hub" if make is hub else "modelscope"
    shops.hub.fault(Fault("status", status=500), face=face)
    with pytest.raises(TemporaryError):
        searcher.find(Query("phone"))
    shops.hub.clear_faults()
    shops.hub.fault(Fault("html_portal"), face=face)
    with pytest.raises(ProtocolError, match="JSON"):
        searcher.find(Query("phone"))
    shops.hub.clear_faults()
    shops.hub.fault(Fault("status", status=404), face=face)
    with pytest.raises(ProtocolError, match="cannot search"):
        searcher.find(Query("phone"))


def test_a_token_that_is_not_accepted_is_told(shops: Shops) -> None:
    with pytest.raises(NotAllowedError, match="does not accept the token") as caught:
        hub(shops, "hf_wrong").find(Query("phone"))
    assert caught.value.hint is not None
    assert "hf auth login" in caught.value.hint


_ODD: tuple[object, ...] = ({}, [], None, True, -1, 1e300, "x" * 10_000, [[]], {"total": 1}, 2**70, 10**309)


@pytest.mark.parametrize("value", _ODD, ids=lambda value: str(value)[:20])
def test_odd_fields_of_what_was_found_are_not_told(shops: Shops, value: object) -> None:
    fields = ("downloads", "likes", "lastModified", "last_modified", "safetensors", "siblings", "pipeline_tag", "tasks")
    odd = dict.fromkeys((*fields, "file_size", "gated"), value)
    entries = [{"id": "org/odd", **odd}, {"id": value}, {"id": "../../etc"}, {}]

    def spoil(request: Request, _reply: Reply) -> Reply:
        return json_reply(entries if "/api/" in request.path else {"success": True, "data": {"models": entries}})

    for face, searcher in (("hub", hub(shops)), ("modelscope", modelscope(shops))):
        shops.hub.rewrite(spoil, face)
        (hit,) = searcher.find(Query("odd", gguf=True))
        assert hit.repo.name == "org/odd"
        assert hit.size is None or hit.size >= 0
        assert hit.updated is None
        assert len(hit.task) <= 100


@pytest.mark.parametrize(
    "body",
    [{}, [1], {"success": False, "message": "no"}, {"data": []}, {"data": {"models": {}}}, {"data": {"models": [3]}}],
    ids=json.dumps,
)
def test_an_answer_of_another_shape_is_an_error(shops: Shops, body: object) -> None:
    for face, searcher in (("hub", hub(shops)), ("modelscope", modelscope(shops))):
        shops.hub.rewrite(lambda _request, _reply: json_reply(body), face)
        with pytest.raises(GlmAriaError) as caught:
            searcher.find(Query("phone"))
        assert isinstance(caught.value, ProtocolError)
