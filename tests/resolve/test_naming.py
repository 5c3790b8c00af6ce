"""Odd names of a listing: told once a kind, refused on demand, tried on the disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.files import RepoTree
from orchestrator.core.plan import ResolvedModel
from orchestrator.core.trust import Level, Trust
from orchestrator.errors import UnsafeError
from orchestrator.resolve import naming
from tests import plain
from tests.plain import Heard


def model(*paths: str, left_out: tuple[str, ...] = ()) -> ResolvedModel:
    tree = plain.tree_of(content=dict.fromkeys(paths, b"x"))
    tree = RepoTree(tree.commit, tree.files, left_out)
    return ResolvedModel(plain.ref(), tree, tree, Trust(Level.ROOT, "r"))


def test_ordinary_names_are_not_worth_a_word() -> None:
    heard = Heard()
    naming.tell_oddities(model("a.json", "sub/b.json"), heard, portable=True)
    assert heard.codes == []


def test_each_kind_of_oddity_is_told_once() -> None:
    heard = Heard()
    naming.tell_oddities(model("aux.txt", "con.txt", left_out=("link (a link)", "b (a link)")), heard, portable=False)
    assert heard.codes == ["not-portable", "left-out"]
    assert all("(and 1 more)" in message for message in heard.messages)


def test_portable_names_are_demanded_of_the_whole_listing() -> None:
    odd = model("a.json", "con.txt")
    wanted = replace(odd, wanted=odd.tree.select(("*.json",)))
    naming.tell_oddities(wanted, Heard(), portable=False)
    with pytest.raises(UnsafeError, match=r"con\.txt"):
        naming.tell_oddities(wanted, Heard(), portable=True)


def test_what_the_disk_cannot_hold_is_refused_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Path] = []

    def can_hold(folder: Path, _names: object) -> bool:
        tried.append(folder)
        return folder != tmp_path / "plain"

    monkeypatch.setattr(naming, "can_hold", can_hold)
    (tmp_path / "plain").mkdir()
    with plain.cache(tmp_path) as cache:
        naming.refuse_what_disk_cannot_hold(model("a.json"), cache.layout, tmp_path / "plain")
        assert tried == []
        naming.refuse_what_disk_cannot_hold(model("con.txt"), cache.layout, None)
        with pytest.raises(UnsafeError, match="nothing was fetched"):
            naming.refuse_what_disk_cannot_hold(model("con.txt"), cache.layout, tmp_path / "plain")
