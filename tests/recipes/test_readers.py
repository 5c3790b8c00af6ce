"""Readers of values: what they let through is no directive of the program that it is written for."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import UsageError
from orchestrator.recipes import readers
from orchestrator.recipes.readers import StreamServer

READERS = {name: getattr(readers, name) for name in (
    "address", "path", "path_or_none", "size", "time", "count", "listen", "port", "resolvers", "plain_resolvers",
    "hosts", "servers",
)}  # fmt: skip
HARMLESS = set(string.ascii_letters + string.digits + ".:[]_~/@+%*-")
TEXTS = st.text(st.sampled_from("ab1.:/-_[]%h~*=,") | st.characters(), max_size=12)
GOOD = {
    "address": ("https://a.b/c", "https://a.b/c"),
    "path": ("%h/x", "%h/x"),
    "path_or_none": ("", ""),
    "size": ("200g", "200g"),
    "time": ("30s", "30s"),
    "count": ("3", "3"),
    "listen": ("::1", "[::1]"),
    "port": ("8090", 8090),
    "resolvers": ("1.1.1.1, ::1", ["1.1.1.1", "[::1]"]),
    "plain_resolvers": ("1.1.1.1 ::1", ["1.1.1.1", "::1"]),
    "hosts": ("HF.co,a.b", ["hf.co", "a.b"]),
    "servers": ("a:1=3 [::1]:2", [StreamServer("a:1", 3), StreamServer("[::1]:2", 1)]),
}


def test_every_reader_of_a_line_is_here() -> None:
    assert READERS.keys() == GOOD.keys()


@pytest.mark.parametrize("name", READERS)
def test_what_is_meant_is_read(name: str) -> None:
    text, value = GOOD[name]
    assert READERS[name](text) == value


@pytest.mark.parametrize("name", READERS)
@given(text=TEXTS)
def test_what_is_let_through_holds_no_sign_of_a_configuration(name: str, text: str) -> None:
    try:
        value = READERS[name](text)
    except (ValueError, UsageError):
        return
    for part in value if isinstance(value, list) else [value]:
        written = part.address if isinstance(part, StreamServer) else str(part)
        # Names may hold signs of every script: what has a meaning to these programs is ASCII.
        assert {sign for sign in written if sign.isascii() and sign not in HARMLESS} == set()
        assert not any(sign.isspace() for sign in written)


@given(text=st.text(max_size=20).map(lambda text: "/" + text))
def test_a_word_of_systemd_is_one_word(text: str) -> None:
    try:
        word = readers.systemd_word(text)
    except ValueError:
        assert not text.isprintable()
        return
    inside = word[1:-1].replace("\\\\", "").replace('\\"', "").replace("%%", "").replace("$$", "")
    assert (word[0], word[-1]) == ('"', '"')
    assert set(inside).isdisjoint('"\\%$\n')
