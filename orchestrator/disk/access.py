"""Ownership and mode of a file or folder: checked before it is trusted, or if it holds a secret.

The table of rules stands here, and all rooms judge by it. They are those of ssh and git: owners are this user and,
where a rule says so, root. A `Rule` looks at the mode alone, so a group counts as others. The functions that are given
a path also look at ACLs and groups: the private group of a user, as systems with a umask of 002 make one (of the
user's own name, without other members), counts as nobody else.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from orchestrator.disk.file_stat import StatLike
from orchestrator.platform.users import HAS_OWNERS, has_acl, is_in_profile, is_private_group, user_id

_ROOT = 0
_WRITE, _ANY = stat.S_IWGRP | stat.S_IWOTH, stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class Rule:
    """The allowed owners of a file or folder, and the mode bits that others must not have.

    `closed` are bits of the mode that must not be set. With `by_root`, root may own it as well as this user. With
    `sticky`, a sticky bit makes up for them: others may add names to the folder then, but not rename ours.
    """

    closed: int
    by_root: bool = False
    sticky: bool = False

    def holds(self, found: StatLike, also: Collection[int] = ()) -> bool:
        """True when what has this stat keeps the rule; `also` are uids of further owners that are believed."""
        owners = {user_id(), *also, *((_ROOT,) if self.by_root else ())}
        is_closed = not found.st_mode & self.closed or (self.sticky and bool(found.st_mode & stat.S_ISVTX))
        return found.st_uid in owners and is_closed


OURS = Rule(closed=0)
"""A folder of ours, whose mode is ours to change: the runtime folder and the state folder, before they are closed."""
OURS_ALONE = Rule(closed=_ANY)
"""What holds a secret, or leads to what does: a private folder, its files, a folder that is held for other programs."""
OURS_TO_WRITE = Rule(closed=_WRITE)
"""$XDG_RUNTIME_DIR, and a state folder on a read-only file system: others may look, but never wrote to it."""
NO_STRANGERS = Rule(closed=0, by_root=True)
"""What only we or root can have written and dated: a file whose size and time are believed, a link to a moved repo."""
NO_STRANGERS_WRITE = Rule(closed=_WRITE, by_root=True)
"""A folder in which nobody else can have taken a name before us."""
KEEPS_NAMES = Rule(closed=_WRITE, by_root=True, sticky=True)
"""A folder in which nobody else can rename what is ours: the temporary folder, all above a moved repo."""


def refuse_strangers(found: StatLike) -> None:
    """Raise PermissionError for a file with a secret that others own, or may read or write."""
    if not OURS_ALONE.holds(found):
        raise PermissionError("others own it, or may read or write it")


def belongs_to_others(found: StatLike, also: Collection[int] = ()) -> bool:
    """True for a file of neither this user nor root: its owner may change it and set its mtime back."""
    return not NO_STRANGERS.holds(found, also)


def others_who_may_exchange(found: os.stat_result, path: Path) -> str | None:
    """Say who else may rename what lies in a folder, None for nobody. As ssh's StrictModes; see `others_who_may_write`.

    A sticky bit keeps them from it, unless the folder is their own.
    """
    if found.st_mode & stat.S_ISVTX and not belongs_to_others(found):
        return None
    return others_who_may_write(found, path)


def others_who_may_write(found: os.stat_result, path: Path) -> str | None:
    """Say who else may write a file or folder, None for nobody. `found` is its stat, `path` where its ACL is looked up.

    The mode of a symlink means nothing, so only its owner is judged.
    """
    if not HAS_OWNERS:
        return None if is_in_profile(path) else "it lies outside of your profile"
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
    if not HAS_OWNERS:
        return None if is_in_profile(path) else "it lies outside of your profile"
    above = [folder.stat().st_mode for folder in path.parents]
    if found.st_mode & stat.S_IROTH and all(mode & stat.S_IXOTH for mode in above):
        return "every user may read it"
    reach = stat.S_IXGRP | stat.S_IXOTH
    if found.st_mode & stat.S_IRGRP and all(mode & reach for mode in above) and not _is_alone(found, path):
        return "other users may read it, by its group or an ACL"
    return None


def _is_alone(found: os.stat_result, path: Path) -> bool:
    """True when what the group may do, nobody but the user and root may."""
    return not has_acl(path) and is_private_group(found.st_gid)
