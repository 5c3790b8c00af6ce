"""This machine, or one of several processes on it, as a node of a fleet."""

from __future__ import annotations

import hashlib
import re
import time
from typing import NamedTuple

from orchestrator.platform.host import host_name
from orchestrator.swarm.tickets import FleetKeys
from orchestrator.swarm.wire import About

_OTHER = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST = 40


class Membership(NamedTuple):
    """A node as it appears in its fleet, and the keys by which it belongs to that."""

    me: About
    keys: FleetKeys


def this_node(*what: object, zone: str = "", cache: str = "") -> About:
    """The node that has `what` of this machine, such as a cache: of the same name after a restart, in a later epoch.
    `cache` is the id of its cache."""
    host = _OTHER.sub("-", host_name()).strip(".-_")[:_LONGEST] or "node"
    mark = hashlib.sha256("\0".join(map(str, (host_name(), *what))).encode("utf-8", "surrogateescape"))
    return About(f"{host}-{mark.hexdigest()[:8]}", time.time_ns() // 1000, zone, cache)
