"""The contents of the registry's pages, asked of a registry: pages of a long trail, and whose changes they are."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict

import pytest

from orchestrator.registry.audit import Deed, TrailEvent
from orchestrator.registry.names import model_named
from orchestrator.rights import Role, Subject
from orchestrator.serve.registry.pages.showing import RegistryShow, TrailSheet
from tests.registry.shop import ADMIN, Shop, shop_in, somebody

TEAM, OTHER = model_named("team/model"), model_named("other/model")
LAST = 12_000


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A registry with a long trail: `old` of the team's was moved at first, and `prod` of two models ever since."""
    with shop_in(tmp_path_factory.mktemp("shop")) as shop:
        fd = os.open(shop.folder / "trail.jsonl", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w") as file:
            for number in range(1, LAST + 1):
                model = TEAM if number % 100 == 0 or number == 1 else OTHER
                name = "old" if number == 1 else "prod"
                event = TrailEvent(number, float(number), "ann", Deed.MOVE, model.name, name, "", "sha256:" + "a" * 64)
                file.write(json.dumps(asdict(event)) + "\n")
        yield shop


def read_through(show: RegistryShow, who: Subject, before: int | None = None) -> Iterator[TrailSheet]:
    """All pages of somebody's trail, the newest first."""
    while True:
        sheet = show.overview(who, "", before).trail
        yield sheet
        before = sheet.older
        if before is None:
            return


def test_a_reader_pages_through_all_changes_of_what_he_may_read_and_no_others(shop: Shop) -> None:
    show = RegistryShow(shop.registry())
    pages = list(read_through(show, somebody(Role.READER, namespace="team")))
    found = [row for page in pages for row in page.rows]
    assert [row.number for row in found] == [*range(LAST, 0, -100), 1]
    assert {row.model for row in found} == {TEAM.name}
    assert [len(page.rows) for page in pages] == [40, 40, 41]


def test_a_page_has_the_newest_and_says_where_older_ones_are(shop: Shop) -> None:
    sheet = RegistryShow(shop.registry()).overview(ADMIN, "", None)
    assert sheet.seen == LAST
    assert [row.number for row in sheet.trail.rows] == list(range(LAST, LAST - 50, -1))
    assert sheet.trail.older == LAST - 49
    assert RegistryShow(shop.registry()).overview(ADMIN, "", 31).trail.older is None


def test_the_changes_of_one_alias_are_found_where_they_are_few(shop: Shop) -> None:
    show = RegistryShow(shop.registry())
    shop.publish("1.0.0", {"config.json": b"{}"}, model=TEAM)
    before: int | None = None
    found: list[int] = []
    for _ in range(4):
        sheet = show.model(ADMIN, TEAM, "old", before)
        found += [row.number for row in sheet.trail.rows]
        before = sheet.trail.older
        if before is None:
            break
    assert found == [1]
