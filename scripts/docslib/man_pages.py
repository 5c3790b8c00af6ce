"""The pages for `man`: one for each command, made of its help text, and one of all errors, made of docs/errors.

Everything in them is ASCII, and without a date or a version: the same texts make the same files.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
from markdown_it import MarkdownIt
from markdown_it.token import Token

from orchestrator import manual
from orchestrator.cli.main import COMMANDS, PROGRAM, cli

FOLDER = Path(__file__).parents[2] / "man"
_ERRORS = f"{PROGRAM}-errors"
_ESCAPES = {"\\": r"\e", "-": r"\-", "~": r"\(ti", "^": r"\(ha", "`": r"\(ga", "'": r"\(aq", '"': r"\(dq", "…": "..."}
# Sections of their own, in this order, whatever the first word of their title in a help text goes on to say.
_SECTIONS = {"Environment": "ENVIRONMENT", "Files": "FILES", "Exit": "EXIT STATUS", "Examples": "EXAMPLES"}


def made() -> dict[Path, str]:
    """All pages by their path."""
    top = cli.make_context(PROGRAM, [], resilient_parsing=True, terminal_width=78)
    pages = {
        FOLDER / "man1" / f"{PROGRAM}.1": _page(cli, top, PROGRAM, "fetch large models fast, and prove every byte")
    }
    for name, entry in COMMANDS.items():
        command = cli.get_command(top, name)
        assert command is not None
        context = command.make_context(name, [], parent=top, resilient_parsing=True)
        summary = entry.summary[0].lower() + entry.summary[1:].rstrip(".")
        pages[FOLDER / "man1" / f"{PROGRAM}-{name}.1"] = _page(command, context, f"{PROGRAM}-{name}", summary)
    return pages | {FOLDER / "man7" / f"{_ERRORS}.7": _errors()}


def check() -> Iterator[str]:
    """Each page is what the texts make now, and there is no other."""
    pages = made()
    for path in sorted({*pages, *FOLDER.glob("*/*")}):
        if not path.exists() or path.read_text("ascii") != pages.get(path):
            yield f"man/{path.relative_to(FOLDER)} is out of date; run: scripts/check-docs --write"


def write() -> None:
    """Make the pages anew."""
    pages = made()
    for path in FOLDER.glob("*/*"):
        if path not in pages:
            path.unlink()
    for path, text in pages.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "ascii")


# -- a command


def _page(command: click.Command, context: click.Context, name: str, summary: str) -> str:
    blocks = list(_blocks(command))
    sections = {_SECTIONS[_first(title)]: lines for title, lines in blocks if _first(title) in _SECTIONS}
    lines = [*_head(name, 1), *_named(name, summary), ".SH SYNOPSIS", *_synopsis(command, context), ".SH DESCRIPTION"]
    lines += _described(blocks)
    lines += _options(command, context)
    if isinstance(command, click.Group):
        lines.append(".SH COMMANDS")
        for below in command.list_commands(context):
            lines += _index_entry(below) if command is cli else _part(command, context, below)
    for section in _SECTIONS.values():
        if section in sections:
            lines += [f".SH {section}", *_as_it_is(sections[section])]
    others = [PROGRAM, _ERRORS] if command is not cli else [*(f"{PROGRAM}-{one}" for one in COMMANDS), _ERRORS]
    return _text(lines + _see_also(others))


def _index_entry(name: str) -> list[str]:
    return [".TP", f".BR {_word(f'{PROGRAM}-{name}')} (1)", _line(COMMANDS[name].summary)]


def _part(group: click.Group, above: click.Context, name: str) -> Iterator[str]:
    """A command of a group, in the page of that."""
    command = group.get_command(above, name)
    assert command is not None
    context = command.make_context(name, [], parent=above, resilient_parsing=True)
    yield f".SS {_word(context.command_path)}"
    yield from _synopsis(command, context)
    yield from _described(list(_blocks(command)), every=True)
    yield from (line for line in _options(command, context) if not line.startswith((".SH ", ".SS ")))


def _synopsis(command: click.Command, context: click.Context) -> list[str]:
    pieces = " ".join(command.collect_usage_pieces(context))
    return [f".B {_word(context.command_path)}", *([_line(pieces)] if pieces else [])]


def _blocks(command: click.Command) -> Iterator[tuple[str, list[str]]]:
    """The paragraphs of a help text: a title with lines that are printed as they stand, or no title and the words."""
    for text in (command.help or "", command.epilog or ""):
        for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text).strip()):
            if paragraph.startswith("\b"):
                title, *lines = paragraph.splitlines()[1:]
                yield title.rstrip(":"), lines
            elif paragraph:
                yield "", [" ".join(paragraph.split())]


def _first(title: str) -> str:
    return title.split(" ", maxsplit=1)[0].rstrip(":")


def _described(blocks: Iterable[tuple[str, list[str]]], *, every: bool = False) -> list[str]:
    lines: list[str] = []
    for title, words in blocks:
        if not title:
            lines += [".PP", *map(_line, words)]
        elif every or _first(title) not in _SECTIONS:
            lines += [".PP", _line(f"{title}:"), *_as_it_is(words)]
    return lines


def _options(command: click.Command, context: click.Context) -> list[str]:
    """The options, under their headings where they have any. That every command has --help, the page of all says."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record is not None and (command is cli or "--help" not in parameter.opts):
            groups.setdefault(getattr(parameter, "heading", ""), []).append(record)
    lines = [".SH OPTIONS"] if groups else []
    for title, records in sorted(groups.items(), key=lambda item: not item[0]):
        lines += [f".SS {_word(title)}"] if title else []
        for names, words in records:
            lines += [".TP", f".B {_word(names)}", _line(words)]
    return lines


