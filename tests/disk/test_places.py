"""Paths that users name, and where this user is at home."""

from pathlib import Path


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
