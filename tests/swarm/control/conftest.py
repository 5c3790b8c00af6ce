"""Machines of a fleet."""

from tests.machine.fixtures import _no_proxies, machine, make_hub, tiny  # noqa: F401
