"""Settings files: which of them are read, what each may say, and how their keys are found.

A file of the working directory may have come with somebody's repository, model or archive. So it is read only when
nobody else may have written it, and it must not choose who is believed, where the cache is, or where a secret goes. A
file that the user names with `--config`, or keeps in the own folder, may.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from orchestrator.disk.access import others_who_may_read, others_who_may_write
from orchestrator.errors import ConfigError
from orchestrator.lists.toml import parse_toml
from orchestrator.platform.users import user_id
from orchestrator.settings.layers import ConfigFile
from orchestrator.settings.sites import DEFAULT_ALIASES, HUB
from orchestrator.settings.table import KEYS, PERSONAL, Caution
from orchestrator.system.small_files import RECORD_BYTES, SETTINGS_BYTES, read_named, read_small

_TABLES = ("mirror", "aliases")
_OF_A_CACHE = re.compile(r"/(?:models|datasets|spaces)--[^/]+/(?:snapshots/[0-9a-f]{40}|blobs)(?:/|$)")


class _OfOthersError(Exception):
    """Somebody else may have written the file."""


def read_folder_file(path: Path, cautions: list[Caution], own: ConfigFile | None = None) -> ConfigFile | None:
    """Read the file of the working directory; None when there is none, or with a caution when it is not believed.

    It may repeat what holds without it by the user's `own` file. Raises ConfigError naming the file and the key.
    """
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
    reason = others_who_may_write(found, path) or _of_a_model(path)
    if reason is None:
        try:
            keys = _keys(path, read_small(path, SETTINGS_BYTES, follow=True, judge=lambda found: _judge(found, path)))
        except _OfOthersError as error:
            reason = str(error)
        except OSError as error:
            raise _unreadable(path, error, "move it away, or name another file with --config FILE") from error
        else:
            _refuse_personal(path, keys, own.keys if own else {})
            return ConfigFile(path, keys, is_personal=False)
    command = f"--config {shlex.quote(str(path))}"
    cautions.append(Caution("settings-ignored", f"{path} is not read: {reason}; to read it all the same: {command}"))
    return None


def why_ignored(path: Path) -> str | None:
    """The reason why the working directory's file is ignored; None if it is read, or absent."""
    try:
        return others_who_may_write(path.lstat(), path) or _of_a_model(path) or others_who_may_write(path.stat(), path)
    except OSError:
        return None


def read_own_file(path: Path, cautions: list[Caution], *, is_named: bool = False) -> ConfigFile | None:
    """Read a file of the user's; None when there is none. One that the user named must be there.

    Raises ConfigError naming the file and the key.
    """
    try:
        content = read_named(path, SETTINGS_BYTES) if is_named else read_small(path, SETTINGS_BYTES, follow=True)
    except (FileNotFoundError, NotADirectoryError) as error:
        if is_named:
            raise ConfigError(f"--config {path}: there is no such file") from error
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
    keys = _keys(path, content)
    if path != Path(os.devnull):  # which everybody may write to, and which stays empty
        cautions += _exposed(path, keys)
    return ConfigFile(path, keys, is_personal=True)


def exposed_secret(path: Path) -> Iterator[Caution]:
    """A caution for a file with a secret that others may read or write. One that is not there is told elsewhere."""
    try:
        reason = others_who_may_write(path.stat(), path) or others_who_may_read(path)
    except OSError:
        return
    if reason:
        message = f"{path} holds a secret, and {reason}: {_closing(path)}"
        yield Caution("secret-exposed", message)


def _closing(path: Path) -> str:
    """The command that makes the file private to this user; the mode of another user's file changes nothing."""
    if path.stat().st_uid == user_id():
        return f"chmod 600 {shlex.quote(str(path))}"
    return "name a copy of your own"


