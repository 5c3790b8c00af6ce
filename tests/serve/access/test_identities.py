"""People whom a trusted proxy names, and their groups."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from orchestrator.core.refs import RepoId, RepoType
from orchestrator.rights import Right, Role, RoleGrant
from orchestrator.serve.access.callers import Caller
from orchestrator.serve.access.clients import ClientLimits
from orchestrator.serve.access.door import Door
from orchestrator.serve.access.identities import Identities, parse_group
from orchestrator.serve.http.proxies import TrustedProxies
from tests.serve.access.test_door import request

GROUPS = ("ml=publisher:team+lab-*", "sre=promoter", "sre=reader:team", "root=admin")
IDENTITIES = Identities(map(parse_group, GROUPS))
PROXY = TrustedProxies(["127.0.0.1"])
MODEL = RepoId(RepoType.MODEL, "team/model")


def asks(proxies: TrustedProxies = PROXY, **headers: str) -> Caller:
    door = Door(ClientLimits(requests=9), needs_token=True, identities=IDENTITIES)
    told: dict[str, Any] = headers
    return door.admit(request(proxies=proxies, **told))


def token(**claims: object) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{body}.signature"


def test_groups_in_headers_become_roles() -> None:
    caller = asks(x_forwarded_user="ann", x_forwarded_groups="ml, unknown,sre")
    assert caller.name == "user:ann"
    assert [caller.may(right, MODEL) for right in (Right.READ, Right.PUBLISH, Right.PROMOTE)] == [True, True, True]
    assert not caller.may(Right.PUBLISH, RepoId(RepoType.MODEL, "other/model"))
    assert not caller.is_admin


@pytest.mark.parametrize("header", ["x_forwarded_id_token", "x_forwarded_access_token"])
def test_claims_of_a_token_that_the_proxy_passes_on_become_roles(header: str) -> None:
    told: dict[str, Any] = {header: token(sub="1", email="ann@example", groups=["ml", 3])}
    caller = asks(**told)
    assert (caller.name, caller.roles) == ("user:ann@example", "publisher")


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c", token(groups=["root"]), "e30.W10.x", "e30.!!.x"])
def test_a_token_that_names_nobody_gives_nothing(text: str) -> None:
    assert asks(x_forwarded_id_token=text).name == ""


def test_nobody_else_is_believed() -> None:
    for proxies in (TrustedProxies(), TrustedProxies(["10.0.0.1"])):
        caller = asks(proxies, x_forwarded_user="ann", x_forwarded_groups="root")
        assert (caller.name, caller.grants) == ("", ())


def test_who_is_in_no_group_has_a_name_and_no_right() -> None:
    caller = asks(x_forwarded_user="ann", x_forwarded_groups="others")
    assert (caller.name, caller.grants) == ("user:ann", ())
    assert caller.deny("x is not served").status == 403


@pytest.mark.parametrize("name", ["a" * 129, "ann\x01", "ann\u200b", "ann ", " ann", "a\tb"])
def test_a_name_is_taken_as_it_stands_or_not_at_all(name: str) -> None:
    """Cut, or with other characters, it could be the name of somebody else."""
    assert asks(x_forwarded_id_token=token(sub=name, groups=["ml"])).name == ""
    header = name.encode().decode("latin-1")
    assert asks(x_forwarded_user=header, x_forwarded_groups="ml").name == ""


def test_names_and_groups_in_headers_are_utf_8() -> None:
    told = {"x_forwarded_user": "J\u0151rg", "x_forwarded_groups": "\u00e9quipe"}
    door = Door(ClientLimits(requests=9), needs_token=True, identities=Identities([parse_group("\u00e9quipe=reader")]))
    sent: dict[str, Any] = {name: text.encode().decode("latin-1") for name, text in told.items()}
    caller = door.admit(request(proxies=PROXY, **sent))
    assert (caller.name, caller.roles) == ("user:J\u0151rg", "reader")
    assert asks(x_forwarded_user="J\xf6rg", x_forwarded_groups="ml").name == ""  # Latin-1


def test_a_group_with_a_comma_in_its_name_gives_no_other_role() -> None:
    forged = token(sub="ann", groups=["x,root", " root", "ml"])
    assert asks(x_forwarded_id_token=forged).roles == "publisher"
    assert asks(x_forwarded_id_token=forged, x_forwarded_groups="x,root,root,ml").roles == "publisher"
    # What a client adds takes away, and gives nothing.
    added = token(groups=["root"])
    assert asks(x_forwarded_user="ann", x_forwarded_groups="ml", x_forwarded_id_token=added).grants == ()


@pytest.mark.parametrize("text", ["ml", "ml=", "=reader", "ml=owner", "ml=reader:", "ml=reader:a b", "ml=admin:team"])
def test_a_group_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_group(text)


def test_a_group_may_hold_several_namespaces() -> None:
    assert parse_group("ml=reader:team+lab-*") == ("ml", RoleGrant(Role.READER, ("team", "lab-*")))
