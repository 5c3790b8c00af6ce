"""What people read: no message shows the name of a variable where its value was meant."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "orchestrator"
# Text beside an f-string without an f of its own, or a brace that was doubled by mistake.
UNFILLED = re.compile(r"\{[a-z_][\w.]*\}")


def unfilled(source: str, path: str) -> Iterator[str]:
    """Each piece of an f-string that still holds a replacement field as text."""
    for node in ast.walk(ast.parse(source)):
        for part in node.values if isinstance(node, ast.JoinedStr) else ():
            if isinstance(part, ast.Constant) and UNFILLED.search(str(part.value)):
                yield f"{path}:{part.lineno}: {part.value!r}"


def test_a_forgotten_f_is_seen() -> None:
    assert list(unfilled('x = f"{a} said" " it to {b.name}"', "x.py"))
    assert not list(unfilled('x = f"{a} said" f" it to {b.name}"', "x.py"))


def test_every_message_is_filled_in() -> None:
    found = [
        line
        for path in sorted(PACKAGE.rglob("*.py"))
        for line in unfilled(path.read_text("utf-8"), str(path.relative_to(PACKAGE)))
    ]
    assert not found, "\n".join(found)
