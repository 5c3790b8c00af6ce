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


# What may stand in a command as it is: words of names that hold no character that means something to a shell.
HARMLESS = re.compile(r"quote\(|as_word\(|url_path$|commit$")
COMMAND = re.compile(r"glm-aria(?: [\w@-]+)+ (?:[^ ]*@)?$")


def unquoted(source: str, path: str) -> Iterator[str]:
    """Each command to type that holds a value which a shell may take for something else."""
    for node in ast.walk(ast.parse(source)):
        before = ""
        for part in node.values if isinstance(node, ast.JoinedStr) else ():
            if isinstance(part, ast.Constant):
                before += str(part.value)
                continue
            value = ast.unparse(part.value) if isinstance(part, ast.FormattedValue) else ""
            if COMMAND.search(before) and not HARMLESS.search(value):
                yield f"{path}:{part.lineno}: {before[-60:]}{{{value}}}"
            before += "VALUE"


def test_an_unquoted_value_is_seen() -> None:
    assert list(unquoted('x = f"run: glm-aria pull {ref}"', "x.py"))
    assert list(unquoted('x = f"glm-aria pull {quote(ref)} --lock {name} adds it"', "x.py"))
    assert not list(unquoted('x = f"glm-aria pull {as_word(ref)}: {error}"', "x.py"))


def test_every_command_to_type_is_quoted() -> None:
    found = [
        line
        for path in sorted(PACKAGE.rglob("*.py"))
        for line in unquoted(path.read_text("utf-8"), str(path.relative_to(PACKAGE)))
    ]
    assert not found, "\n".join(found)
