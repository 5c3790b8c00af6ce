"""All layouts, by the names that `--layout` takes."""

from __future__ import annotations

from typing import Literal

from orchestrator.layouts.interface import Layout
from orchestrator.layouts.lm_studio import LmStudio
from orchestrator.layouts.plain import parse_layouts

ToolName = Literal["lm-studio"]
LayoutName = Literal["flat", "project", ToolName]

_TOOLS: tuple[Layout, ...] = (LmStudio(),)


def layouts(table: str) -> dict[str, Layout]:
    """The layouts of other programs, and those of the table (templates/layouts.toml)."""
    return {**parse_layouts(table), **{layout.name: layout for layout in _TOOLS}}
