"""Cards of models: the licence and the bases that they name."""

from __future__ import annotations

import pytest

from orchestrator.oci.cards import bases_of, license_of


@pytest.mark.parametrize(
    ("card", "found"),
    [
        ("---\nlicense: mit\ntags: [x]\n---\n# M", "mit"),
        ("---\r\nlicense: 'apache-2.0'\r\n---\r\n", "apache-2.0"),
        ("# M\nlicense: mit\n", None),
        ("---\nlicense: a b\n---\n", None),
        ("", None),
    ],
)
def test_the_licence_of_a_card(card: str, found: str | None) -> None:
    assert license_of(card) == found


@pytest.mark.parametrize(
    ("card", "found"),
    [
        ("---\nbase_model: org/base\n---\n", ("org/base",)),
        ("---\nbase_model: 'gpt2'  # small\ntags:\n- x/y\n---\n", ("gpt2",)),
        ('---\r\nlicense: mit\r\nbase_model:\r\n- a/b\r\n  - "c/d"\r\ntags:\r\n- e/f\r\n---\r\n', ("a/b", "c/d")),
        ('---\nbase_model: [a/b, "c/d"]\n---\n', ("a/b", "c/d")),
        ("---\nbase_model: <b>x</b>\n---\n", ()),
        ("---\nbase_model:\n---\n", ()),
        ("---\nbase_model_relation: adapter\n---\n", ()),
        ("base_model: org/base\n", ()),
        ("", ()),
    ],
)
def test_the_bases_of_a_card(card: str, found: tuple[str, ...]) -> None:
    assert bases_of(card) == found
