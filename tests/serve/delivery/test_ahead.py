"""What is fetched ahead of a client that asks for the small files of a repo one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import pytest

from orchestrator.core.files import Algorithm, Digest, RepoFile, RepoTree
from orchestrator.core.plan import ResolvedModel
from orchestrator.errors import NoSpaceError
from orchestrator.serve.delivery.ahead import Ahead
from orchestrator.serve.delivery.arrivals import Arrivals
from orchestrator.transfer.spans import SMALL
from tests import plain

COUNT = 1000


class Arriving:
    """Notes what is to be brought, in the place of Arrivals."""

    def __init__(self) -> None:
        self.brought: list[list[str]] = []
        self.error: NoSpaceError | None = None

    async def bring(self, model: ResolvedModel, files: Sequence[RepoFile]) -> None:
        self.brought.append([file.path for file in files])
        if self.error:
            raise self.error


@pytest.fixture
def arriving() -> Arriving:
    return Arriving()


def model(size: int = 1000) -> ResolvedModel:
    sizes = {**{f"f{number:04}": size for number in range(COUNT)}, "large": SMALL, "none": 0}
    files = [
        RepoFile(path, count, Digest(Algorithm.GIT_SHA1, f"{number:040x}"), is_lfs=False)
        for number, (path, count) in enumerate(sizes.items())
    ]
    tree = RepoTree.checked(plain.ONE, files)
    return replace(plain.model_of(), tree=tree, wanted=tree)


def ask(arriving: Arriving, known: ResolvedModel, *numbers: int) -> None:
    """A client asks for these files, one after the other."""

    async def run() -> None:
        ahead = Ahead(cast(Arrivals, arriving))
        for number in numbers:
            ahead.asked(known, known.tree.files[number])
            for _ in range(3):
                await asyncio.sleep(0)

    asyncio.run(run())


def test_a_few_requests_bring_nothing(arriving: Arriving) -> None:
    ask(arriving, model(), 0, 1)
    assert arriving.brought == []


def test_who_goes_on_has_twice_as_much_each_time(arriving: Arriving) -> None:
    known = model()
    ask(arriving, known, *range(COUNT))
    assert [len(batch) for batch in arriving.brought][:5] == [16, 32, 64, 128, 256]
    assert max(map(len, arriving.brought)) == 256
    came = [path for batch in arriving.brought for path in batch]
    assert came == [file.path for file in known.tree.files[3:COUNT]]


def test_large_and_empty_files_do_not_count(arriving: Arriving) -> None:
    known = model()
    ask(arriving, known, *[COUNT] * 5, *[COUNT + 1] * 5)
    assert arriving.brought == []


def test_bytes_are_bounded(arriving: Arriving) -> None:
    ask(arriving, model(SMALL - 1), 0, 1, 2)
    assert [len(batch) for batch in arriving.brought] == [9]


def test_who_jumps_begins_anew(arriving: Arriving) -> None:
    ask(arriving, model(), 0, 1, 2, 500)
    assert [(batch[0], len(batch)) for batch in arriving.brought] == [("f0003", 16), ("f0501", 16)]


def test_where_there_is_no_room_it_is_left(arriving: Arriving) -> None:
    arriving.error = NoSpaceError("the disk is full")
    ask(arriving, model(), 0, 1, 2, 3)
    assert len(arriving.brought) == 1
