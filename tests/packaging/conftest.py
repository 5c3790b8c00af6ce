"""A clean checkout, for what is judged as a stranger would get it."""

import shutil
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What git tracks or would track, in a folder of its own: no build output or cache of this clone comes along."""
    if not (REPO / ".git").exists() or shutil.which("git") is None:
        pytest.skip("needs a git clone")
    target = tmp_path_factory.mktemp("clone")
    listing = subprocess.run(
        ["git", "-c", f"safe.directory={REPO}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listing.stdout.split("\0")):
        source = REPO / name
        if source.is_file():  # a tracked file may have been deleted in the work tree
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)
    return target
