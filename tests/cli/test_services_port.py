"""The services of the program answer to all that the commands call."""

from __future__ import annotations

import ast
from pathlib import Path

from orchestrator.app.services import Services
from orchestrator.cli import commands


def test_each_call_of_a_command_is_a_service() -> None:
    called = set()
    for path in Path(str(commands.__file__)).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Call):
                function = node.value.func
                if isinstance(function, ast.Name) and function.id == "services":
                    called.add(node.attr)
    assert called == {name for name in vars(Services) if not name.startswith("_")} - {"settings"}
