"""A machine and hubs for each test."""

from tests.machine.fixtures import (  # noqa: F401 - fixtures
    _no_proxies,
    foreign,
    hub,
    machine,
    make_foreign,
    make_hub,
    other_user,
    repo,
    tiny,
)
