"""Aliases: compare and set, and two sites that moved one apart from each other."""

from __future__ import annotations

import pytest

from orchestrator.registry.aliases import Alias, AliasMovedError

A, B, C = "sha256:a", "sha256:b", "sha256:c"


def test_an_alias_moves_for_who_names_what_it_stands_for() -> None:
    alias = Alias().moved(A, (), "one", 1)
    assert alias.digest == A
    assert alias.moved(B, (A,), "one", 1).digest == B
    with pytest.raises(AliasMovedError) as caught:
        alias.moved(B, (C,), "one", 1)
    assert caught.value.present == (A,)
    with pytest.raises(AliasMovedError):
        alias.moved(B, (), "one", 1)


def test_a_removed_alias_stands_for_nothing_and_can_be_made_again() -> None:
    alias = Alias().moved(A, (), "one", 1).moved("", (A,), "one", 1)
    assert alias.digest is None
    assert alias.moved(B, (), "one", 1).digest == B


def test_of_two_sites_that_moved_it_apart_neither_wins() -> None:
    agreed = Alias().moved(A, (), "one", 1)
    here, there = agreed.moved(B, (A,), "one", 1), agreed.moved(C, (A,), "two", 1)
    both = here.merged(there)
    assert both == there.merged(here)
    assert both.is_disputed
    assert both.digest == A
    assert both.heads == {B, C}
    with pytest.raises(AliasMovedError) as caught:
        both.moved(B, (B,), "one", 1)
    assert caught.value.present == (B, C)
    settled = both.moved(C, (B, C), "one", 1)
    assert (settled.digest, settled.is_disputed) == (C, False)
    assert settled.merged(there) == settled.merged(here) == settled


def test_a_site_that_learns_of_a_later_move_has_it() -> None:
    agreed = Alias().moved(A, (), "one", 1)
    later = agreed.moved(B, (A,), "two", 1)
    assert agreed.merged(later).digest == B


def test_moves_of_long_ago_are_forgotten_and_do_not_come_back() -> None:
    first = alias = Alias().moved(A, (), "one", 1)
    for turn in range(200):
        alias = alias.moved((B, A)[turn % 2], (alias.digest or "",), "one", 1 + turn // 50)
    assert len(alias.edits.made) < 70
    assert alias.merged(first).digest == alias.digest
    assert not alias.merged(first).is_disputed
