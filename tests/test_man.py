"""The pages for `man` are right by the programs that show them. scripts/check-docs holds their text."""

import shutil
import subprocess
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).parents[1] / "man").glob("man?/*"))
# A date would change the pages whenever they are made.
CHECKS = {
    "groff": (("groff", "-man", "-ww", "-z", "-Tascii"), ""),
    "mandoc": (("mandoc", "-Tlint", "-Wwarning"), "missing date"),
}


def faults(tool: str, *pages: Path) -> list[str]:
    """Each warning of a program about these pages."""
    command, allowed = CHECKS[tool]
    done = subprocess.run([*command, *pages], capture_output=True, text=True, timeout=60, check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if not allowed or allowed not in line]


@pytest.mark.parametrize("tool", CHECKS)
def test_the_pages_have_no_fault(tool: str, tmp_path: Path) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"needs {tool}")
    wrong = tmp_path / "wrong.1"
    wrong.write_text('.TH WRONG 1 ""\n.SH NAME\nwrong \\- wrong\n.IP \\[u2027]\\[nosuch] 2 2 2\n.NOSUCH\n')
    assert faults(tool, wrong)
    assert len(PAGES) > 20
    assert faults(tool, *PAGES) == []


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
def test_a_page_shows_what_the_help_says() -> None:
    page = next(path for path in PAGES if path.name == "glm-aria-pull.1")
    shown = subprocess.run(
        ["groff", "-man", "-Tascii", "-P-cbou", page], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert "--max-speed SIZE" in shown
    assert "glm-aria pull -f models.txt --json >report.json" in shown