# -- the errors


def _errors() -> str:
    lines = [*_head(_ERRORS, 7), *_named(_ERRORS, "what each error means, why it happens, and what to do")]
    lines += [".SH DESCRIPTION", _line("An error ends with the command that shows its page, in English or Chinese:")]
    lines += [
        ".PP",
        *_as_it_is([manual.command("CODE")]),
        ".PP",
        _line("All pages follow, in the order of exit codes."),
    ]
    for code in manual.codes():
        lines += _markdown(MarkdownIt().parse(manual.ErrorPage.read(code).text))
    return _text(lines + _see_also([PROGRAM]))


def _markdown(tokens: Iterable[Token]) -> Iterator[str]:
    """The requests for what pages of errors use of Markdown: headings, paragraphs, flat lists, fences, code, bold."""
    heading = opening = ""
    for token in tokens:
        if token.type == "heading_open":
            heading = {"h1": ".SH", "h2": ".SS"}[token.tag]
        elif token.type == "list_item_open":
            opening = r".IP \(bu 2"
        elif token.type == "paragraph_open":
            yield opening or ".PP"
            opening = ""
        elif token.type == "inline" and heading:
            yield f"{heading} {_word(token.content)}"
            heading = ""
        elif token.type == "inline":
            yield _line(token.content.replace("\n", " "))
        elif token.type == "fence":
            yield from (".PP", *_as_it_is(token.content.splitlines()))


# -- roff


def _head(name: str, section: int) -> list[str]:
    title = f'.TH {_word(name.upper())} {section} "" {_word(PROGRAM)} {_word(f"{PROGRAM} manual")}'
    return [r".\" Made by scripts/check-docs --write.", title]


def _named(name: str, summary: str) -> list[str]:
    return [".SH NAME", rf"{_escaped(name)} \- {_escaped(summary)}"]


def _see_also(names: Iterable[str]) -> list[str]:
    pages = [f".BR {_word(name)} ({7 if name == _ERRORS else 1})" for name in names]
    return [".SH SEE ALSO", *(f"{page} ," for page in pages), ".BR aria2c (1)"]


def _as_it_is(lines: Iterable[str]) -> list[str]:
    """Lines that are not filled, set in."""
    kept = inspect.cleandoc("\n".join(["", *lines])).splitlines()
    return [".RS 4", ".EX", *(_protected(_escaped(line)) for line in kept), ".EE", ".RE"]


def _line(text: str) -> str:
    """Text for people: code and strong words are bold."""
    parts = re.split(r"`([^`]+)`|\*\*([^*]+)\*\*", text)
    words = (f"\\fB{_escaped(part)}\\fP" if at % 3 else _escaped(part) for at, part in enumerate(parts) if part)
    return _protected("".join(words))


def _word(text: str) -> str:
    """One argument of a macro."""
    return f'"{_escaped(text)}"' if " " in text else _escaped(text)


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(one, one if one.isascii() else f"\\[u{ord(one):04X}]") for one in text)


def _protected(line: str) -> str:
    """A line that is no request, whatever it begins with."""
    return rf"\&{line}" if line.startswith((".", r"\(aq")) else line


def _text(lines: Iterable[str]) -> str:
    """The file of these lines: after a heading a paragraph begins by itself."""
    kept = [*lines]
    pairs = zip(["", *kept], kept, strict=False)
    return "".join(f"{line}\n" for before, line in pairs if line != ".PP" or not before.startswith((".SH", ".SS")))
