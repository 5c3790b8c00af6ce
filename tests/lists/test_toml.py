"""TOML of somebody else: what it may cost, and what is a document nevertheless."""

from __future__ import annotations

import tomllib
from resource import RUSAGE_SELF, getrusage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.lists.toml import parse_toml

KIB = 1 << 10
DOTS = "a." * (32 * KIB)


def seconds() -> float:
    return getrusage(RUSAGE_SELF).ru_utime


@pytest.mark.parametrize(
    "text",
    [
        f"{DOTS}a = 1",
        f"[{DOTS}a]\n" + "b = 1\n" * KIB,
        f"[[{DOTS}a]]",
        f"x = {{{DOTS}a = 1}}",
        "'a' . " * (8 * KIB) + "a = 1",
        f'x = {{k = """a"""", {DOTS}a = 1}}',
        f"x = {{k = '''a'''', {DOTS}a = 1}}",
        f'x = """"""\n{DOTS}a = 1',
    ],
    ids=["key", "table", "array", "inline", "quoted", "four quotes", "four apostrophes", "empty"],
)
def test_a_key_of_very_many_parts_is_refused_at_once(text: str) -> None:
    begun = seconds()
    with pytest.raises(ValueError, match="more than 32 parts"):
        parse_toml(text)
    assert seconds() - begun < 0.5


@pytest.mark.parametrize(
    "text",
    ['\\"""' * (16 * KIB), '"' * (64 * KIB), "'" * (64 * KIB), "x='''" + "''\\" * (16 * KIB), "a" + " ." * (32 * KIB)],
)
def test_strings_without_an_end_cost_little(text: str) -> None:
    begun = seconds()
    with pytest.raises(ValueError, match=r".+"):
        parse_toml(text)
    assert seconds() - begun < 0.5


@pytest.mark.parametrize(
    "text",
    [
        ".".join("a" * 32) + " = 1",
        f"a = '{DOTS}'",
        f'a = """{DOTS}"" {DOTS}"""',
        f"# {DOTS}\na = 1",
        "a = [" + "1.5, " * 100 + "]",
    ],
    ids=["32 parts", "text", "lines", "comment", "numbers"],
)
def test_points_elsewhere_count_for_nothing(text: str) -> None:
    assert parse_toml(text) == tomllib.loads(text)


@given(st.text(alphabet="ab.=\"'\\#[]{},\n 1", max_size=60))
def test_any_other_text_is_what_the_library_reads(text: str) -> None:
    try:
        expected: object = tomllib.loads(text)
    except ValueError:
        expected = None
    try:
        found: object = parse_toml(text)
    except ValueError:
        found = None
    assert found == expected


@given(st.lists(st.sampled_from(['"""', "'''", '"', "'", "\\", "#", "\n", "x", " ", ",", "=", "{", "}"]), max_size=12))
def test_no_string_hides_a_key(parts: list[str]) -> None:
    """What the library reads as a key of very many parts is seen, whatever stands before it."""
    text = "".join(parts) + ".".join("k" * 40) + " = 1"
    try:
        found = tomllib.loads(text)
    except ValueError:
        return
    if depth(found) >= 40:
        with pytest.raises(ValueError, match="32 parts"):
            parse_toml(text)


def depth(value: object) -> int:
    return 1 + max(map(depth, value.values()), default=0) if isinstance(value, dict) else 0
