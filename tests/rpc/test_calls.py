"""Whose a call is, and the code with which an error ends it."""

import grpc
import pytest

from orchestrator.errors import ConflictError, GlmAriaError, NotFoundError, UnsafeError
from orchestrator.rpc.calls import address_of, code_of


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.0.0.7:50312", "10.0.0.7"),
        ("ipv6:%5B::1%5D:50312", "::1"),
        ("ipv6:[2001:db8::7]:50312", "2001:db8::7"),
        ("unix:", "unix:"),
    ],
)
def test_an_address_is_that_of_the_machine(peer: str, address: str) -> None:
    assert address_of(peer) == address


def test_the_first_kind_of_an_error_says_its_code() -> None:
    codes: dict[type[GlmAriaError], grpc.StatusCode] = {
        ConflictError: grpc.StatusCode.ABORTED,
        UnsafeError: grpc.StatusCode.FAILED_PRECONDITION,
    }
    errors: list[GlmAriaError] = [ConflictError("a"), UnsafeError("b"), NotFoundError("c")]
    assert [code_of(error, codes) for error in errors] == [
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.INTERNAL,
    ]