def _exposed(path: Path, keys: Mapping[str, object]) -> Iterator[Caution]:
    tables = keys.get("mirror")
    texts = [keys.get(key.toml) for key in KEYS.values() if key.may_hold_login]
    texts += [table.get("proxy") for table in tables if isinstance(table, dict)] if isinstance(tables, list) else []
    if any(isinstance(text, str) and "@" in text for text in texts):
        yield from exposed_secret(path)
        return
    try:
        reason = others_who_may_write(path.stat(), path)
    except OSError:
        return
    if reason:
        message = f"{path} chooses whom you trust, and {reason}: {_closing(path)}"
        yield Caution("settings-exposed", message)


def _judge(found: os.stat_result, path: Path) -> None:
    if reason := others_who_may_write(found, path):
        raise _OfOthersError(reason)


def _of_a_model(path: Path) -> str | None:
    """True if the file belongs to a model: by the notes of the program that placed it, or by its place."""
    notes = path.parent / ".cache" / "huggingface" / "download" / f"{path.name}.metadata"
    places = (Path(os.path.realpath(path)), Path(os.path.realpath(path.parent)))
    if os.path.lexists(notes) or any(_OF_A_CACHE.search(str(place)) for place in places):
        return "it is a file of a model"
    for note in (path.parent / ".glm-aria" / "metadata.json", path.parent / "metadata.json"):
        try:
            text = read_small(note, RECORD_BYTES)
        except OSError:
            continue
        if b'"glm-aria-folder/' in text and f'"{path.name}"'.encode() in text:
            return "it is a file of a model"
    return None


def _refuse_personal(path: Path, keys: Mapping[str, object], own: Mapping[str, object]) -> None:
    refused = sorted(key for key in PERSONAL.keys() & keys.keys() if not _repeats(key, keys[key], own.get(key)))
    if refused:
        command = f"--config {shlex.quote(str(path))}"
        raise ConfigError(
            f"file {path}:{refused[0]}: a working directory's file must not decide {PERSONAL[refused[0]]}",
            hint=f"put it into your own file (glm-aria config path); if this file is yours: {command};"
            " to ignore it: --config /dev/null",
        )


def _repeats(key: str, value: object, own: object) -> bool:
    """True for what decides nothing, since it holds without the file, too."""
    if key == "aliases" and isinstance(value, dict):
        known = DEFAULT_ALIASES | (own if isinstance(own, dict) else {})
        return all(known.get(name) == other for name, other in value.items())
    return key == "trust.root" and value == (HUB if own is None else own)


def _unreadable(path: Path, error: OSError, hint: str | None = None) -> ConfigError:
    return ConfigError(f"file {path} cannot be read: {error.strerror}", hint=hint)


def _keys(path: Path, content: bytes) -> dict[str, object]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"file {path} cannot be read: it is not UTF-8 text") from error
    try:
        document = parse_toml(text)
    except ValueError as error:
        raise ConfigError(f"file {path} is not valid TOML: {error}") from error
    return dict(_flatten(document, path))


def _flatten(document: Mapping[str, object], path: Path) -> Iterator[tuple[str, object]]:
    known = [key.toml for key in KEYS.values() if key.toml]
    for section, value in document.items():
        if section in _TABLES:
            yield section, value
            continue
        if not isinstance(value, dict):
            raise _unknown(path, section, known)
        for name, item in value.items():
            if f"{section}.{name}" not in known:
                raise _unknown(path, f"{section}.{name}", known)
            # The documented file spells "not set" as an empty text or list.
            if item not in ("", []):
                yield f"{section}.{name}", item


def _unknown(path: Path, key: str, known: list[str]) -> ConfigError:
    import difflib

    by_name = {name.rpartition(".")[2]: name for name in known}
    close = difflib.get_close_matches(key, known, 1) or [
        by_name[name] for name in difflib.get_close_matches(key.rpartition(".")[2], by_name, 1)
    ]
    return ConfigError(
        f"file {path}:{key}: unknown key", hint=f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
    )
