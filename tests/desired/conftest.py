"""A machine with its hub, for tests of followers as commands."""

from tests.machine.fixtures import _no_proxies, hub, machine, make_hub, repo

__all__ = ["_no_proxies", "hub", "machine", "make_hub", "repo"]
