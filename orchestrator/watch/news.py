"""MoveNews of models that have moved, so that a watch need not ask again and again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from orchestrator.lists.request import Item


class MoveNews(Protocol):
    """Source of moves; no method of it waits."""

    def follow(self, items: Iterable[Item]) -> None:
        """Listen for moves of these from now on."""

    def moved(self) -> frozenset[Item]:
        """Those that have moved, or may have, since this was asked last."""

    def hears(self, item: Item) -> bool:
        """True while a move of this one would be told."""


class _NoNews:
    def follow(self, items: Iterable[Item]) -> None:
        pass

    def moved(self) -> frozenset[Item]:
        return frozenset()

    def hears(self, item: Item) -> bool:  # noqa: ARG002 - none
        return False


NO_NEWS: MoveNews = _NoNews()
