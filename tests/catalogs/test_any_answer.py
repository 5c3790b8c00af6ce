"""Whatever JSON a site answers: a tree that is safe as a whole, or an error of ours that names the site."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.catalogs.interface import Catalog
from orchestrator.core.files import RepoTree
from orchestrator.errors import GlmAriaError
from tests.catalogs.conftest import FILES, huggingface, model, modelscope_catalog
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo

HEAD = Repo("model", "org/m", FILES).head
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)


class Told:
    """What the site says to any question: the truth, which is kept, until something else is set."""

    def __init__(self) -> None:
        self.truth: Any = None
        self.instead: Any = None

    def __call__(self, value: Any) -> Any:
        self.truth = self.truth or value
        return self.instead or value


@pytest.fixture(scope="module", params=["huggingface", "modelscope"])
def site(request: pytest.FixtureRequest) -> Iterator[tuple[Catalog, Told]]:
    told = Told()
    with LoopbackHub([Repo("model", "org/m", FILES)]) as hub:
        other = hub.modelscope()
        face = "hub" if request.param == "huggingface" else "modelscope"
        hub.fault(Fault("lying_listing", edit=told), face=face)
        catalog = huggingface(hub) if face == "hub" else modelscope_catalog(hub, other)
        assert len(catalog.tree(model("org/m"), HEAD).files) == len(FILES)
        yield catalog, told


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_of_a_listing(site: tuple[Catalog, Told], data: st.DataObject) -> None:
    catalog, told = site
    told.instead = json.dumps(changed(told.truth, data)).encode()
    refused: GlmAriaError | None = None
    try:
        tree = catalog.tree(model("org/m"), HEAD)
    except GlmAriaError as error:
        refused = error
    else:
        assert RepoTree.checked(tree.commit, tree.files) == tree
    assert refused is None or (refused.source, refused.exit_code in (66, 76, 80)) == ("the-site", True), refused


def changed(value: Any, data: st.DataObject) -> Any:
    """`value` with anything at all in the place of one of its parts."""
    if isinstance(value, dict | list) and value and data.draw(st.integers(0, 5)):
        key = data.draw(st.sampled_from(list(value) if isinstance(value, dict) else range(len(value))))
        copy = value.copy()
        copy[key] = changed(value[key], data)
        return copy
    return data.draw(JSON)
