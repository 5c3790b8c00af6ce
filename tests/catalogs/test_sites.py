"""Which catalogs are asked first, which hold a repo under other names, and who may hear of one that is closed."""

from __future__ import annotations

import pytest

from orchestrator.core.dialects import Dialect
from orchestrator.core.sources import Source
from tests import plain
from tests.plain import HF, MIRROR, MS, ROOT, SCOPE, PlainCatalog

root, mirror, scope = PlainCatalog(), PlainCatalog(MIRROR), PlainCatalog(SCOPE)


def test_the_root_is_asked_first_and_for_an_ms_ref_its_own_catalog() -> None:
    sites = plain.sites(root, mirror, scope)
    assert sites.of(plain.ref()) is root
    assert sites.of(plain.ref("master", MS)) is scope


def test_other_kinds_of_catalogs_are_those_that_settings_name() -> None:
    sites = plain.sites(root, mirror, scope)
    assert sites.named == (root, mirror, scope)
    assert sites.others(HF) == (scope,)
    assert sites.others(MS) == (root, mirror)


@pytest.mark.parametrize(
    ("source", "kind", "named", "hears"),
    [
        (ROOT, HF, (), True),
        (MIRROR, HF, (), False),
        (MIRROR, HF, ("mirror.test",), True),
        (ROOT, MS, (), False),
        (SCOPE, MS, (), True),
        (SCOPE, HF, ("scope.test",), False),
    ],
)
def test_a_closed_repo_is_told_to_who_listed_it_and_to_named_servers(
    source: Source, kind: Dialect, named: tuple[str, ...], hears: bool
) -> None:
    sites = plain.sites(root, mirror, scope, named=named)
    assert sites.may_hear(source, kind, is_restricted=True) == hears
    assert sites.may_hear(source, kind, is_restricted=False)


def test_a_closed_repo_of_a_kind_that_nobody_lists_is_told_to_no_site() -> None:
    sites = plain.sites(root, mirror)
    assert not sites.may_hear(SCOPE, MS, is_restricted=True)
