"""Changes of settings as a diff of the user's file; written with its comments and its order kept (tomlkit)."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.cli import terminal
from orchestrator.core.sources import Source
from orchestrator.disk.atomic import write_file
from orchestrator.doctor.tuning import Change
from orchestrator.errors import ConfigError
from orchestrator.system.failures import on_disk
from orchestrator.system.small_files import SETTINGS_BYTES, read_small


def texts(path: Path, changes: Sequence[Change]) -> tuple[str, str]:
    """The file as it is (empty where there is none), and as the changes make it. Raises ConfigError, DiskIOError."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    with on_disk("read", path):
        old = read_small(path, SETTINGS_BYTES, follow=True).decode("utf-8-sig") if path.exists() else ""
    try:
        document = tomlkit.parse(old)
    except (TOMLKitError, RecursionError) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else error
        raise ConfigError(f"file {path} is not valid TOML: {reason}") from error
    for change in changes:
        if change.key == "mirror":
            _set_mirrors(document, change.new)
        else:
            section, _, key = change.key.partition(".")
            if section not in document:
                document.add(section, tomlkit.table())
            document[section][key] = change.new
    return old, tomlkit.dumps(document)


def write(path: Path, text: str) -> None:
    """Replace the file in one step; it keeps its mode, a new one is for its owner alone."""
    with on_disk("create", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        target = Path(os.path.realpath(path))
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
    write_file(target, text, target.parent, mode=mode)


def data(path: Path, changes: Sequence[Change], old: str, new: str, *, is_written: bool) -> dict[str, object]:
    """The `data` of the document."""
    return {
        "file": str(path),
        "written": is_written,
        "changes": [
            {"key": change.key, "old": _plain(change.old), "new": _plain(change.new), "reason": change.reason}
            for change in changes
        ],
        "diff": _diff(path, old, new),
    }


def say(
    path: Path, changes: Sequence[Change], old: str, new: str, origins: Mapping[str, str], *, is_written: bool
) -> None:
    """The diff on stdout, reasons and what to do on stderr."""
    if not changes:
        terminal.say("nothing to change by what was measured; to measure more: glm-aria doctor REF")
        return
    for line in _diff(path, old, new):
        terminal.result(terminal.printable(line))
    for change in changes:
        terminal.say(terminal.message(f"{change.key}: {change.reason}"))
        name = "mirrors" if change.key == "mirror" else change.key.rpartition(".")[2]
        origin = origins.get(name, "default")
        if origin.startswith(("environment", "flag")) or (origin.startswith("file") and str(path) not in origin):
            terminal.say(terminal.message(f"  but {origin} wins over your file"))
    terminal.say(terminal.printable(f"written: {path}" if is_written else "to write it: glm-aria config tune --yes"))


def _diff(path: Path, old: str, new: str) -> list[str]:
    names = (str(path), f"{path} (tuned)")
    return list(difflib.unified_diff(old.splitlines(), new.splitlines(), *names, lineterm=""))


def _set_mirrors(document: Any, sources: Any) -> None:
    """The tables of the file in the new order, each as it was; what the file does not name is added."""
    import tomlkit

    known = {str(table.get("url", "")).rstrip("/"): table for table in document.get("mirror", [])}
    tables = tomlkit.aot()
    for source in sources:
        table = known.get(source.url)
        if table is None:
            table = tomlkit.table()
            table.update({"name": source.name, "kind": source.kind.name, "url": source.url})
        tables.append(table)
    document["mirror"] = tables


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.url if isinstance(value, Source) else value
