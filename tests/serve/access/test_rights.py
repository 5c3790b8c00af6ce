"""The table of roles: each role, right and namespace, open and closed repos."""

from __future__ import annotations

import itertools

import pytest

from orchestrator.core.refs import RepoId, RepoType
from orchestrator.serve.access.rights import ANYBODY, NOBODY, OPERATOR, Caller, Right, Role

ALLOWED = {
    Role.READER: "read",
    Role.PULLER: "read fetch",
    Role.PUBLISHER: "read fetch publish",
    Role.PROMOTER: "read fetch promote",
    Role.ADMIN: "read fetch publish promote command",
}
INSIDE, OUTSIDE = RepoId(RepoType.MODEL, "team/one"), RepoId(RepoType.MODEL, "other/one")


@pytest.mark.parametrize(("role", "right"), list(itertools.product(Role, Right)))
def test_a_role_may_what_the_table_says_in_its_namespaces(role: Role, right: Right) -> None:
    caller = Caller("ci", role, ("team",))
    assert caller.may(right, INSIDE) is (right.value in ALLOWED[role].split())
    assert not caller.may(right, OUTSIDE)
    assert not NOBODY.may(right, INSIDE)


@pytest.mark.parametrize(
    ("role", "is_allowed_closed", "is_closed", "repo"),
    list(itertools.product((None, *Role), (True, False), (True, False), (INSIDE, OUTSIDE))),
)
def test_a_closed_repo_is_read_with_the_right_to_it_only(
    role: Role | None, is_allowed_closed: bool, is_closed: bool, repo: RepoId
) -> None:
    caller = Caller("ci", role, ("team",), is_allowed_closed)
    expected = role is not None and repo is INSIDE and (is_allowed_closed or not is_closed)
    assert caller.may_read(repo, restricted=is_closed) is expected


@pytest.mark.parametrize(
    ("pattern", "kind", "name", "expected"),
    [
        ("*", RepoType.MODEL, "org/name", True),
        ("*", RepoType.DATASET, "plain", True),
        ("team-*", RepoType.MODEL, "team-a/name", True),
        ("team-*", RepoType.SPACE, "team-a/name", True),
        ("team-*", RepoType.MODEL, "other/team-a", False),
        ("team", RepoType.MODEL, "teams/x", False),
        ("TEAM", RepoType.MODEL, "Team/x", True),
        ("gpt2", RepoType.MODEL, "gpt2", True),
        ("team/model-*", RepoType.MODEL, "team/model-1", True),
        ("team/model-*", RepoType.DATASET, "team/model-1", False),
        ("datasets/team/*", RepoType.DATASET, "team/x", True),
        ("*/x", RepoType.DATASET, "team/x", False),
    ],
)
def test_a_pattern_names_repos_by_namespace_or_part_by_part(
    pattern: str, kind: RepoType, name: str, expected: bool
) -> None:
    assert Caller("ci", Role.READER, (pattern,)).may_read(RepoId(kind, name)) is expected


def test_only_who_sees_everything_commands_or_views_the_server() -> None:
    assert {role for role in Role if Caller("x", role).is_admin} == {Role.ADMIN}
    assert not Caller("x", Role.ADMIN, ("team",)).is_admin
    assert all(Caller("x", role).may_view for role in Role)
    assert not any(Caller("x", role, ("team",)).may_view for role in Role)
    assert (NOBODY.may_view, ANYBODY.may_view, OPERATOR.may_view) == (False, True, True)
    assert (NOBODY.is_admin, ANYBODY.is_admin, OPERATOR.is_admin) == (False, False, True)


def test_who_shows_no_token_is_asked_for_one() -> None:
    assert NOBODY.deny("x is not served").status == 401
    assert Caller("ci", Role.READER).deny("x is not served").status == 403
    assert "'ci' (reader)" in Caller("ci", Role.READER).deny("x is not served").message


def test_a_caller_shows_no_token() -> None:
    assert "hf_secret" not in repr(Caller(hub_token="hf_secret"))
