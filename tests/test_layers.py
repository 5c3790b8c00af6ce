"""The import rules of the package: who may import whom, and what starting the command may load."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[1] / "orchestrator"

# A room is a folder or a module directly below the package. Each may import itself and the rooms named here.
WORKERS = {"catalogs", "mirrors", "aria2", "store"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "core": {"errors"},
    "events": {"errors", "core"},
    "net": {"errors", "core", "events", "system"},
    "settings": {"errors", "core", "system"},
    "templating": {"errors"},
    "catalogs": {"errors", "core", "events", "net"},
    "mirrors": {"errors", "core", "events", "net", "system"},
    "oserrors": {"errors"},
    "system": {"errors", "oserrors"},
    "aria2": {"errors", "core", "events", "templating", "oserrors", "system"},
    "store": {"errors", "core", "events", "oserrors", "system"},
    "flows": {"errors", "core", "events", "net", "templating", "oserrors", "system"} | WORKERS,
    "cli": {"errors", "core", "events", "net", "templating", "flows", "settings", "oserrors", "system"} | WORKERS,
    "__init__": set(),
    "__main__": {"cli"},
}

# core is pure. pathlib stays allowed for PurePosixPath and its like.
IMPURE = {
    "asyncio",
    "http",
    "os",
    "requests",
    "shutil",
    "socket",
    "subprocess",
    "tempfile",
    "threading",
    "urllib.request",
    "urllib3",
}

# Each of these costs tenths of a second, which `glm-aria --version` and tab completion should not pay.
HEAVY = {"aria2p", "huggingface_hub", "jinja2", "rich", "transformers", "watchdog"}


class Import(NamedTuple):
    """One imported name, absolute, and where it is written."""

    name: str
    where: str


def imports_in(source: str, path: Path) -> Iterator[Import]:
    """Every import in one module, those inside functions and `if TYPE_CHECKING` too.

    `from a import b` counts as both `a` and `a.b`, since b may be a module.
    """
    # Relative names start from the package that holds the module.
    package = ["orchestrator", *path.parent.parts]
    for node in ast.walk(ast.parse(source)):
        where = f"{path}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, where) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield Import(module, where)
            yield from (Import(f"{module}.{alias.name}", where) for alias in node.names)


def offences(source: str, path: Path) -> list[str]:
    """What in this module, at this path below the package, breaks a rule."""
    room = path.with_suffix("").parts[0]
    found = []
    for name, where in imports_in(source, path):
        top, _, below = name.partition(".")
        target = below.split(".")[0]
        if top == "orchestrator" and target in MAY_IMPORT and target not in MAY_IMPORT[room] | {room}:
            found.append(f"{where}: {room} imports {target}")
        if room == "core" and any(name == module or name.startswith(f"{module}.") for module in IMPURE):
            found.append(f"{where}: core imports {name}, which does I/O")
    return found


def modules() -> list[Path]:
    return sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def test_every_room_has_a_rule() -> None:
    rooms = {path.with_suffix("").parts[0] for path in modules()}
    assert rooms <= MAY_IMPORT.keys(), "say in MAY_IMPORT what the new room may import"


def test_rooms_import_only_what_they_may() -> None:
    found = [line for path in modules() for line in offences((PACKAGE / path).read_text("utf-8"), path)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("core/plan.py", "import os.path"),
        ("core/plan.py", "from urllib import request"),
        ("core/plan.py", "from orchestrator.store import hashing"),
        ("core/plan.py", "from ..store.hashing import digest"),
        ("catalogs/huggingface.py", "from orchestrator import mirrors"),
        ("store/gc.py", "def late():\n    import orchestrator.aria2.rpc"),
        ("aria2/rpc.py", "from .. import net"),
        ("flows/pull.py", "from orchestrator.settings import Settings"),
        ("flows/pull.py", "from orchestrator.cli import output"),
        ("events.py", "from .flows import pull"),
    ],
)
def test_a_forbidden_import_is_seen(path: str, source: str) -> None:
    assert offences(source, Path(path))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("core/plan.py", "from urllib.parse import urlsplit\nfrom pathlib import PurePosixPath\nfrom . import files"),
        ("core/__init__.py", "from .files import Digest\nfrom ..errors import AriaError"),
        ("mirrors/probe.py", "import requests\nfrom orchestrator.net import session\nfrom ..events import Event"),
        ("flows/pull.py", "from orchestrator.store import staging\nfrom orchestrator import __version__"),
        ("cli/main.py", "from orchestrator.settings import Settings\nimport os"),
    ],
)
def test_an_allowed_import_is_not(path: str, source: str) -> None:
    assert offences(source, Path(path)) == []


def test_starting_the_command_loads_nothing_heavy() -> None:
    program = "import json, sys, orchestrator.cli.main; print(json.dumps(list(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=PACKAGE.parent, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    loaded = {name.partition(".")[0] for name in json.loads(run.stdout)}
    assert not loaded & HEAVY, "import it in the function that uses it; `python -X importtime` shows who did"
