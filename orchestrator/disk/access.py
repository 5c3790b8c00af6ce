"""Who besides this user may change or read a file: asked before it is believed, or when it holds a secret.

The rules are those of ssh and git. Owners are this user and root. A group counts as nobody else when it is the private
group of this user, as systems with a umask of 002 make one: of the user's own name, without other members.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path

_ROOT = 0
_ACL = "system.posix_acl_access"


def belongs_to_others(found: os.stat_result) -> bool:
    """True for a file of neither this user nor root: its owner may change it and set its mtime back."""
    return found.st_uid not in (os.geteuid(), _ROOT)


def others_who_may_write(found: os.stat_result, path: Path) -> str | None:
    """Say who else may write a file or folder, None for nobody. `found` is its stat, `path` where its ACL is looked up.

    The mode of a symlink means nothing, so only its owner is judged.
    """
    if belongs_to_others(found):
        return f"it belongs to another user (uid {found.st_uid})"
    if stat.S_ISLNK(found.st_mode):
        return None
    if found.st_mode & stat.S_IWOTH:
        return "every user may write to it"
    if found.st_mode & stat.S_IWGRP and not _is_alone(found, path):
        return "other users may write to it, by its group or an ACL"
    return None


def others_who_may_read(path: Path) -> str | None:
    """Say who else may read the file and can reach it, None for nobody. Raises OSError."""
    path = Path(os.path.realpath(path))
    found = path.stat()
    above = [folder.stat().st_mode for folder in path.parents]
    if found.st_mode & stat.S_IROTH and all(mode & stat.S_IXOTH for mode in above):
        return "every user may read it"
    reach = stat.S_IXGRP | stat.S_IXOTH
    if found.st_mode & stat.S_IRGRP and all(mode & reach for mode in above) and not _is_alone(found, path):
        return "other users may read it, by its group or an ACL"
    return None


def _is_alone(found: os.stat_result, path: Path) -> bool:
    """True when what the group may do, nobody but the user and root may."""
    try:
        if _ACL in os.listxattr(path):  # the bits of the group are then those of all that the ACL names
            return False
    except (AttributeError, OSError):
        pass
    try:
        group, mine = grp.getgrgid(found.st_gid), pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    if found.st_gid != _ROOT and group.gr_name != mine.pw_name:
        return False  # who else has it as the main group cannot be listed everywhere (LDAP)
    uids = {entry.pw_uid for entry in pwd.getpwall() if entry.pw_gid == found.st_gid}
    return set(group.gr_mem) <= {mine.pw_name, "root"} and uids <= {mine.pw_uid, _ROOT}
