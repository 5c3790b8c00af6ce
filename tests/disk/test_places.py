"""Paths that users name, and where this user is at home."""

from pathlib import Path

import pytest

from orchestrator.disk import places
from orchestrator.errors import UsageError


def test_no_path_is_resolved_by_pathlib() -> None:
    """`Path.resolve` raises RuntimeError for a loop of symlinks before Python 3.13; `os.path.realpath` never does."""
    package = Path(__file__).parents[2] / "orchestrator"
    found = [
        f"{path.name}:{number}"
        for path in package.rglob("*.py")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if ".resolve()" in line
    ]
    assert not found


def test_the_nearest_place_exists(tmp_path: Path) -> None:
    assert places.nearest(tmp_path / "a" / "b") == tmp_path
    (tmp_path / "file").write_bytes(b"")
    assert places.nearest(tmp_path / "file" / "b") == tmp_path / "file"


def test_a_place_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/homes/me")
    monkeypatch.chdir(tmp_path)
    assert places.absolute("a") == tmp_path / "a"
    assert places.absolute("a", Path("b")) == tmp_path / "b" / "a"
    assert places.absolute("~/a", Path("b")) == Path("/homes/me/a")
    with pytest.raises(UsageError, match="no home folder"):
        places.absolute("~nobody-has-this-name/a")
