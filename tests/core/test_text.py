"""Text from the network before a person sees it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.text import printable, redacted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain name.json", "plain name.json"),
        ("Größe 模型", "Größe 模型"),
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("a\r\nerror: forged", "a\\r\\nerror: forged"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\x9b31m", "\\x9b31m"),
        ("\ud800", "\\ud800"),
        ("a\u200bb\u2028", "a\\u200bb\\u2028"),
        ("[red]markup[/red]", "[red]markup[/red]"),
    ],
)
def test_what_cannot_be_seen_is_spelled_out(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters()))
def test_nothing_but_visible_characters_is_left(text: str) -> None:
    assert printable(text).isprintable()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://cdn/f?X-Amz-Signature=abc&x=1 failed", "https://cdn/f?*** failed"),
        ("url: /f?Expires=1&Signature=abc (Caused by", "url: /f?*** (Caused by"),
        ("http://me:pw@proxy:1", "http://***@proxy:1"),
        ("mlflow://fraud@champion is a ref", "mlflow://fraud@champion is a ref"),
        ("the token hf_abcdefghijk is", "the token hf_*** is"),
        ("['token:s3cret', 'gid']", "['token:***', 'gid']"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("did you mean trust.root?", "did you mean trust.root?"),
    ],
)
def test_secrets_of_others_messages_are_left_out(text: str, shown: str) -> None:
    assert redacted(text) == shown
