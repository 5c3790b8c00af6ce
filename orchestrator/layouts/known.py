"""All layouts, by the names that `--layout` takes."""

from __future__ import annotations

from typing import Literal

from orchestrator import templating
from orchestrator.layouts.comfyui import ComfyUi
from orchestrator.layouts.interface import Layout
from orchestrator.layouts.llama_cpp import LlamaCpp, LlamaCppFlat
from orchestrator.layouts.lm_studio import LmStudio
from orchestrator.layouts.modelscope import ModelScope, OlderModelScope
from orchestrator.layouts.ollama import Ollama
from orchestrator.layouts.plain import parse_layouts
from orchestrator.layouts.text_generation_webui import TextGenerationWebui

ToolName = Literal[
    "lm-studio",
    "llama.cpp",
    "llama.cpp-flat",
    "text-generation-webui",
    "comfyui",
    "modelscope",
    "modelscope-1.37",
    "ollama",
]
LayoutName = Literal["flat", "project", ToolName]

TOOLS: tuple[Layout, ...] = (
    LmStudio(),
    LlamaCpp(),
    LlamaCppFlat(),
    TextGenerationWebui(),
    ComfyUi(),
    ModelScope(),
    OlderModelScope(),
    Ollama(),
)
"""The layouts of other programs."""


def layouts() -> dict[str, Layout]:
    """The layouts of other programs, and those of templates/layouts.toml."""
    return {**parse_layouts(templating.read("layouts.toml")), **{layout.name: layout for layout in TOOLS}}
