"""JSON of somebody else: what can be read in two ways is no document."""

from __future__ import annotations

import pytest

from orchestrator.lists.json_text import parse_folded_json, parse_json

KNOWN = ("layers", "mediaType")


@pytest.mark.parametrize("text", ['{"a": 1, "b": [{"c": {}}]}', '[{"a": 1}, {"a": 2}]', '{"a": 1, "A": 2}', '"text"'])
def test_what_has_one_meaning_is_read(text: str) -> None:
    assert parse_json(text) == parse_json(text.encode()) == parse_json(b"\xef\xbb\xbf" + text.encode())


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": 1, "a": 1}',
        b'[[{"x": {"a": 1, "b": 2, "a": 3}}]]',
        b'{"a": 1, "\\u0061": 2}',
        b"NaN",
        b"[-Infinity]",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"",
        '{"a": 1}'.encode("utf-16"),
        b'"\xed\xa0\x80"',
        b'"\xff"',
    ],
)
def test_what_can_be_read_in_two_ways_or_not_at_all_is_refused(text: bytes) -> None:
    for parse in (parse_json, lambda given: parse_folded_json(given, KNOWN)):
        with pytest.raises(ValueError, match=r".+"):
            parse(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"layers": 1, "Layers": 2}',
        '{"LAYERS": 1}',
        '{"a": [{"MediaType": 1}]}',
        '{"layer\u017f": 1}',  # Go folds the long s to s
        '{"x": 1, "X": 2}',
    ],
)
def test_keys_that_differ_by_case_are_refused_where_readers_fold_them(text: str) -> None:
    with pytest.raises(ValueError, match="its case only"):
        parse_folded_json(text, KNOWN)


def test_known_and_other_keys_are_read_where_readers_fold_them() -> None:
    text = '{"mediaType": "m", "layers": [], "Other": {"x": 1}}'
    assert parse_folded_json(text, KNOWN) == parse_json(text)
