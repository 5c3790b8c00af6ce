"""Tables that a benchmark writes into a document, between its marks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def written(module: str, marks: tuple[str, str], folder: Path, *words: str) -> str:
    """Run a module of `scripts` with these words; the document after that, of which only the inside is another."""
    document = folder / "benchmarks.md"
    document.write_text(f"above\n{marks[0]}\nold\n{marks[1]}\nbelow\n")
    argv = [sys.executable, "-m", module, *words, "--write", "--docs", str(document)]
    subprocess.run(argv, cwd=ROOT, check=True, timeout=300, capture_output=True)
    text = document.read_text()
    assert text.startswith(f"above\n{marks[0]}\n")
    assert text.endswith(f"\n{marks[1]}\nbelow\n")
    assert "\nold\n" not in text
    assert str(folder) not in text
    return text
