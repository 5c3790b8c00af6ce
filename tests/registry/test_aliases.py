"""Aliases: compare and set, and what they stood for."""

from __future__ import annotations

import pytest

from orchestrator.registry.aliases import Alias, AliasMovedError

A, B = "sha256:a", "sha256:b"


def test_an_alias_moves_for_who_names_what_it_stands_for() -> None:
    alias = Alias()
    alias.expect("")
    alias = alias.moved(A)
    assert (alias.digest, alias.last) == (A, A)
    alias.expect(A)
    for wrong in (B, ""):
        with pytest.raises(AliasMovedError) as caught:
            alias.expect(wrong)
        assert caught.value.present == A


def test_a_removed_alias_stands_for_nothing_and_is_known_for_what_it_stood() -> None:
    alias = Alias().moved(A).moved("")
    assert (alias.digest, alias.last) == (None, A)
    alias.expect("")
    assert alias.moved(B).digest == B
    assert (Alias().digest, Alias().last) == (None, None)


def test_moves_of_long_ago_are_forgotten() -> None:
    alias = Alias()
    for turn in range(200):
        alias = alias.moved((A, B)[turn % 2])
    assert len(alias.moves) == 64
    assert alias.digest == B
