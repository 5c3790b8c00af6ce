"""Folders of models as programs of others keep them: readers of names and small files that trust nothing of them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.core.refs import Ref, RepoId, RepoType
from orchestrator.disk.access import belongs_to_others
from orchestrator.errors import GlmAriaError
from orchestrator.platform.files import walk_paths
from orchestrator.system.small_files import SETTINGS_BYTES, read_small


def folders_in(folder: Path) -> tuple[Path, ...]:
    """The folders in one, sorted, without hidden ones. Empty where it cannot be read.

    Links to folders count, but not those of others: the names of what they lead to may be nobody's business.
    """
    found = []
    with contextlib.suppress(OSError):
        for path in sorted(folder.iterdir()):
            with contextlib.suppress(OSError):
                is_planted = path.is_symlink() and belongs_to_others(path.lstat())
                if not path.name.startswith(".") and path.is_dir() and not is_planted:
                    found.append(path)
    return tuple(found)


def has_file(folder: Path) -> bool:
    """True when something that is no folder lies somewhere below."""
    return any(names for _, _, names in walk_paths(folder))


def refs_of(*names: str) -> Iterator[Ref]:
    """The ref of each name that may be one of a model, at its main branch."""
    for name in names:
        with contextlib.suppress(GlmAriaError):
            yield Ref(RepoId(RepoType.MODEL, name))


def read_json(path: Path) -> Any:
    """The content of a small JSON file of a program's; None where it is none, or cannot be read."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        return json.loads(read_small(path, SETTINGS_BYTES, follow=True))
    return None


def read_folder(path: Path, key: str) -> Path | None:
    """The folder that a small JSON file names by its whole path below `key`."""
    said = read_json(path)
    named = said.get(key) if isinstance(said, dict) else None
    return Path(named) if isinstance(named, str) and Path(named).is_absolute() else None


def read_text(path: Path) -> str:
    """The content of a small file; empty where it is no text, or cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        return read_small(path, SETTINGS_BYTES, follow=True).decode()
    return ""


def read_line(path: Path) -> str | None:
    """The first line of a small file, without blanks around; None where there is none."""
    text = read_text(path).strip()
    return text.splitlines()[0] if text else None
