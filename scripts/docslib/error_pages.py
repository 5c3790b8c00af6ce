"""docs/errors: the generated parts of the page of each error, and what holds the rest of a page against the code.

An example is written by hand. What it shows as printed must be so in the code: `error:` and `hint:` must be what one
place that makes an error of this code can say.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from orchestrator import manual
from orchestrator.errors import GlmAriaError, Interrupted, UsageError, error_classes

REPO = Path(__file__).parents[2]
PAGES = REPO / "docs" / "errors"
LANGUAGES: dict[manual.Language, str] = {"en": ".md", "zh": ".zh-CN.md"}
_TEXT = re.compile(r"^```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FACTS = {
    "en": ("Exit code", "In JSON", "In Python", "Run it again", ": ", ", "),
    "zh": ("退出码", "JSON 中", "Python 中", "再次运行", "\uff1a", "、"),
}
_AGAIN = {
    "en": ("that is expected to help", "it goes on where it stopped", "once the cause is mended"),
    "zh": ("多半就能成功", "会从停下的地方继续", "先消除原因"),
}
_HEADS = {"en": ("Code", "Exit code", "Meaning"), "zh": ("代码", "退出码", "含义")}
Said = tuple[str, str]
"""Patterns of a message and of its hint."""


# -- generated


def facts(code: str, language: manual.Language = "en") -> str:
    """What the class of an error fixes; in English with the meaning, which is the first line of its docstring."""
    kinds = _classes(code)
    number, json, python, again, colon, comma = _FACTS[language]
    codes = comma.join(map(str, manual.codes()[code]))
    names = comma.join(f"`{kind.__name__}`" for kind in kinds)
    when = _AGAIN[language][0 if kinds[0].retryable else 1 if kinds[0].resumable else 2]
    lines = [f"- {number}{colon}{codes}", f'- {json}{colon}`"code": "{code}"`']
    lines += [f"- {python}{colon}{names}", f"- {again}{colon}{when}"]
    return (f"{_meaning(kinds[0])}\n\n" if language == "en" else "") + "\n".join(lines) + "\n"


def index(language: manual.Language = "en") -> str:
    """The table of all codes."""
    rows = ["| " + " | ".join(_HEADS[language]) + " |", "|---|---|---|"]
    for code, numbers in manual.codes().items():
        file = PAGES / (code + LANGUAGES[language])
        if file.exists():
            meaning = _meaning(_classes(code)[0]) if language == "en" else manual.ErrorPage.read(code, language).meaning
            rows.append(f"| [`{code}`]({file.name}) | {', '.join(map(str, numbers))} | {meaning} |")
    return "\n".join(rows) + "\n"


def _classes(code: str) -> list[type[GlmAriaError]]:
    return [kind for kind in error_classes() if kind.code == code and kind.__module__ == GlmAriaError.__module__]


def _meaning(kind: type[GlmAriaError]) -> str:
    return "A bug in the program." if kind is GlmAriaError else (kind.__doc__ or "").strip().split("\n")[0]


# -- checked


def check(pages: Path = PAGES) -> Iterator[str]:
    """No code lacks a page, no page lacks a code, and each page is of the one form."""
    for ending in LANGUAGES.values():
        here = {path.name.removesuffix(ending) for path in pages.glob(f"*{ending}")}
        here = {name for name in here if not name.endswith(".zh-CN")} - {"README"}
        for code in sorted(here ^ manual.codes().keys()):
            yield f"docs/errors/{code}{ending}: {'no error has this code' if code in here else 'the page is missing'}"
    for code in manual.codes():
        english, chinese = (pages / (code + ending) for ending in LANGUAGES.values())
        if english.exists() and chinese.exists():
            yield from (
                f"docs/errors/{english.name}: {fault}" for fault in _check_page(code, english.read_text("utf-8"))
            )
            if _TEXT.findall(english.read_text("utf-8")) != _TEXT.findall(chinese.read_text("utf-8")):
                yield f"docs/errors/{chinese.name}: another example than in English"


def _check_page(code: str, text: str) -> Iterator[str]:
    titles = re.findall(r"^#+ .*$", text, re.MULTILINE)
    if titles != [f"# {code}", "## Why", "## What to do"]:
        yield f"the headings are {titles}"
    if f"generated: error:{code} " not in text:
        yield "the facts from the code are missing"
    examples = _TEXT.findall(text)
    if len(examples) != 1:
        yield f"{len(examples)} examples, and not one"
    for example in examples:
        yield from _check_example(code, example)


def _check_example(code: str, example: str) -> Iterator[str]:
    lines = example.splitlines()
    said, hints = (
        [line.removeprefix(word) for line in lines if line.startswith(word)] for word in ("error: ", "hint: ")
    )
    more = [line.removeprefix("more: ") for line in lines if line.startswith("more: ")]
    is_own = code == "partial"  # which is the exit code of several others
    wanted = code if not is_own else more[0].split()[-1] if more else ""
    kinds = _classes(wanted)
    if issubclass(kinds[0], Interrupted | UsageError):
        said = said or lines[1:2]
        if more:
            yield "nothing is said about `more:` there"
    elif more != [manual.command(wanted)]:
        yield f"it ends with: more: {manual.command(wanted)}"
    for message in said:
        if not any(_is(message, first) and _is_hint(hints, second) for first, second in _said_by(wanted)):
            yield f"no place in the code says: {message!r}, with the hint {hints}"


def _is(text: str, pattern: str) -> bool:
    return re.fullmatch(pattern, text) is not None


def _is_hint(hints: list[str], pattern: str) -> bool:
    return _is(hints[0], pattern) if hints else pattern in ("", ".+")


@cache
def _said_by(code: str) -> tuple[Said, ...]:
    """What each place that makes an error of this code can say."""
    kinds = _classes(code)
    if Interrupted in kinds:
        stop = Interrupted(2)
        return ((re.escape(stop.message), re.escape(stop.hint or "")),)
    usual = next((re.escape(kind.usual_hint) for kind in kinds if kind.usual_hint), "")
    found: list[Said] = []
    for name in (kind.__name__ for kind in kinds):
        found += ((message, hint or usual) for message, hint in _made().get(name, ()))
    return tuple(found)


@cache
def _made() -> dict[str, list[Said]]:
    """What the calls in the code say, by the name of the class that they make an error of."""
    names = {kind.__name__ for kind in error_classes()}
    made: dict[str, list[Said]] = {}
    for path in sorted((REPO / "orchestrator").rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        known = _assigned(tree)
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            first = getattr(call.args[0], "id", "")
            if name in names:
                hint = next((word.value for word in call.keywords if word.arg == "hint"), None)
                hints = [""] if hint is None else _patterns(hint, known)
                said = ((message, one) for message in _patterns(call.args[0], known) for one in hints)
                made.setdefault(name, []).extend(said)
            elif name == "Translation" and first in names:
                # net/failures.py: who, these words, and the address.
                words = ((rf".+ {message} \(.+\)", ".+") for message in _patterns(call.args[1], known))
                made.setdefault(first, []).extend(words)
    return made


def _assigned(tree: ast.Module) -> dict[str, list[ast.expr]]:
    """What each name of a module is made of, wherever it gets a value."""
    known: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            known.setdefault(node.targets[0].id, []).append(node.value)
    return known


def _patterns(text: ast.expr, known: dict[str, list[ast.expr]], depth: int = 0) -> list[str]:
    """What an expression can say; what is known only when the program runs is anything."""
    if isinstance(text, ast.Constant):
        return [re.escape(str(text.value or ""))]
    if isinstance(text, ast.JoinedStr):
        return ["".join(re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".*" for part in text.values)]
    if isinstance(text, ast.IfExp):
        return [*_patterns(text.body, known, depth), *_patterns(text.orelse, known, depth)]
    if isinstance(text, ast.BoolOp):
        return [one for value in text.values for one in _patterns(value, known, depth)]
    if isinstance(text, ast.Name) and text.id in known and depth < 3:
        return [one for value in known[text.id] for one in _patterns(value, known, depth + 1)]
    return [".+"]
