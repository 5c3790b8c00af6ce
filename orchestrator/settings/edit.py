"""Changes of settings as a diff of the user's file; written with its comments and its order kept (tomlkit)."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.core.text import redacted
from orchestrator.disk.atomic import write_file
from orchestrator.errors import ConfigError
from orchestrator.system.failures import on_disk
from orchestrator.system.small_files import SETTINGS_BYTES, read_small


def texts(path: Path, changes: Mapping[str, object]) -> tuple[str, str]:
    """The file as it is (empty where there is none), and with other values for some keys.

    Keys are as in the file, `section.key`; that of the mirrors is `mirror`, its value their sources in order. Raises
    ConfigError, DiskIOError.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    with on_disk("read", path):
        old = read_small(path, SETTINGS_BYTES, follow=True).decode("utf-8-sig") if path.exists() else ""
    try:
        document = tomlkit.parse(old)
    except (TOMLKitError, RecursionError) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else error
        raise ConfigError(f"file {path} is not valid TOML: {reason}") from error
    for name, value in changes.items():
        if name == "mirror":
            _set_mirrors(document, value)
        else:
            section, _, key = name.partition(".")
            if section not in document:
                document.add(section, tomlkit.table())
            document[section][key] = value
    return old, tomlkit.dumps(document)


def write(path: Path, text: str) -> None:
    """Replace the file in one step; it keeps its mode, a new one is for its owner alone."""
    with on_disk("create", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        target = Path(os.path.realpath(path))
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
    write_file(target, text, target.parent, mode=mode)


def diff(path: Path, old: str, new: str) -> tuple[str, ...]:
    """The lines of a unified diff, without the logins that the file holds."""
    names = (str(path), f"{path} (tuned)")
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), *names, lineterm="")
    return tuple(redacted(line) for line in lines)


def _set_mirrors(document: Any, sources: Any) -> None:
    """The tables of the file in the new order, each as it was; what the file does not name is added.

    What only the file names comes last: another layer may hide it now.
    """
    import tomlkit

    known = {str(table.get("url", "")).rstrip("/"): table for table in document.get("mirror", [])}
    tables = tomlkit.aot()
    for source in sources:
        table = known.pop(source.url, None)
        if table is None:
            table = tomlkit.table()
            table.update({"name": source.name, "kind": source.kind.name, "url": source.url})
        tables.append(table)
    for table in known.values():
        tables.append(table)
    document["mirror"] = tables
