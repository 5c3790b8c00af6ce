"""`glm-aria config`: what the settings are, where each one came from, and which files are read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click

from orchestrator.cli import options, terminal
from orchestrator.cli.groups import CONFIG, named_config
from orchestrator.cli.views import results
from orchestrator.core.resolvers import NameServer
from orchestrator.core.sizes import format_speed
from orchestrator.core.sources import Source
from orchestrator.disk import places
from orchestrator.events import Notice
from orchestrator.settings import FILE_NAME, Secret, Settings, user_file
from orchestrator.settings.files import why_ignored

_NOT_SETTINGS = ("origins", "warnings", "token_withheld")


@click.group()
def config() -> None:
    """Show settings and where each one came from.

    A value is taken from the first that has one: flags, environment, ./glm-aria.toml, your own file, defaults.
    """


@config.command()
@CONFIG
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def show(as_json: bool) -> None:
    """Print each setting, its value and its origin. Secrets are printed as ***."""
    settings = options.settings()
    notices = [Notice(code, message) for code, message in settings.warnings]
    if as_json:
        data = {
            "settings": {
                name: {"value": _plain(value), "origin": settings.origins[name]} for name, value in _values(settings)
            }
        }
        terminal.document(results.envelope("config show", results.judge((), 0), data, notices))
        return
    for notice in notices:
        results.say_notice(notice)
    for name, value in _values(settings):
        for line in _lines(name, value):
            terminal.result(terminal.printable(f"{name} = {line}  ({settings.origins[name]})"))
    if settings.token_withheld:
        terminal.say(f"note: {terminal.message(settings.token_withheld)}")


@config.command()
def path() -> None:
    """Print the path of your own config file, whether or not it exists."""
    terminal.result(str(user_file()))
    here = (places.working_directory() or Path()) / FILE_NAME
    for file in (named_config() or here, user_file()):
        # Not Path.is_file, which raises where a folder above is closed.
        state = "read" if os.path.isfile(file) or os.fspath(file) == os.devnull else "not there"  # noqa: PTH113
        if file == here and (reason := why_ignored(file)):
            state = f"not read, since {reason}"
        terminal.say(terminal.printable(f"{state}: {file}"))


@config.command()
@CONFIG
@click.option("--yes", is_flag=True, help="Write it. Without this nothing is written.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def tune(yes: bool, as_json: bool) -> None:
    """Fit the settings to what was measured: show the change of your own file, with reasons, and with --yes write it.

    Takes what the last `glm-aria doctor REF`, probes and pulls measured, and asks nobody. Comments in the file stay.
    What a variable or ./glm-aria.toml sets wins over your file, and is told.

    \b
    Examples:
      glm-aria config tune
      glm-aria config tune --yes
    """
    from orchestrator.app import services
    from orchestrator.settings import edit

    settings = options.settings()
    changes = services.tuning(settings)
    path = user_file()
    old, new = edit.texts(path, {change.key: change.new for change in changes})
    is_written = bool(yes and changes and old != new)
    if is_written:
        edit.write(path, new)
    if as_json:
        data = {
            "file": str(path),
            "written": is_written,
            "changes": [
                {"key": change.key, "old": _short(change.old), "new": _short(change.new), "reason": change.reason}
                for change in changes
            ],
            "diff": list(edit.diff(path, old, new)),
        }
        terminal.document(results.envelope("config tune", results.judge((), 0), data))
        return
    if not changes:
        terminal.say("nothing to change by what was measured; to measure more: glm-aria doctor REF")
        return
    for line in edit.diff(path, old, new):
        terminal.result(terminal.printable(line))
    for change in changes:
        terminal.say(terminal.message(f"{change.key}: {change.reason}"))
        name = "mirrors" if change.key == "mirror" else change.key.rpartition(".")[2]
        origin = settings.origins.get(name, "default")
        if origin.startswith(("environment", "flag")) or (origin.startswith("file") and str(path) not in origin):
            terminal.say(terminal.message(f"  but {origin} wins over your file"))
    terminal.say(terminal.printable(f"written: {path}" if is_written else "to write it: glm-aria config tune --yes"))


def _short(value: object) -> object:
    """A changed value in the document: mirrors by their addresses."""
    return [source.url for source in value] if isinstance(value, tuple) else value


def _values(settings: Settings) -> Iterator[tuple[str, object]]:
    for item in fields(settings):
        if item.name not in _NOT_SETTINGS:
            yield item.name, getattr(settings, item.name)


def _plain(value: object) -> object:
    """A setting as JSON can hold it."""
    if isinstance(value, Secret):
        return "***"
    if isinstance(value, Source):
        return {"name": value.name, "kind": value.kind.name, "url": value.url}
    if isinstance(value, Path | NameServer):
        return str(value)
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _lines(name: str, value: object) -> Iterator[str]:
    """A setting as a person reads it: one line, or one for each of several."""
    plain = _plain(value)
    if name == "max_speed" and isinstance(value, int):
        yield format_speed(value)
    elif isinstance(value, Source):
        yield value.url
    elif name == "mirrors" and isinstance(value, tuple) and value:
        yield from (f"{mirror.name}: {mirror.kind}+{mirror.url}" for mirror in value)
    elif isinstance(plain, dict):
        yield from [f"{key} -> {other}" for key, other in plain.items()] or ["none"]
    elif isinstance(plain, list):
        yield ", ".join(map(str, plain)) or "none"
    elif isinstance(plain, bool):
        yield "yes" if plain else "no"
    else:
        yield "none" if plain is None else f"{plain:g}" if isinstance(plain, float) else str(plain)
