"""The table of roles: each role, right and namespace, open and closed repos."""

from __future__ import annotations

import itertools

import pytest

from orchestrator.core.refs import RepoId, RepoType
from orchestrator.rights import Right, Role, RoleGrant, Subject

ALLOWED = {
    Role.READER: "read",
    Role.PULLER: "read fetch",
    Role.PUBLISHER: "read fetch publish",
    Role.PROMOTER: "read fetch promote",
    Role.ADMIN: "read fetch publish promote command",
}
NOBODY = Subject()
INSIDE, OUTSIDE = RepoId(RepoType.MODEL, "team/one"), RepoId(RepoType.MODEL, "other/one")


def _in_team(role: Role) -> RoleGrant:
    return RoleGrant(role) if role is Role.ADMIN else RoleGrant(role, ("team",))


@pytest.mark.parametrize(("role", "right"), list(itertools.product(Role, Right)))
def test_a_role_may_what_the_table_says_in_its_namespaces(role: Role, right: Right) -> None:
    subject = Subject("ci", (_in_team(role),))
    assert subject.may(right, INSIDE) is (right.value in ALLOWED[role].split())
    assert subject.may(right, OUTSIDE) is (role is Role.ADMIN)
    assert not NOBODY.may(right, INSIDE)


@pytest.mark.parametrize(
    ("role", "is_allowed_closed", "is_closed", "repo"),
    list(itertools.product((None, *Role), (True, False), (True, False), (INSIDE, OUTSIDE))),
)
def test_a_closed_repo_is_read_with_the_right_to_it_only(
    role: Role | None, is_allowed_closed: bool, is_closed: bool, repo: RepoId
) -> None:
    subject = Subject("ci", (_in_team(role),) if role else (), is_allowed_closed)
    expected = role is not None and (repo is INSIDE or role is Role.ADMIN) and (is_allowed_closed or not is_closed)
    assert subject.may_read(repo, restricted=is_closed) is expected


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
    assert Subject("ci", (RoleGrant(Role.READER, (pattern,)),)).may_read(RepoId(kind, name)) is expected


def test_only_who_sees_everything_commands_or_views_the_server() -> None:
    assert {role for role in Role if Subject("x", (RoleGrant(role),)).is_admin} == {Role.ADMIN}
    assert all(Subject("x", (RoleGrant(role),)).may_view for role in Role)
    assert not any(Subject("x", (RoleGrant(role, ("team",)),)).may_view for role in set(Role) - {Role.ADMIN})
    assert not NOBODY.is_admin
    assert not NOBODY.may_view


def test_an_admin_is_one_everywhere() -> None:
    with pytest.raises(ValueError, match="whole server"):
        RoleGrant(Role.ADMIN, ("team",))


def test_each_role_holds_in_its_own_namespaces() -> None:
    both = Subject("x", (RoleGrant(Role.PUBLISHER, ("team",)), RoleGrant(Role.PROMOTER, ("other",))))
    assert (both.may(Right.PUBLISH, INSIDE), both.may(Right.PROMOTE, INSIDE)) == (True, False)
    assert (both.may(Right.PUBLISH, OUTSIDE), both.may(Right.PROMOTE, OUTSIDE)) == (False, True)
    assert both.roles == "publisher, promoter"
