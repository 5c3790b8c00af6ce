"""The table of settings: one declaration each, and no two that are spelled alike."""

from __future__ import annotations

from collections import Counter
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from orchestrator.settings import Settings, load
from orchestrator.settings.table import KEYS, PLAIN

# What follows from other settings, or from the variables of huggingface_hub.
DERIVED = {"hf_home", "mirror_proxies", "token_withheld", "origins", "warnings"}


def test_each_field_is_declared_or_follows_from_others() -> None:
    assert {item.name for item in fields(Settings)} == (KEYS.keys() - {"token_file"}) | DERIVED


def test_no_two_settings_are_spelled_alike() -> None:
    spellings = [*(k.flag for k in KEYS.values()), *(v for k in KEYS.values() for v in k.variables)]
    spellings += [key.toml for key in KEYS.values()]
    assert [name for name, count in Counter(filter(None, spellings)).items() if count > 1] == []
    assert all(key.flag or key.variables or key.toml for key in KEYS.values())


@pytest.mark.parametrize("name", KEYS)
def test_each_says_what_it_means(name: str) -> None:
    about = KEYS[name].about
    assert about.endswith(".")
    assert "|" not in about, "it stands in a table of the reference"


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_setting_has_the_default_of_its_field_where_nothing_is_said(name: str, tmp_path: Path) -> None:
    settings = load(environ={"HF_HOME": str(tmp_path)}, folder=tmp_path, personal=tmp_path / "none")
    default = next(item.default for item in fields(Settings) if item.name == name)
    assert default is not MISSING
    assert getattr(settings, name) == default
    assert settings.origins[name] == "default"
