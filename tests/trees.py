"""The modules of the package as trees, for tests that look through all of them."""

from __future__ import annotations

import ast
import gc
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "orchestrator"


@dataclass(frozen=True)
class Module:
    """A text of Python, and where it lies in the package."""

    source: str
    path: Path

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """All nodes, those of the outermost blocks first."""
        return tuple(ast.walk(ast.parse(self.source)))


def package() -> list[Module]:
    """All modules, parsed. To parse takes nearly all of the time of such a test: make them once for a file of tests."""
    # With so many nodes that stay, the collector would take twice as long as the parser, and find nothing.
    gc.disable()
    try:
        found = [Module(path.read_text("utf-8"), path.relative_to(PACKAGE)) for path in sorted(PACKAGE.rglob("*.py"))]
        assert all(module.nodes is not None for module in found)
    finally:
        gc.enable()
    return found
