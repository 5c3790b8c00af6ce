"""Lists of models, as plain lines and as TOML."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.refs import parse_ref
from orchestrator.errors import UsageError
from orchestrator.lists.model_list import Include, ListEntry, parse_list

LINES = """\ufeff# our models
zai-org/AutoGLM-Phone-9B

org/name@v1.0 include=*.json include="a b/*" exclude=*.bin   local-dir='plain copy'  # why
ms://ZhipuAI/AutoGLM-Phone-9B\r
"""

TOML = """
[[model]]
ref = "org/name@v1.0"
include = ["*.json", "a b/*"]
exclude = ["*.bin"]
local_dir = "plain copy"
priority = 3

[[model]]
ref = "ms://ZhipuAI/AutoGLM-Phone-9B"
"""


def test_lines_of_a_list_are_entries() -> None:
    assert parse_list(LINES, "models.txt") == (
        ListEntry(parse_ref("zai-org/AutoGLM-Phone-9B")),
        ListEntry(parse_ref("org/name@v1.0"), ("*.json", "a b/*"), ("*.bin",), "plain copy"),
        ListEntry(parse_ref("ms://ZhipuAI/AutoGLM-Phone-9B")),
    )


def test_tables_of_a_toml_list_are_entries() -> None:
    assert parse_list(TOML, "models.toml") == (
        ListEntry(parse_ref("org/name@v1.0"), ("*.json", "a b/*"), ("*.bin",), "plain copy", 3),
        ListEntry(parse_ref("ms://ZhipuAI/AutoGLM-Phone-9B")),
    )


def test_a_revision_holds_for_those_that_name_none() -> None:
    found = parse_list("a/b\nc/d@x\n", "models.txt", revision="v2")
    assert [entry.ref.revision for entry in found if isinstance(entry, ListEntry)] == ["v2", "x"]


@pytest.mark.parametrize("name", ["models.txt", "models.toml"])
def test_an_empty_list_is_empty(name: str) -> None:
    assert parse_list("# nothing\n", name) == ()


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("a/b\n\nc/d e", "list:3: 'e' is not an option", "include=GLOB"),
        ("a/b includ=*", "list:1: 'includ=*'", "include=…"),
        ("a/b include=", "list:1: include= is empty", ""),
        ("a/b 'x", "list:1: no closing quotation", "shell"),
        ("a/b local-dir=x local-dir=y", "list:1: local-dir is given twice", ""),
        ("a//b", "list:1: 'a//b' is not a repo name", "org/name"),
        ("[[model]]\nref='a/b'", "list:1: this looks like TOML", ".toml"),
    ],
)
def test_a_wrong_line_is_named(text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_list(text, "list")
    assert caught.value.message.startswith(message)
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[model]\n", "l.toml: not valid TOML"),
        ("[[models]]\nref='a/b'", "l.toml: unknown key 'models'"),
        ("model = 3", "l.toml: model must be a list of tables"),
        ("[model]\nref='a/b'", "l.toml: model must be a list of tables"),
        ("[[model]]\nref='a/b'\n[[model]]\nrev='x'", "l.toml: model 2: unknown key 'rev'"),
        ("[[model]]\npriority=1", "l.toml: model 1: ref is missing"),
        ("[[model]]\nref='a/b'\npriority=true", "l.toml: model 1: priority must be a whole number"),
        ("[[model]]\nref='a/b'\ninclude='*'", "l.toml: model 1: include must be a list"),
        ("[[model]]\nref='a/b'\nexclude=[1]", "l.toml: model 1: exclude must be a list"),
        ("[[model]]\nref='a/b'\nlocal_dir=''", "l.toml: model 1: local_dir must be"),
        ("[[model]]\nref='a@b@{c'", "l.toml: model 1: "),
    ],
)
def test_a_wrong_table_is_named(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_list(text, "l.toml")
    assert caught.value.message.startswith(message)


@given(st.text(), st.sampled_from(["list", "list.toml"]))
def test_any_text_is_a_list_or_an_error_of_ours(text: str, name: str) -> None:
    with suppress(UsageError):
        assert all(isinstance(entry, Include) or entry.ref for entry in parse_list(text, name))
