"""docs/security.md names tests and defaults that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.settings.table import KEYS, PLAIN, Settings

TOP = Path(__file__).parents[1]
TEXT = (TOP / "docs" / "security.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/.]+)::(\w+)`", TEXT)))


def test_it_names_tests() -> None:
    assert len(NAMED) > 30


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[name for _, name in NAMED])
def test_a_named_test_is_there(path: str, name: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", (TOP / path).read_text(), re.MULTILINE), f"{path} has no {name}"


def test_defaults_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| [^|]+ \| ([^|]+) \| `([\w.]+)` \|$", TEXT, re.MULTILINE)
    defaults = {KEYS[name].toml: Settings.__dataclass_fields__[name].default for name in PLAIN}
    assert {name for _, name in rows} >= {toml for toml in defaults if toml.startswith("serve.client_")}
    for said, name in rows:
        assert said == str(defaults[name] or "none"), name
