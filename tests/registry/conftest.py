"""A registry for all tests of this folder; each has a model of its own there."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from orchestrator.core.refs import RepoId
from orchestrator.registry.names import model_named
from tests.registry.shop import Shop, shop_in


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with shop_in(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


@pytest.fixture
def model() -> RepoId:
    return model_named(f"team/model-{secrets.token_hex(6)}")
