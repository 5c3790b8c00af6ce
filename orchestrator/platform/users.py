"""Users and groups. Windows has others: there a file belongs to this user where it lies in the user's profile."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if sys.platform != "win32":
    import grp
    import pwd

_ROOT = 0
_ACL = "system.posix_acl_access"


HAS_OWNERS = sys.platform != "win32"
"""The stat of a file says whose it is, and what others may do with it."""


def is_in_profile(path: Path) -> bool:
    """True for what lies in the home folder of this user, which Windows opens to that user and administrators alone."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(Path.home()))


def user_id() -> int:
    """The user whose rights count. On Windows 0, as the stat of every file says."""
    if sys.platform != "win32":
        return os.geteuid()
    return 0


def login_id() -> int:
    """The user who started this program."""
    if sys.platform != "win32":
        return os.getuid()
    return 0


def user_name(uid: int) -> str:
    """The name of a user; the number if the system knows no name."""
    if sys.platform != "win32":
        try:
            return pwd.getpwuid(uid).pw_name
        except (KeyError, OSError):
            return str(uid)
    return os.environ.get("USERNAME", str(uid))


def group_names() -> set[str]:
    """The names of the groups of this user that have one."""
    found: set[str] = set()
    if sys.platform != "win32":
        for number in os.getgroups():
            try:
                found.add(grp.getgrgid(number).gr_name)
            except KeyError:
                continue
    return found


def give_to_group(path: Path, group: int) -> None:
    """Give a file, or the symlink itself, to a group. Raises OSError."""
    if sys.platform != "win32":
        os.chown(path, -1, group, follow_symlinks=False)


def is_private_group(number: int) -> bool:
    """True when nobody but this user and root is in the group."""
    if sys.platform != "win32":
        try:
            group, mine = grp.getgrgid(number), pwd.getpwuid(os.geteuid())
        except KeyError:
            return False
        if number != _ROOT and group.gr_name != mine.pw_name:
            return False  # who else has it as the main group cannot be listed everywhere (LDAP)
        uids = {entry.pw_uid for entry in pwd.getpwall() if entry.pw_gid == number}
        return set(group.gr_mem) <= {mine.pw_name, "root"} and uids <= {mine.pw_uid, _ROOT}
    return False


def has_acl(path: Path) -> bool:
    """True when an ACL names others. The bits of the group are then those of all that it names."""
    if sys.platform != "linux":
        return False
    try:
        return _ACL in os.listxattr(path)
    except (AttributeError, OSError):
        return False
