"""Which ranges of a file that is not here come from the root, and how much of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from orchestrator.core.files import RepoFile
from orchestrator.core.plan import ResolvedModel
from orchestrator.errors import SourcesDownError
from orchestrator.serve.access.callers import ANYBODY
from orchestrator.serve.delivery.ranges import Excerpt, excerpt
from orchestrator.serve.delivery.snippets import LONGEST, Snippets
from orchestrator.serve.stock.library import Library
from tests import plain
from tests.plain import Clock

MIB = 1 << 20
SIZE = 160 * MIB
FILE = RepoFile("a.safetensors", SIZE, plain.file_of("a.safetensors", b"a").digest, is_lfs=True)
MODEL = plain.model_of()


class Root:
    """A library whose root sends zeros."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.is_down = False
        self.is_believed = True

    def has_word_of_root(self, _model: ResolvedModel) -> bool:
        return self.is_believed

    def excerpt(self, _model: ResolvedModel, _file: RepoFile, start: int, end: int) -> bytes:
        self.asked.append((start, end))
        if self.is_down:
            raise SourcesDownError("the root does not answer")
        return bytes(end - start)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as made:
        yield made


def cut(text: str) -> Excerpt:
    return excerpt({"range": text}, SIZE, "etag")


def play(root: Root, pool: ThreadPoolExecutor, clock: Clock, *asked: str) -> list[int | None]:
    """The lengths of what clients get who ask for these ranges, one after the other."""

    async def run() -> list[int | None]:
        snippets = Snippets(cast(Library, root), asking=pool, each=4, clock=clock)
        found = []
        for text in asked:
            if text == "an hour later":
                clock.now += 3601
                continue
            got = await snippets.get(MODEL, FILE, cut(text), ANYBODY)
            found.append(None if got is None else len(got))
        return found

    return asyncio.run(run())


@pytest.mark.parametrize("text", ["", "bytes=5-", f"bytes=0-{LONGEST}", f"bytes=-{LONGEST + 1}", "bytes=0-1,5-6"])
def test_what_is_no_small_range_is_waited_for(pool: ThreadPoolExecutor, text: str) -> None:
    root = Root()
    assert play(root, pool, Clock(), text) == [None]
    assert root.asked == []


def test_a_range_that_was_passed_on_is_kept_for_others(pool: ThreadPoolExecutor) -> None:
    root = Root()
    assert play(root, pool, Clock(), "bytes=0-99", "bytes=0-99", "bytes=-8") == [100, 100, 8]
    assert root.asked == [(0, 100), (SIZE - 8, SIZE)]


def test_no_more_than_a_sixteenth_in_an_hour(pool: ThreadPoolExecutor) -> None:
    pieces = [f"bytes={n * 4 * MIB}-{(n + 1) * 4 * MIB - 1}" for n in range(4)]
    found = play(Root(), pool, Clock(), *pieces, "an hour later", pieces[3])
    assert found == [4 * MIB, 4 * MIB, None, None, 4 * MIB]


@pytest.mark.parametrize(("attribute", "value"), [("is_down", True), ("is_believed", False)])
def test_where_the_root_does_not_send_it_the_file_is_waited_for(
    pool: ThreadPoolExecutor, attribute: str, value: Any
) -> None:
    root = Root()
    setattr(root, attribute, value)
    assert play(root, pool, Clock(), "bytes=0-99") == [None]
