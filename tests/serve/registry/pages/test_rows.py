"""Rows of the registry's pages: what stands for a digest, who moved what, and bounds of texts from outside."""

from __future__ import annotations

import pytest

from orchestrator.registry.aliases import Alias
from orchestrator.registry.audit import Deed, TrailEvent
from orchestrator.registry.contents import FileDelta, KeyDelta, VersionDifference, VersionFacts
from orchestrator.registry.ledger import Edition, ModelLedger
from orchestrator.registry.versions import Version
from orchestrator.serve.registry.pages.rows import (
    MOST_VERSIONS,
    alias_rows,
    choices,
    difference_rows,
    model_row,
    shown,
    trail_row,
    version_rows,
)

ONE, TWO, OTHER = (f"sha256:{digit * 64}" for digit in "12f")


def ledger(*versions: str, **aliases: str) -> ModelLedger:
    """A model with these versions, of the digests 1…, 2…, and aliases for digests."""
    return ModelLedger(
        {
            Version.parse(text): Edition(f"sha256:{format(n, 'x') * 64}"[:71], n, "ann", float(n))
            for n, text in enumerate(versions, 1)
        },
        {name: Alias((digest,)) for name, digest in aliases.items()},
    )


def event(deed: Deed, name: str, before: str = "", after: str = "", version: str = "", who: str = "bob") -> TrailEvent:
    return TrailEvent(7, 9.0, who, deed, "team/model", name, before, after, version)


def test_the_newest_release_is_told_of_a_model_and_a_prerelease_where_there_is_no_other() -> None:
    found = model_row("team/model", ledger("1.2.0", "2.0.0-rc.1", prod=ONE, old=OTHER))
    assert (found.newest, found.size, found.at, found.versions) == ("1.2.0", 1, 1.0, 2)
    assert found.aliases == (("old", "f" * 12), ("prod", "1.2.0"))
    assert model_row("team/model", ledger("2.0.0-rc.1")).newest == "2.0.0-rc.1"
    assert model_row("team/model", ModelLedger()).newest == ""


def test_an_alias_says_who_moved_it_to_where_it_stands() -> None:
    trail = [event(Deed.MOVE, "prod", after=ONE), event(Deed.MOVE, "prod", ONE, TWO, who="eve")]
    (found,) = alias_rows(ledger("1.0.0", "1.1.0", prod=ONE), trail)
    assert (found.name, found.target, found.who, found.at) == ("prod", "1.0.0", "bob", 9.0)
    (unknown,) = alias_rows(ledger("1.0.0", prod=ONE), [])
    assert (unknown.who, unknown.at) == ("", 0.0)


def test_versions_come_newest_first_each_with_the_one_before() -> None:
    facts = {ONE: VersionFacts("https://user:secret@hub/org/m?token=x", "a" * 40, ("b/c",) * 9, is_signed=True)}
    newest, oldest = version_rows(ledger("1.0.0", "1.1.0", prod=ONE), facts)
    assert (newest.version, newest.before, newest.facts, newest.aliases) == ("1.1.0", "1.0.0", None, ())
    assert (oldest.version, oldest.before, oldest.aliases, oldest.who) == ("1.0.0", "", ("prod",), "ann")
    assert oldest.facts == VersionFacts("***@hub/org/m?***", "a" * 12, ("b/c",) * 4, is_signed=True)


def test_of_many_versions_the_newest_have_a_row_and_all_can_be_compared() -> None:
    many = ledger(*(f"1.0.{n}" for n in range(99)), prod=ONE)
    found = version_rows(many, {})
    assert len(found) == MOST_VERSIONS
    assert (found[0].version, found[-1].before) == ("1.0.98", f"1.0.{98 - MOST_VERSIONS}")
    assert choices(many) == ["prod", *(f"1.0.{n}" for n in reversed(range(99)))]


@pytest.mark.parametrize(
    ("one", "before", "after"),
    [
        (event(Deed.MOVE, "prod", ONE, TWO, "1.1.0"), "1.0.0", "1.1.0"),
        (event(Deed.MOVE, "prod", "", OTHER), "", "f" * 12),
        (event(Deed.REMOVE, "prod", ONE), "1.0.0", ""),
        (event(Deed.PUBLISH, "1.0.0", "", ONE, "1.0.0"), "", ""),
        (event(Deed.SIGN, "1.0.0", "", ONE, "1.0.0"), "", ""),
        (event(Deed.ADOPT, "1.0.0", "", ONE, "1.0.0"), "", ""),
        (event(Deed.ADOPT, "prod", "", ONE, "1.0.0"), "", "1.0.0"),
        (event(Deed.RESTORE, "prod", OTHER, ONE, "1.0.0"), "f" * 12, "1.0.0"),
    ],
)
def test_a_change_says_what_stood_there_and_what_stands_there(one: TrailEvent, before: str, after: str) -> None:
    found = trail_row(one, ledger("1.0.0", "1.1.0"))
    assert (found.number, found.who, found.name) == (7, "bob", one.name)
    assert (found.before, found.after) == (before, after)


def test_files_are_added_removed_or_changed() -> None:
    files = (FileDelta("a", None, 1), FileDelta("b", 2, None), FileDelta("c", 3, 4))
    found = difference_rows(VersionDifference(ONE, TWO, files, (), 5, 6))
    assert [row.change for row in found.files] == ["added", "removed", "changed"]
    assert (found.same, found.fetched, found.is_equal) == (5, 6, False)
    assert difference_rows(VersionDifference(ONE, ONE)).is_equal


def test_texts_from_outside_are_bounded_and_so_are_rows() -> None:
    files = tuple(FileDelta(f"{n:04}" + "x" * 900, 1, 2) for n in range(2000))
    keys = tuple(KeyDelta(f"{n:04}", "y" * 900, None) for n in range(2000))
    found = difference_rows(VersionDifference(ONE, TWO, files, keys))
    assert (len(found.files), found.more_files) == (500, 1500)
    assert (len(found.keys), found.more_keys) == (300, 1700)
    assert {len(row.path) for row in found.files} == {161}
    assert {row.after for row in found.keys} == {None}
    assert {len(row.before or "") for row in found.keys} == {161}
    assert len(trail_row(event(Deed.MOVE, "prod", who="z" * 500), ledger()).who) == 49
    assert shown("a\u202eb\x1b[2J\n") == "a\\u202eb\\x1b[2J\\n"
