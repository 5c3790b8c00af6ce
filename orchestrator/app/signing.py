"""Keys of signatures, read from the files that the user names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.app.extras import signing_library
from orchestrator.errors import ConfigError
from orchestrator.system.small_files import SETTINGS_BYTES, read_named

if TYPE_CHECKING:
    from orchestrator.signatures.keys import PrivateKey, PublicKey


def public_key_at(path: Path) -> PublicKey:
    """The key that must have signed. Raises ConfigError for what is none, and without the library."""
    with signing_library():
        from orchestrator.signatures.keys import public_key
    return public_key(_read(path), os.fspath(path))


def private_key_at(path: Path) -> PrivateKey:
    """The key to sign with. Raises ConfigError for what is none, and without the library."""
    with signing_library():
        from orchestrator.signatures.keys import private_key
    return private_key(_read(path), os.fspath(path))


def _read(path: Path) -> bytes:
    try:
        return read_named(path, SETTINGS_BYTES)
    except OSError as error:
        raise ConfigError(f"the key cannot be read from {os.fspath(path)}: {error.strerror}") from error
