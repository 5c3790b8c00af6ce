"""Make the pictures of docs/pictures: of the terminal, and of the pages of the server in both languages."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from scripts.picturelib.commands import TERMINALS
from scripts.picturelib.pages import PAGES, WIDTH
from scripts.picturelib.terminal import draw, write
from tests.serve.pages.browser import browser

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/pictures", description=(__doc__ or "").strip())
    parser.add_argument("name", nargs="*", choices=[[], *TERMINALS, *PAGES], help="only these")
    wanted = parser.parse_args().name or [*TERMINALS, *PAGES]
    os.environ["NO_PROXY"] = "*"
    with tempfile.TemporaryDirectory(prefix="glm-aria-pictures.") as made:
        folder = Path(made)
        for name in (name for name in TERMINALS if name in wanted):
            is_new = write(PICTURES / f"{name}.svg", draw(TERMINALS[name](folder / name), "glm-aria"))
            print(f"{name}.svg {'is written' if is_new else 'shows the same as before'}")
        if pages := [name for name in PAGES if name in wanted]:
            with browser(folder / "chromium") as page:
                page.resize(WIDTH, 600)
                for name in pages:
                    PAGES[name](page, folder / name, PICTURES)
    return 0


if __name__ == "__main__":
    sys.exit(main())
