"""A started aria2c and its RPC, as the tests of `aria2` have them."""

from tests.aria2.conftest import _no_proxies, daemon, endpoint, make_rpc, rpc, runtime

__all__ = ["_no_proxies", "daemon", "endpoint", "make_rpc", "rpc", "runtime"]
