"""Options of the long suites: how much of them runs, and the seed that everything random is drawn from."""

from __future__ import annotations

import secrets

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--torture", action="store_true", help="run the long form of tests/faults and tests/crash")
    parser.addoption("--seed", type=int, help="what random choices are drawn from; printed when not given")


def pytest_configure(config: pytest.Config) -> None:
    # xdist hands the options of the first process to its workers, so all draw from one seed.
    if config.option.seed is None:
        config.option.seed = secrets.randbelow(1 << 32)


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: {config.option.seed}"
