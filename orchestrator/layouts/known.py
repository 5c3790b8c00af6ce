"""All layouts, by the names that `--layout` takes."""

from __future__ import annotations

from typing import Literal

from orchestrator import templating
from orchestrator.layouts.interface import Layout
from orchestrator.layouts.lm_studio import LmStudio
from orchestrator.layouts.plain import parse_layouts

ToolName = Literal["lm-studio"]
LayoutName = Literal["flat", "project", ToolName]

TOOLS: tuple[Layout, ...] = (LmStudio(),)
"""The layouts of other programs."""


def layouts() -> dict[str, Layout]:
    """The layouts of other programs, and those of templates/layouts.toml."""
    return {**parse_layouts(templating.read("layouts.toml")), **{layout.name: layout for layout in TOOLS}}
