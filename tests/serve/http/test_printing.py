"""Long documents: what they hold, and that others are not kept waiting."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.files import Algorithm, Digest, RepoFile, RepoTree
from orchestrator.core.plan import ResolvedModel
from orchestrator.core.refs import Ref
from orchestrator.core.trust import Level, Trust
from orchestrator.serve.access.callers import ANYBODY
from orchestrator.serve.http.printing import LONG, Print, encoded
from orchestrator.serve.hub.documents import about, paths_info, tree_page
from orchestrator.serve.hub.grammar import AboutRepo, TreePage
from orchestrator.serve.stock.inquiries import Inquiries
from tests.plain import ONE, REPO

COUNT = 20_000


def large(count: int = COUNT) -> ResolvedModel:
    digest = Digest(Algorithm.GIT_SHA1, "1" * 40)
    files = tuple(RepoFile(f"{n // 1000:03d}/{n:06d}.json", 1, digest, False, digest.hex) for n in range(count))
    tree = RepoTree(ONE, files)
    return ResolvedModel(Ref(REPO, "main"), tree, tree, Trust(Level.ROOT, "https://root.test"))


VALUES = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@given(VALUES, st.integers(0, 2 * LONG))
def test_it_is_what_json_has(value: Any, count: int) -> None:
    document = {"a": value, "list": [value] * count, "b": {"c": [1] * count}}
    assert json.loads(encoded(document)) == json.loads(json.dumps(document).encode())
    assert json.loads(encoded([value] * count)) == [json.loads(json.dumps(value))] * count


def test_no_step_of_the_encoder_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder of C lets no other thread run until it is done."""
    sizes = []
    dumps = json.dumps

    def noted(document: Any, **options: Any) -> str:
        sizes.append(len(text := dumps(document, **options)))
        return text

    monkeypatch.setattr(json, "dumps", noted)
    body = about(AboutRepo(Ref(REPO, "main"), blobs=True), large()).printed().body
    assert len(body) > 100 * COUNT / 2
    assert max(sizes) < 1000
    assert len(sizes) > COUNT


@pytest.mark.parametrize("asked", [AboutRepo(Ref(REPO, "main")), TreePage(Ref(REPO, "main"), "", recursive=True)])
def test_others_go_on_while_a_long_document_is_made(asked: AboutRepo | TreePage) -> None:
    model = large()

    def step() -> Print:
        return (about(asked, model) if isinstance(asked, AboutRepo) else tree_page(asked, model)).printed()

    async def run() -> None:
        with ThreadPoolExecutor(2) as pool:
            inquiries = Inquiries(cast(Any, None), asking=pool, looking=pool, each=1)
            making = asyncio.ensure_future(inquiries.made("a", step, ANYBODY))
            also = asyncio.ensure_future(inquiries.made("a", step, ANYBODY))
            turns = 0
            while not making.done():
                await asyncio.sleep(0)
                turns += 1
            assert turns > 10
            made = await making
            # One copy for all who read it, however slowly.
            assert await also is made
            assert await inquiries.made("a", step, ANYBODY) is made

    asyncio.run(run())


def test_pages_are_the_whole_listing() -> None:
    model = large(5000)
    names: list[str] = []
    start = 0
    for _ in range(6):
        page = tree_page(TreePage(Ref(REPO, "main"), "", True, start), model)
        names += [entry["path"] for entry in page.document]
        start += 1000
    assert page.then is None
    assert sorted(names) == sorted({file.path for file in model.tree.files} | {f"{n:03d}" for n in range(5)})


def test_paths_of_a_long_listing() -> None:
    paths = ["000/000001.json", "019", "000/", "00", "none", "", "/"]
    found = paths_info(json.dumps({"paths": paths}).encode(), "application/json", large()).document
    assert [entry["path"] for entry in found] == ["000/000001.json", "019", "000"]
