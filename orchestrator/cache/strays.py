"""What lies in a cache and is no part of it: what file managers, editors, NAS boxes and people leave in any folder.

Where a listing is known it decides. Where there is none, only names go that no repo has on purpose. Nothing is removed:
a stray is left out of what is listed, verified, linked and counted.
"""

from __future__ import annotations

import re

# Of Macs, Windows, Linux desktops, NAS boxes, network file systems, editors and Python.
_JUNK = re.compile(
    r"""\.DS_Store | \._.* | \.AppleDouble | \.AppleDB | \.Spotlight-V100 | \.Trashes | \.fseventsd | \.apdisk
    | __MACOSX | Thumbs\.db | ehthumbs\.db | desktop\.ini | \$RECYCLE\.BIN | System\ Volume\ Information
    | \.directory | \.Trash-\d+ | lost\+found
    | @eaDir | \#recycle | \.snapshots? | \.zfs | \.nfs[0-9a-f]{8,} | \.fuse_hidden[0-9a-f]+
    | .*~ | \..*\.sw[a-p] | \#.*\# | \.\#.*
    | \.ipynb_checkpoints | __pycache__ | \.idea | \.vscode""",
    re.IGNORECASE | re.VERBOSE,
)
# What git-check-ref-format forbids in a part of a ref.
_NO_REF = re.compile(r"\..* | .*\.lock | .*(?:\.\.|@\{).* | .*[\x00-\x20\x7f~^:?*\[\\].* | .*\.", re.VERBOSE)


def is_junk(path: str) -> bool:
    """True when some part of a relative path is a name that programs leave everywhere."""
    return any(_JUNK.fullmatch(part) for part in path.split("/"))


def is_no_ref(path: str) -> bool:
    """True when a file in `refs/` cannot be a branch or tag: git forbids the name, or it is junk."""
    return is_junk(path) or any(_NO_REF.fullmatch(part) for part in path.split("/"))
