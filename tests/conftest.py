"""Options of the long suites: how much of them runs, and the seed that everything random is drawn from."""

from __future__ import annotations

import os
import secrets

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--torture", action="store_true", help="run the long forms of tests/faults, tests/crash and tests/machine"
    )
    parser.addoption("--seed", type=int, help="what random choices are drawn from; printed when not given")
    parser.addoption(
        "--points",
        type=int,
        help="with --torture: at most so many crash points of a kind and scenario, or cases of a fuzz test",
    )
    parser.addoption(
        "--anew", action="store_true", help="start every command anew, not as a fork of one that has the program loaded"
    )


def pytest_configure(config: pytest.Config) -> None:
    # The workers of xdist inherit the environment of the first process, so all draw from one seed.
    if config.option.seed is None:
        config.option.seed = int(os.environ.setdefault("TEST_SEED", str(secrets.randbelow(1 << 32))))
    if config.option.anew:
        os.environ["TEST_STARTS"] = "anew"


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: {config.option.seed}"


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    """What random choices are drawn from."""
    return int(pytestconfig.option.seed)


@pytest.fixture(scope="session")
def is_long(pytestconfig: pytest.Config) -> bool:
    """True when the long forms are asked for."""
    return bool(pytestconfig.option.torture)
