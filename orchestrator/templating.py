"""The Jinja2 templates that ship with glm-aria: everything it writes for other programs comes from one of them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import ConfigError, NotFoundError

if TYPE_CHECKING:
    from jinja2 import Environment

_PACKAGE = Path(__file__).parent
# An installed wheel carries the templates inside the package; a checkout has them beside it.
_FOLDERS = tuple(
    folder
    for folder in (_PACKAGE / "templates", _PACKAGE.parent / "templates", _PACKAGE.parent)
    if (folder / "aria2.conf").is_file() or folder.name == "templates"
)


# For the program alone: a secret, a plan, a model, a diagnosis, a page of the server, a table read as it is, and
# what several units have in common.
_INTERNAL = frozenset(
    {"daemon.conf", "aria2.input", "metalink.xml", "predict.svg", "report.html", "layouts.toml"}
    | {"dashboard.html", "dashboard.css", "dashboard.js", "dashboard.svg", "dashboard.toml", "registry.html"}
    | {"page.html", "login.html", "registry-page.html", "registry.js"}
    | {"common.service", "place.service", "sandbox.service"}
)
# Printed by `glm-aria env`, which knows what they undo.
SHELLS = {"sh": "env.sh", "fish": "env.fish", "powershell": "env.ps1"}


def names() -> tuple[str, ...]:
    """The templates that a user can render, sorted."""
    found = {path.name for folder in _FOLDERS if folder.name == "templates" for path in folder.glob("*")}
    return tuple(sorted((found | {"aria2.conf"}) - _INTERNAL - {*SHELLS.values()}))


def render(name: str, **values: object) -> str:
    """Render a template; a value that the template needs and did not get is an error.

    Raises NotFoundError for an unknown name, jinja2.UndefinedError for a missing value.
    """
    if name not in {*names(), *_INTERNAL, *SHELLS.values()}:
        raise NotFoundError(f"there is no template {name!r}", hint="one of: " + ", ".join(names()))
    return _environment().get_template(name).render(**values)


def read(name: str) -> str:
    """The text of a file that ships with the templates, as it is. Raises NotFoundError."""
    for folder in _FOLDERS:
        if folder.name == "templates" and (folder / name).is_file():
            return (folder / name).read_text("utf-8")
    raise NotFoundError(f"{name} is missing from the installation", hint="install glm-aria again")


@cache
def _environment() -> Environment:
    """The templates, each of which is compiled once: a page of the server is made for anybody who asks."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    made = Environment(
        loader=FileSystemLoader(_FOLDERS),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=False,
        # The rest are configuration files.
        autoescape=select_autoescape(["html"], default=False),
    )
    made.filters |= {"sh": _sh, "fish": _fish, "powershell": _powershell, "word": _word, "line": _line}
    return made


def _word(text: str) -> str:
    """A word of a file in which white space ends one. Raises ConfigError for a text that is not one word."""
    if not text or not text.isprintable() or " " in text:
        raise ConfigError(f"{text!r} cannot be written into this file: it holds white space or control characters")
    return text


def _line(value: object) -> str:
    """The rest of a line. Raises ConfigError for a text that would begin another."""
    text = str(value)
    if not text.isprintable():
        raise ConfigError(f"{text!r} cannot be written into this file: it holds control characters")
    return text


def _sh(text: str) -> str:
    """One word of a POSIX shell, whatever `text` holds."""
    return "'" + text.replace("'", "'\\''") + "'"


def _fish(text: str) -> str:
    """One word of fish: in its single quotes a backslash protects a quote and itself."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _powershell(text: str) -> str:
    """One string of PowerShell, which takes the typographic single quotes for quotes as well: each is doubled."""
    return "'" + re.sub("(['\u2018\u2019\u201a\u201b])", r"\1\1", text) + "'"
