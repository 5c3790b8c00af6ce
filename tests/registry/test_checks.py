"""Rules before an alias moves, and their file."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.errors import UsageError
from orchestrator.registry.checks import AliasGate, Verdict, parse_gates
from orchestrator.registry.contents import VersionContents, VersionFile, difference, parse_config
from orchestrator.registry.names import model_named

MODEL = model_named("team/model")


def contents(config: Any = None, **files: str) -> VersionContents:
    """A version with these files, each with a text for its digest, and as many bytes."""
    listed = tuple(
        VersionFile(name.replace("__", "/").replace("_", "."), len(text), text) for name, text in files.items()
    )
    return VersionContents("sha256:x", listed, config)


def verdicts(gate: AliasGate, version: VersionContents, present: VersionContents | None = None) -> list[str]:
    return [result.verdict.value for result in gate.check(version, present)]


def test_config_keys_may_be_nested() -> None:
    gate = AliasGate(config_keys=("a", "b.c"))
    assert verdicts(gate, contents({"a": 1, "b": {"c": None}})) == ["passed"]
    for config in ({"a": 1}, {"a": 1, "b": 3}, {"b": {"c": 1}}, {}, None):
        assert verdicts(gate, contents(config)) == ["failed"]


def test_the_tokenizer_is_compared_with_that_of_before() -> None:
    gate = AliasGate(same_tokenizer=True)
    before = contents(tokenizer_json="1", model_safetensors="x")
    assert verdicts(gate, contents(tokenizer_json="1", model_safetensors="y"), before) == ["passed"]
    assert verdicts(gate, contents(tokenizer_json="2"), before) == ["failed"]
    assert verdicts(gate, contents(model_safetensors="x"), before) == ["failed"]
    assert verdicts(gate, contents(tokenizer_json="1", merges_txt="m"), before) == ["failed"]
    assert verdicts(gate, contents(tokenizer_json="2"), None) == [Verdict.SKIPPED.value]


@pytest.mark.parametrize("name", ["pytorch_bin", "x_PT", "sub__optimizer_pkl", "a_ckpt", "w_h5", "x_npz"])
def test_a_file_that_may_run_code_is_not_safe(name: str) -> None:
    gate = AliasGate(safe_formats=True)
    assert verdicts(gate, contents(model_safetensors="x", README_md="x", model_gguf="x")) == ["passed"]
    assert verdicts(gate, contents(**{"model_safetensors": "x", name: "x"})) == ["failed"]


def test_a_size_has_a_limit() -> None:
    assert verdicts(AliasGate(max_size=5), contents(a_txt="123", b_txt="12")) == ["passed"]
    assert verdicts(AliasGate(max_size=4), contents(a_txt="123", b_txt="12")) == ["failed"]


def test_a_file_of_rules_names_models_and_aliases() -> None:
    (gate,) = parse_gates(
        '[[gate]]\nmodels = "team/*"\naliases = ["prod", "canary-*"]\nconfig_keys = ["a"]\n'
        'tokenizer = "unchanged"\nformats = "safe"\nmax_size = "1 KB"',
        "rules",
    )
    assert gate == AliasGate(("team/*",), ("prod", "canary-*"), ("a",), True, True, 1000)
    assert [gate.is_before(MODEL, alias) for alias in ("prod", "canary-1", "staging")] == [True, True, False]
    assert not gate.is_before(model_named("other/model"), "prod")
    assert parse_gates("", "rules") == ()


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[gate]\n",
        "[[gates]]\n",
        '[[gate]]\nformat = "safe"',
        '[[gate]]\nformats = "any"',
        '[[gate]]\ntokenizer = "same"',
        '[[gate]]\nmax_size = "big"',
        "[[gate]]\nconfig_keys = [1]",
        '[[gate]]\nmodels = "a b"',
        "gate = [1]",
        "gate = [[]]",
        "[[gate]]\nmax_size = -1",
        "[[gate]]\nmax_size = 0",
        "[[gate]]\nmax_size = 1.5",
        "[[gate]]\nmax_size = true",
        "[[gate]]\nmax_size = " + "9" * 400,
        '[[gate]]\nmax_size = "99999999999999T"',
        '[[gate]]\nmax_size = "1 KB"\naliases = []',
        '[[gate]]\nmax_size = "1 KB"\naliases = ""',
        '[[gate]]\nmax_size = "1 KB"\nmodels = []',
        "[[gate]]\nconfig_keys = []",
        '[[gate]]\naliases = "prod"',
    ],
)
def test_a_file_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_gates(text, "rules")


def test_a_difference_counts_what_somebody_lacks_once() -> None:
    before = contents({"a": {"b": 1}}, a_txt="same", b_txt="old")
    after = contents({"a": {"b": 2}}, a_txt="same", c_txt="new1", d_txt="new1", e_txt="old")
    found = difference(before, after)
    assert [(one.path, one.before, one.after) for one in found.files] == [
        ("b.txt", 3, None),
        ("c.txt", None, 4),
        ("d.txt", None, 4),
        ("e.txt", None, 3),
    ]
    assert [(one.key, one.before, one.after) for one in found.config] == [("a.b", "1", "2")]
    assert (found.same, found.bytes_to_fetch) == (1, 4)


@pytest.mark.parametrize("text", [b"", b"[]", b"\xff", b"{", b"[" * 100_000])
def test_a_config_that_is_no_object_is_none(text: bytes) -> None:
    assert parse_config(text) is None
