"""The words of the dashboard: the same in each language, and the language that a reader likes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from orchestrator.serve.pages.words import chosen, languages


def keys(words: Mapping[str, Any]) -> set[str]:
    nested = {f"{name}.{key}" for name, inner in words.items() if isinstance(inner, Mapping) for key in keys(inner)}
    return set(words) | nested


def test_each_language_has_the_same_words() -> None:
    english, *others = languages().values()
    assert others
    assert all(keys(words) == keys(english) for words in others)


@pytest.mark.parametrize(
    ("asked", "accepted", "code"),
    [
        ("", "", "en"),
        ("", "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("", "en;q=0.3, zh;q=0.7", "zh"),
        ("", "fr-FR, de;q=0.5", "en"),
        ("", "zh;q=0, en", "en"),
        ("", "zh;q=x;;;,,\x00", "en"),
        ("zh", "en", "zh"),
        ("tlh", "zh", "zh"),
    ],
)
def test_a_reader_gets_the_language_that_he_likes(asked: str, accepted: str, code: str) -> None:
    assert chosen(asked, accepted) == code
