"""Home folder and working directory of this user: either may not exist, or be closed to the user."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.platform.host import HAS_ROOT

_OF_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")


def absolute(name: str | os.PathLike[str], base: Path = Path()) -> Path:
    """The whole path of what a user named, `~` expanded, `base` before a relative one.

    Raises UsageError where there is no such place: `~` of a user without a home, a relative path in a working
    directory that is no more, a path of another system.
    """
    try:
        return (base / expanded(name)).absolute()
    except OSError as error:
        raise UsageError(
            f"{os.fspath(name)!r} is relative, and the working directory cannot be used: {error.strerror}",
            hint="cd to a folder that exists, or give the whole path",
        ) from error


def expanded(name: str | os.PathLike[str]) -> Path:
    """A path that a user named, with `~` expanded.

    Raises UsageError where there is no home, and for a path with a drive or a server before it, which would become an
    odd name in the working directory.
    """
    if HAS_ROOT and _OF_WINDOWS.match(os.fspath(name)):
        raise UsageError(
            f"{os.fspath(name)!r} is a Windows path, and this system has no drives",
            hint="give a path of this system, such as /mnt/c/models",
        )
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise UsageError(
            f"there is no home folder for {os.fspath(name)!r}", hint="set HOME, or give the whole path"
        ) from error


def home() -> Path | None:
    """The home folder of this user; None where neither HOME nor the user database names one."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def working_directory() -> Path | None:
    """The working directory; None if it no longer exists."""
    try:
        return Path.cwd()
    except OSError:
        return None


def nearest(path: Path) -> Path:
    """`path`, or the nearest above it that is there and that this user can see."""
    while not os.path.lexists(path) and path != path.parent:  # Path.exists raises where a folder above is closed
        path = path.parent
    return path


def is_closed(folder: Path) -> bool:
    """True when this user may not look into a folder, or into one above it: nobody can say what is in it."""
    try:
        os.stat(f"{folder}/.")  # noqa: PTH116 - Path takes the dot away, which asks for the right to enter
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def config_folder() -> Path | None:
    """The folder for settings of programs; None without a home and XDG_CONFIG_HOME."""
    import platformdirs

    return _of_user(platformdirs.user_config_path)


def cache_folder() -> Path | None:
    """The folder for caches of programs; None without a home and XDG_CACHE_HOME."""
    import platformdirs

    return _of_user(platformdirs.user_cache_path)


def _of_user(find: Callable[[], Path]) -> Path | None:
    try:
        found = find()
    except RuntimeError:
        return None
    return found if found.is_absolute() else None  # an older platformdirs leaves the ~ as it is
