"""The key of a fleet: made once, copied to every machine of it, and read where a node begins."""

from __future__ import annotations

import os
import secrets
import shlex
from pathlib import Path

from orchestrator.disk.atomic import write_file
from orchestrator.errors import ConfigError, UsageError
from orchestrator.settings import Settings, user_file
from orchestrator.settings.files import exposed_secret
from orchestrator.swarm.tickets import FleetKeys
from orchestrator.system.failures import on_disk
from orchestrator.system.small_files import SETTINGS_BYTES, read_named

_MAKE = "make one: glm-aria fleet key; then copy that file to every machine of the fleet"
_BYTES = 32


def key_file(settings: Settings) -> Path:
    """The file in which the key is looked for. Raises ConfigError where there is no folder for settings."""
    return settings.fleet_key_file or user_file().with_name("fleet.key")


def fleet_keys(settings: Settings) -> FleetKeys | None:
    """The keys of the fleet that this machine belongs to; None where it belongs to none.

    Raises ConfigError for a file that was named and is not there, that others may read or write, or that has no key.
    """
    if settings.fleet_key is not None:
        return _parsed(settings.fleet_key, settings.origins["fleet_key"], "unset the variable, or")
    file = key_file(settings)
    try:
        text = read_named(file, SETTINGS_BYTES).decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        if settings.fleet_key_file is None:
            return None
        raise ConfigError(f"there is no fleet key at {file} ({_origin(settings)})", hint=_MAKE) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(f"the fleet key cannot be read from {file}: {reason}", hint=_MAKE) from error
    for caution in exposed_secret(file):
        raise ConfigError(caution.message)
    return _parsed(text, str(file), "to replace it: glm-aria fleet key --force; or")


def needed_keys(settings: Settings) -> FleetKeys:
    """The same where there must be one. Raises ConfigError."""
    keys = fleet_keys(settings)
    if keys is None:
        raise ConfigError(f"this machine has no fleet key: there is none at {key_file(settings)}", hint=_MAKE)
    return keys


def make_key(settings: Settings, *, replace: bool = False) -> Path:
    """Write a fresh key into a file for this user alone; its path. Raises UsageError where there is one that is not to
    be replaced."""
    file = key_file(settings)
    if os.path.lexists(file) and not replace:
        raise UsageError(
            f"there is a fleet key already: {file}",
            hint="copy that file to the other machines; a new one (--force) parts this machine from those that have it",
        )
    with on_disk("create", file):
        file.parent.mkdir(parents=True, exist_ok=True)
    write_file(file, secrets.token_urlsafe(_BYTES) + "\n", file.parent, mode=0o600)
    return file


def copying(file: Path) -> str:
    """The command that copies the key to another machine, where the home folder may have another name."""
    try:
        near = shlex.quote(str(file.relative_to(Path.home())))
    except (ValueError, RuntimeError):  # elsewhere, or this user has no home
        return f"scp -p {shlex.quote(str(file))} HOST:{shlex.quote(str(file))}"
    return f"scp -p ~/{near} HOST:{near}"


def _parsed(text: str, origin: str, before: str) -> FleetKeys:
    try:
        return FleetKeys.parse(text)
    except ValueError as error:
        raise ConfigError(f"{origin}: {error}", hint=f"{before} {_MAKE}") from None


def _origin(settings: Settings) -> str:
    return settings.origins.get("fleet_key_file", "settings")
