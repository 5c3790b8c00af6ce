"""Logins at registries in files: our own, and those of docker, podman, skopeo and oras. All have docker's form.

    {"auths": {"HOST[:PORT]": {"auth": "base64 of USER:PASSWORD", "realm": "https://…/token"}}}

`realm` is ours alone: a token service elsewhere that the user named. Programs that keep passwords elsewhere for docker
(`credsStore`, `credHelpers`) are not run.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchestrator.disk.atomic import write_file
from orchestrator.disk.places import config_folder
from orchestrator.disk.state_file import UNREADABLE
from orchestrator.errors import ConfigError
from orchestrator.oci.login import Login, Logins
from orchestrator.system.failures import on_disk
from orchestrator.system.small_files import SETTINGS_BYTES, read_small

_NAME = "registries.json"
_HOST = re.compile(r"(?:https?://)?([^/\s]+)(?:/.*)?")


def own_file() -> Path | None:
    """The file of ours, beside the user's settings file; None for a user without a home."""
    folder = config_folder()
    return folder / "glm-aria" / _NAME if folder else None


def of_environment(environ: Mapping[str, str], mlflow: str | None) -> Logins:
    """The login at the server of MLflow at this address, by the variables that MLflow itself reads."""
    if mlflow is None:
        return {}
    user, password = (environ.get(f"MLFLOW_TRACKING_{name}", "") for name in ("USERNAME", "PASSWORD"))
    token = environ.get("MLFLOW_TRACKING_TOKEN", "")
    login = Login(user, password) if user and password else Login("", token) if token else None
    return {urlsplit(mlflow).netloc.lower(): login} if login else {}


def files_of_others(home: Path | None, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The files in which other programs keep logins, the most specific place first."""
    named = [Path(environ["REGISTRY_AUTH_FILE"])] if environ.get("REGISTRY_AUTH_FILE") else []
    if environ.get("XDG_RUNTIME_DIR"):
        named.append(Path(environ["XDG_RUNTIME_DIR"]) / "containers" / "auth.json")
    if environ.get("DOCKER_CONFIG"):
        named.append(Path(environ["DOCKER_CONFIG"]) / "config.json")
    elif home is not None:
        named.append(home / ".docker" / "config.json")
    return tuple(named)


def read_logins(files: Iterable[Path]) -> Logins:
    """The logins in these files; the first file that has one of a registry wins. What cannot be read has none."""
    found: dict[str, Login] = {}
    for file in files:
        try:
            known = _auths(read_small(file, SETTINGS_BYTES, follow=True))
        except UNREADABLE:
            continue
        for name, entry in known.items():
            login = _login(entry)
            host = _HOST.fullmatch(str(name))
            if login is not None and host is not None:
                found.setdefault(host[1].lower(), login)
    return found


def keep_login(file: Path, host: str, login: Login | None) -> bool:
    """Keep a login in a file of ours that its user alone can read; None removes it. False if there was none.

    Raises ConfigError for a file that is not ours to change, CannotCreateError, DiskIOError.
    """
    try:
        known = _auths(read_small(file, SETTINGS_BYTES))
    except FileNotFoundError:
        known = {}
    except UNREADABLE as error:
        raise ConfigError(f"{file} cannot be read as a file of logins; it was not changed") from error
    was_there = known.pop(host, None) is not None
    if login is not None:
        auth = base64.b64encode(f"{login.user}:{login.password}".encode()).decode()
        known[host] = {"auth": auth} | ({"realm": login.realm} if login.realm else {})
    with on_disk("create", file.parent):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_file(file, json.dumps({"auths": known}, indent=1, sort_keys=True) + "\n", file.parent, mode=0o600)
    return was_there


def _auths(content: bytes) -> dict[str, Any]:
    found = json.loads(content).get("auths") or {}
    if not isinstance(found, dict):
        raise TypeError("auths is no object")
    return found


def _login(entry: object) -> Login | None:
    """The login of an entry; None for one without a password, which a credential helper would have."""
    if not isinstance(entry, dict) or not isinstance(entry.get("auth"), str):
        return None
    try:
        user, colon, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
    except ValueError:
        return None
    realm = entry.get("realm")
    return Login(user, password, realm if isinstance(realm, str) else None) if colon and password else None
