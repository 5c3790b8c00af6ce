"""Options that set how much is tried of what there is too much of to try it all each time."""

from __future__ import annotations

import os
import secrets

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("glm-aria")
    group.addoption("--torture", action="store_true", help="the long forms of tests/crash and tests/faults")
    group.addoption("--seed", type=int, help="of everything that is left to chance (default: a new one, printed)")
    group.addoption("--points", type=int, help="with --torture: at most so many points of each kind and scenario")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "torture: has a long form, which --torture asks for")
    if config.getoption("seed") is None:
        # One for all workers of xdist, which inherit the environment.
        config.option.seed = int(os.environ.setdefault("GLM_ARIA_TEST_SEED", str(secrets.randbelow(10**6))))


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: {config.getoption('seed')} (--seed)"


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    """Where all chance comes from; printed at the head of the run."""
    return int(pytestconfig.getoption("seed"))


@pytest.fixture(scope="session")
def is_long(pytestconfig: pytest.Config) -> bool:
    """True when the long forms are asked for."""
    return bool(pytestconfig.getoption("torture"))
