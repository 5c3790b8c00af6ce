"""A machine knows its own name and addresses, and asks nobody for them."""

import os

import pytest

from orchestrator.swarm.names import is_own_address, is_own_name, plain_address

NAME = os.uname().nodename


@pytest.mark.parametrize("host", [NAME, NAME.upper(), f"{NAME.partition('.')[0]}.example.com"])
def test_the_name_of_this_machine_is_known_in_any_domain(host: str) -> None:
    assert is_own_name(host)


@pytest.mark.parametrize("host", ["", f"not-{NAME}", f"example.{NAME}", "localhost-"])
def test_another_name_is_not_ours(host: str) -> None:
    assert not is_own_name(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::ffff:127.0.0.1"])
def test_an_address_of_an_interface_is_ours(host: str) -> None:
    assert is_own_address(host)


@pytest.mark.parametrize("host", ["192.0.2.1", "0.0.0.0", "::", "224.0.0.251", "2001:db8::1", "localhost", NAME, ""])
def test_no_other_address_is_and_no_name_is_looked_up(host: str) -> None:
    assert not is_own_address(host)


def test_an_ipv4_address_is_the_same_in_both_forms() -> None:
    assert plain_address("::ffff:192.0.2.1") == plain_address("192.0.2.1")
