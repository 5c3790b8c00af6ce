"""What people read: no message shows the name of a variable where its value was meant."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.trees import PACKAGE, Module, package

# Text beside an f-string without an f of its own, or a brace that was doubled by mistake.
UNFILLED = re.compile(r"\{[a-z_][\w.]*\}")


# Words that an edit left twice: "run it run it".
DOUBLED = re.compile(r"\b(\w+(?: \w+)+) \1\b")


@pytest.fixture(scope="module")
def modules() -> list[Module]:
    return package()


def of(source: str) -> Module:
    return Module(source, Path("x.py"))


def assert_none(faults: Callable[[Module], Iterator[str]], modules: list[Module]) -> None:
    """Assert that no module has one of these faults."""
    found = [line for module in modules for line in faults(module)]
    assert not found, "\n".join(found)


def unfilled(module: Module) -> Iterator[str]:
    """Each piece of an f-string that still holds a replacement field as text."""
    for node in module.nodes:
        for part in node.values if isinstance(node, ast.JoinedStr) else ():
            if isinstance(part, ast.Constant) and UNFILLED.search(str(part.value)):
                yield f"{module.path}:{part.lineno}: {part.value!r}"


def test_a_forgotten_f_is_seen() -> None:
    assert list(unfilled(of('x = f"{a} said" " it to {b.name}"')))
    assert not list(unfilled(of('x = f"{a} said" f" it to {b.name}"')))


def test_every_message_is_filled_in(modules: list[Module]) -> None:
    assert_none(unfilled, modules)


def doubled(module: Module) -> Iterator[str]:
    """Each text that says the same two words or more twice in a row."""
    for node in module.nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for found in DOUBLED.finditer(" ".join(node.value.split())):
                yield f"{module.path}:{node.lineno}: {found[0]!r}"


def test_doubled_words_are_seen() -> None:
    assert list(doubled(of('x = "run it run it again"')))
    assert not list(doubled(of('x = "run it again, then stop it"')))


def test_no_text_says_the_same_words_twice(modules: list[Module]) -> None:
    assert_none(doubled, modules)


# What may stand in a command as it is: words of names that hold no character that means something to a shell.
HARMLESS = re.compile(r"quote\(|as_word\(|url_path$|commit$")
COMMAND = re.compile(r"glm-aria(?: [\w@-]+)+ (?:[^ ]*@)?$")


def unquoted(module: Module) -> Iterator[str]:
    """Each command to type that holds a value which a shell may take for something else."""
    for node in module.nodes if "glm-aria" in module.source else ():
        before = ""
        for part in node.values if isinstance(node, ast.JoinedStr) else ():
            if isinstance(part, ast.Constant):
                before += str(part.value)
                continue
            value = ast.unparse(part.value) if isinstance(part, ast.FormattedValue) else ""
            if COMMAND.search(before) and not HARMLESS.search(value):
                yield f"{module.path}:{part.lineno}: {before[-60:]}{{{value}}}"
            before += "VALUE"


def test_an_unquoted_value_is_seen() -> None:
    assert list(unquoted(of('x = f"run: glm-aria pull {ref}"')))
    assert list(unquoted(of('x = f"glm-aria pull {quote(ref)} --lock {name} adds it"')))
    assert not list(unquoted(of('x = f"glm-aria pull {as_word(ref)}: {error}"')))


def test_every_command_to_type_is_quoted(modules: list[Module]) -> None:
    assert_none(unquoted, modules)


ROOT = PACKAGE.parent
# The first word of a docstring that has a clause as its subject: "What is fetched now" for "The files to fetch".
HEADLESS = re.compile(r"(?:What|Who|Whose|Whom|Whoever|Where|Which|Whether|When|Why|How|Nobody|Nothing)\b")
MAYBE_HEADLESS = re.compile(rf'"""\s*{HEADLESS.pattern}')
ODD_WORDS = re.compile(
    r"\b(?:anew|befall\w*|befell|knock\w*|whoever|do(?:es|ne|ing)? without|none of our business"
    r"|t(?:ell(?:s|ing)?|old) of|go(?:es|ing)? by)\b",
    re.IGNORECASE,
)


def headless(module: Module) -> Iterator[str]:
    """Each docstring that begins with a clause instead of an imperative or a noun phrase."""
    for node in module.nodes if MAYBE_HEADLESS.search(module.source) else ():
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node) or ""
            if HEADLESS.match(text):
                yield f"{module.path}:{getattr(node, 'lineno', 1)}: {text.splitlines()[0]}"


def odd_words(text: str, path: str) -> Iterator[str]:
    """Each use of a word that plain technical English has a better one for, also across lines of a comment."""
    for found in ODD_WORDS.finditer(re.sub(r"\n\s*(?:# )?", " ", text)):
        yield f"{path}: {found.string[max(0, found.start() - 40) : found.end() + 40]}"


def test_a_headless_docstring_is_seen() -> None:
    assert list(headless(of('def f():\n    """What is fetched."""')))
    assert not list(headless(of('def f():\n    """The files to fetch."""')))


def test_an_odd_word_is_seen() -> None:
    assert list(odd_words("# A mirror that does\n# without it.", "x.py"))
    assert not list(odd_words("# Skip a mirror that does not answer.", "x.py"))


def test_every_docstring_begins_with_an_imperative_or_a_noun(modules: list[Module]) -> None:
    assert_none(headless, modules)


def test_code_and_english_documents_use_plain_words() -> None:
    documents = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "STYLE.md", "docs/reliability.md")]
    guides = [path for path in (ROOT / "docs/guides").glob("*.md") if not path.name.endswith(".zh-CN.md")]
    found = [
        line
        for path in sorted([*PACKAGE.rglob("*.py"), *documents, *guides])
        for line in odd_words(path.read_text("utf-8"), str(path.relative_to(ROOT)))
    ]
    assert not found, "\n".join(found)
