"""Folders of other programs on this machine: where they are, and whose a folder is."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from orchestrator.disk.places import home
from orchestrator.errors import UsageError
from orchestrator.layouts.interface import Layout, Surroundings, ToolFolder
from orchestrator.layouts.known import TOOLS, layouts

_NAME_IT = "name DIR, or --layout NAME for a program's own folder"


@dataclass(frozen=True, slots=True)
class ChosenFolder:
    """A folder, and the layout in which it is; None for any folder."""

    at: ToolFolder
    layout: Layout | None


def here() -> Surroundings:
    """The surroundings of this process."""
    return Surroundings(home(), os.environ)


def folder_of(layout: Layout, named: Path | None, around: Surroundings) -> ToolFolder:
    """The folder that the user named, or the one of the layout's program. Raises UsageError when there is neither."""
    if named is not None:
        return ToolFolder(named, "")
    found = layout.find(around)
    if found is None and not layout.is_of_program:
        raise UsageError("no folder for the model is named", hint=_NAME_IT)
    if found is None:
        raise UsageError(
            f"nothing says where {layout.title} keeps its models",
            hint=f"name the folder: --layout {layout.name} … DIR",
        )
    return found


def folder_to_read(layout: str | None, named: Path | None, around: Surroundings) -> ChosenFolder:
    """The folder to import from. Without a layout, it is that of the program whose own folder the user named, if any.

    Raises UsageError when there is neither a folder nor a program that says one.
    """
    if layout is not None:
        known = layouts()[layout]
        return ChosenFolder(folder_of(known, named, around), known)
    if named is None:
        raise UsageError("no folder to import from is named", hint=_NAME_IT)
    for known in TOOLS:
        found = known.find(around)
        with contextlib.suppress(OSError):
            if found is not None and found.folder.samefile(named):
                return ChosenFolder(ToolFolder(named, f"{known.title}: {found.because}"), known)
    return ChosenFolder(ToolFolder(named, ""), None)
