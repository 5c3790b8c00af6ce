"""Callers of a server, and the refusal of what they may not have."""

from __future__ import annotations

from orchestrator.rights import Role, RoleGrant
from orchestrator.serve.access.callers import ANYBODY, NOBODY, OPERATOR, Caller


def test_who_shows_no_token_is_asked_for_one() -> None:
    assert NOBODY.deny("x is not served").status == 401
    assert ANYBODY.deny("x is not served").status == 401


def test_who_shows_one_is_told_its_roles() -> None:
    refused = Caller("ci", (RoleGrant(Role.READER),)).deny("x is not served")
    assert refused.status == 403
    assert "'ci' (reader)" in refused.message


def test_a_caller_shows_no_token() -> None:
    assert "hf_secret" not in repr(Caller(hub_token="hf_secret"))


def test_the_operator_commands_and_others_view_at_most() -> None:
    assert [caller.is_admin for caller in (NOBODY, ANYBODY, OPERATOR)] == [False, False, True]
    assert [caller.may_view for caller in (NOBODY, ANYBODY, OPERATOR)] == [False, True, True]
