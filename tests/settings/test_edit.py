"""The user's file as changes make it: what stays of it, and what wins over it."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.core.dialects import MODELSCOPE
from orchestrator.core.sources import Source
from orchestrator.errors import ConfigError
from orchestrator.settings.edit import diff, texts, write

FILE = """\
# mine
[transfer]
jobs = 3  # few

[[mirror]]
name = "far"
url = "https://far.example"
proxy = "none"
"""
FAR, NEAR = Source("far", "https://far.example"), Source("near", "https://near.example", MODELSCOPE)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(FILE)
    return path


def test_comments_and_order_stay(file: Path) -> None:
    old, new = texts(file, {"transfer.jobs": 16, "dns.resolvers": ["1.1.1.1"]})
    assert old == FILE
    assert new.startswith("# mine\n[transfer]\njobs = 16  # few\n")
    assert 'resolvers = ["1.1.1.1"]' in new
    assert "-jobs = 3  # few" in diff(file, old, new)


def test_mirrors_change_places_and_keep_what_their_tables_say(file: Path) -> None:
    _, new = texts(file, {"mirror": (NEAR, FAR)})
    assert new.index('kind = "modelscope"') < new.index('proxy = "none"')
    assert new.count("[[mirror]]") == 2


def test_a_file_that_is_not_there_is_made_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config.toml"
    old, new = texts(path, {"transfer.jobs": 4})
    write(path, new)
    assert (old, path.read_text(), path.stat().st_mode & 0o777) == ("", "[transfer]\njobs = 4\n", 0o600)


def test_a_file_that_is_no_toml_is_left_alone(file: Path) -> None:
    file.write_text("jobs = ")
    with pytest.raises(ConfigError, match="not valid TOML"):
        texts(file, {})


def test_mirrors_that_another_layer_hides_stay_in_the_file(file: Path) -> None:
    _, new = texts(file, {"mirror": (NEAR,)})
    assert new.index(NEAR.url) < new.index(FAR.url)


def test_a_diff_shows_no_login(file: Path) -> None:
    file.write_text("[transfer]\njobs = 3\nproxy = 'http://me:hidden@proxy.example'\n")
    shown = "\n".join(diff(file, *texts(file, {"transfer.jobs": 4})))
    assert "http://***@proxy.example" in shown
    assert "hidden" not in shown
