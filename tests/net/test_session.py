"""`Net` on real sockets: bounds, retries, redirects, the environment, and where the token goes."""

from __future__ import annotations

import gzip
import itertools
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator import __version__
from orchestrator.core.network.proxies import Proxies, parse_proxy
from orchestrator.errors import (
    GlmAriaError,
    ProtocolError,
    SourcesDownError,
    TemporaryError,
    TrustError,
)
from orchestrator.net.answers import Limits
from orchestrator.net.credentials import Credentials
from orchestrator.net.session import Net
from tests.hub.content import Bytes
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.wire import Reply, Request, json_reply, redirect
from tests.net.conftest import FILES

MakeNet = Callable[..., Net]
Serve = Callable[..., str]
INFO = "/api/models/org/m/revision/main"


def test_json_is_read(hub: LoopbackHub, make_net: MakeNet) -> None:
    answer = make_net().get_json(hub.url + INFO)
    assert (answer.status, answer.value["id"]) == (200, "org/m")
    (seen,) = hub.log.requests()
    assert seen.user_agent == f"glm-aria/{__version__}"
    assert seen.authorization is None


def test_other_statuses_are_answers_but_have_no_value(hub: LoopbackHub, make_net: MakeNet) -> None:
    answer = make_net().get_json(hub.url + "/api/models/org/m/revision/none?sig=SECRET")
    assert (answer.status, answer.headers["x-error-code"]) == (404, "RevisionNotFound")
    with pytest.raises(ProtocolError) as caught:
        _ = answer.value
    assert "SECRET" not in f"{caught.value} {answer!r}"


def test_connections_are_kept(hub: LoopbackHub, make_net: MakeNet) -> None:
    hub.fault(Fault("status", "*/api/*", times=1))
    net = make_net()
    for _ in range(3):
        net.get_json(hub.url + INFO)
        net.get_json(hub.url + "/api/models/org/none")
        net.head(hub.url + "/org/m/resolve/main/config.json")
        with net.stream(hub.url + "/org/m/resolve/main/config.json") as stream:  # follows a redirect with a body
            assert b"".join(stream.chunks()) == b"{}\n"
    assert hub.log.connections() == 1


def test_kept_connections_are_not_used_again_where_they_may_be_dead(hub: LoopbackHub, make_net: MakeNet) -> None:
    net = make_net()
    for connections in (1, 2):
        net.get_json(hub.url + INFO)
        net.get_json(hub.url + INFO)
        assert hub.log.connections() == connections
        net.reconnect()


def test_threads_share_it(hub: LoopbackHub, make_net: MakeNet) -> None:
    net = make_net()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: net.get_json(hub.url + INFO).value["id"], range(64)))
    assert answers == ["org/m"] * 64


# -- bounds


@pytest.mark.parametrize(
    "body",
    [
        b"<html>sign in</html>",
        b"",
        b'{"a": NaN}',
        b"[" * 100_000,
        b"[" * 40 + b"]" * 40,
        b'{"a":' * 33 + b"1" + b"}" * 33,
        b"[" + b"1," * 1_000_000 + b"1]",
        b"[" + b"[]," * 600_000 + b"[]]",
    ],
    ids=["html", "empty", "nan", "open", "deep list", "deep object", "many numbers", "many lists"],
)
def test_not_sane_json(serve: Serve, make_net: MakeNet, body: bytes) -> None:
    url = serve(lambda _: Reply(200, {}, Bytes(body)))
    with pytest.raises(ProtocolError):
        _ = make_net().get_json(url).value


def test_depth_up_to_the_limit_is_fine(serve: Serve, make_net: MakeNet) -> None:
    url = serve(lambda _: Reply(200, {}, Bytes(b"[" * 32 + b"]" * 32)))
    assert make_net().get_json(url).value


def test_body_is_bounded_after_decompression(hub: LoopbackHub, serve: Serve, make_net: MakeNet) -> None:
    bomb = gzip.compress(b" " * (64 << 20))
    url = serve(lambda _: Reply(200, {"Content-Encoding": "gzip"}, Bytes(bomb)))
    with pytest.raises(ProtocolError, match="more than"):
        make_net(limits=Limits(body=1 << 20)).get_json(url)


def test_compressed_json_is_read(serve: Serve, make_net: MakeNet) -> None:
    url = serve(lambda _: Reply(200, {"Content-Encoding": "gzip"}, Bytes(gzip.compress(b'{"a": 1}'))))
    assert make_net().get_json(url).value == {"a": 1}


def test_broken_compression_is_a_protocol_error(serve: Serve, make_net: MakeNet) -> None:
    url = serve(lambda _: Reply(200, {"Content-Encoding": "gzip"}, Bytes(b"not gzip at all")))
    with pytest.raises(ProtocolError, match="compression"):
        make_net().get_json(url)


def test_endless_body_is_cut(serve: Serve, make_net: MakeNet) -> None:
    url = serve(lambda _: Reply(200, {}, Bytes(b"[1," * 50_000), declared=None, ending="repeat"))
    with pytest.raises(ProtocolError, match="more than"):
        make_net(limits=Limits(body=1 << 20)).get_json(url)


def test_long_error_body_does_no_harm(serve: Serve, make_net: MakeNet) -> None:
    url = serve(lambda _: Reply(404, {}, Bytes(b"x" * 1_000_000)))
    answer = make_net().get_json(url)
    assert answer.status == 404
    assert len(answer.body) < 200_000


def test_a_drip_ends_at_the_deadline(hub: LoopbackHub, make_net: MakeNet) -> None:
    passing = itertools.count(0, 40).__next__  # every look at the clock finds it 40 s later
    with pytest.raises(TemporaryError, match="too slow"):
        make_net(clock=passing, limits=Limits(deadline=70)).get_json(hub.url + INFO)


def test_a_stream_must_keep_a_pace_once_the_time_for_a_read_is_over(hub: LoopbackHub, make_net: MakeNet) -> None:
    url = hub.url + "/org/m/resolve/main/model.safetensors"
    passing = itertools.count(0, 3).__next__
    hasty = Limits(slowest=1 << 20)
    with make_net(clock=passing, limits=hasty).stream(url) as stream, pytest.raises(TemporaryError, match="too slow"):
        for _ in stream.chunks():
            pass
    with make_net(clock=passing).stream(url) as stream:
        assert b"".join(stream.chunks()) == FILES["model.safetensors"]


# -- what can fail, and what it becomes


def test_a_refused_connection_is_tried_again_and_told(make_net: MakeNet, waits: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(SourcesDownError, match=f"127.0.0.1:{port} cannot be reached"):
        make_net().get_json(f"http://127.0.0.1:{port}/x")
    assert waits == [0.5, 1, 2, 4]


def test_an_unknown_name_is_told(make_net: MakeNet) -> None:
    with pytest.raises(TemporaryError, match="looked up"):
        make_net(limits=Limits(attempts=1)).get_json("http://no-such-host.invalid/x")


def test_silence_ends_in_time(make_net: MakeNet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
        with pytest.raises(TemporaryError, match="in time"):
            make_net(limits=Limits(read=0.05, attempts=1)).get_json(url)


@pytest.mark.parametrize("kind", ["truncated", "reset"])
def test_broken_bodies_are_asked_for_again(serve: Serve, make_net: MakeNet, waits: list[float], kind: str) -> None:
    broken = iter([True, True, False])
    ending = {"truncated": "close", "reset": "reset"}[kind]

    def handler(_: Request) -> Reply:
        reply = json_reply({"a": "b" * 500_000})
        if next(broken):
            reply.stop_after, reply.ending = 400_000, ending  # type: ignore[assignment]
        return reply

    assert len(make_net().get_json(serve(handler)).value["a"]) == 500_000
    assert len(waits) == 2


def test_http_to_a_tls_server(make_net: MakeNet, server_tls: ssl.SSLContext) -> None:
    with LoopbackHub(tls=server_tls) as hub, pytest.raises(TemporaryError):
        make_net(limits=Limits(attempts=1)).get_json(hub.url.replace("https", "http") + "/x")


def test_tls_that_is_not_tls(make_net: MakeNet, waits: list[float]) -> None:
    def answer_in_the_clear() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        pool.submit(answer_in_the_clear)
        with pytest.raises(TrustError):
            make_net().get_json(f"https://127.0.0.1:{listener.getsockname()[1]}/x")
    assert waits == []


def test_a_bad_certificate_gets_no_request(make_net: MakeNet, server_tls: ssl.SSLContext, waits: list[float]) -> None:
    with LoopbackHub([Repo("model", "org/m", FILES)], tls=server_tls) as hub:
        with pytest.raises(TrustError) as caught:
            make_net(Credentials("hf_canary", frozenset({hub.host}))).get_json(hub.url + INFO)
        assert hub.log.requests() == []
    assert caught.value.hint is not None
    assert "REQUESTS_CA_BUNDLE" in caught.value.hint
    assert waits == []


def test_a_certificate_that_the_user_named(make_net: MakeNet, certificate: Path, server_tls: ssl.SSLContext) -> None:
    with LoopbackHub([Repo("model", "org/m", FILES)], tls=server_tls) as hub:
        assert make_net(ca_bundle=certificate).get_json(hub.url + INFO).value["id"] == "org/m"


# -- busy servers


@pytest.mark.parametrize(("unreachable", "tries"), [(1, 1), (2, 2), (9, 4)])
def test_knocking_at_a_site_that_is_not_there_is_bounded_apart(
    make_net: MakeNet, waits: list[float], unreachable: int, tries: int
) -> None:
    with pytest.raises(SourcesDownError):
        make_net(limits=Limits(attempts=4, unreachable=unreachable)).get_json("http://127.0.0.1:9/x")
    assert len(waits) == tries - 1


def test_the_way_of_another_program_is_ours(make_net: MakeNet, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("")
    proxies = Proxies({"": parse_proxy("http://user:p%40w@proxy.example:3128")}, None, ("direct.example",))
    net = make_net(proxies=proxies, ca_bundle=bundle)
    proxied = dict.fromkeys(("http_proxy", "https_proxy"), "http://user:p%40w@proxy.example:3128")
    assert net.way_to("https://hub.example/x") == proxied | {"GIT_SSL_CAINFO": str(bundle)}
    assert net.way_to("https://direct.example/x")["no_proxy"] == "*"
    assert net.way_to("http://127.0.0.1:1/x")["no_proxy"] == "*"
    assert make_net(ca_bundle=tmp_path).way_to("https://x")["GIT_SSL_CAPATH"] == str(tmp_path)


def test_attempts_are_bounded(hub: LoopbackHub, make_net: MakeNet, waits: list[float]) -> None:
    hub.fault(Fault("status", status=503))
    with pytest.raises(TemporaryError, match="HTTP 503"):
        make_net(limits=Limits(attempts=3)).head(hub.url + INFO)
    assert (len(hub.log.requests()), len(waits)) == (3, 2)


def test_a_quota_is_waited_for(hub: LoopbackHub, make_net: MakeNet, waits: list[float]) -> None:
    hub.fault(Fault("rate_limited", retry_after_s=55, times=1))
    assert make_net().get_json(hub.url + INFO).status == 200
    assert waits == [56]


def test_a_wait_beyond_the_deadline_is_not_begun(hub: LoopbackHub, make_net: MakeNet, waits: list[float]) -> None:
    hub.fault(Fault("rate_limited", retry_after_s=3000))
    with pytest.raises(TemporaryError, match="3001 s"):
        make_net().get_json(hub.url + INFO)
    assert (waits, len(hub.log.requests())) == ([], 1)


def test_a_stream_is_retried_until_it_begins(hub: LoopbackHub, make_net: MakeNet, waits: list[float]) -> None:
    hub.fault(Fault("status", times=1))
    with make_net().stream(hub.url + "/org/m/resolve/main/config.json") as stream:
        assert b"".join(stream.chunks()) == b"{}\n"
    assert len(waits) == 1


def test_errors_of_the_consumer_pass_unchanged(hub: LoopbackHub, make_net: MakeNet) -> None:
    with pytest.raises(OSError, match="disk"), make_net().stream(hub.url + "/org/m/resolve/main/config.json"):
        raise OSError("disk")


# -- redirects and the token


def test_a_redirect_loop_is_left(hub: LoopbackHub, make_net: MakeNet) -> None:
    hub.fault(Fault("redirect_loop"))
    with pytest.raises(ProtocolError, match="loop"):
        make_net().get_json(hub.url + INFO)
    assert len(hub.log.requests()) == 11


def test_the_body_of_a_redirect_is_not_read(serve: Serve, make_net: MakeNet, hub: LoopbackHub) -> None:
    target = {"Location": hub.url + INFO}
    url = serve(lambda _: Reply(302, target, Bytes(b"x" * 50_000), declared=None, ending="repeat"))
    assert make_net().get_json(url).status == 200


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/x", "file:///etc/passwd", "http://u:p@127.0.0.1/x"])
def test_a_redirect_to_another_scheme_is_refused(hub: LoopbackHub, make_net: MakeNet, location: str) -> None:
    hub.fault(Fault("redirect", location=location))
    with pytest.raises(ProtocolError):
        make_net().get_json(hub.url + INFO)


def test_https_is_not_left_on_the_wire(
    hub: LoopbackHub, make_net: MakeNet, certificate: Path, server_tls: ssl.SSLContext
) -> None:
    with LoopbackHub(tls=server_tls) as safe:
        safe.fault(Fault("redirect", location=hub.url + INFO))
        with pytest.raises(TrustError):
            make_net(ca_bundle=certificate).get_json(safe.url + INFO)
    assert hub.log.requests() == []


def test_the_token_is_decided_anew_at_each_hop(hub: LoopbackHub, serve: Serve, make_net: MakeNet) -> None:
    """hub (named) -> elsewhere (not named) -> hub (named): only the hub sees the token, both times."""
    there = serve(lambda request: redirect(302, hub.url + request.target), "elsewhere")
    hub.fault(Fault("redirect", location=there + INFO, times=1))
    net = make_net(Credentials("hf_canary", frozenset({hub.host})))
    assert net.get_json(hub.url + INFO).status == 200
    assert [seen.token for seen in hub.log.requests(face="hub")] == ["hf_canary", "hf_canary"]
    assert [seen.authorization for seen in hub.log.requests(face="elsewhere")] == [None]


def test_head_does_not_follow(hub: LoopbackHub, make_net: MakeNet) -> None:
    answer = make_net().head(hub.url + "/org/m/resolve/main/model.safetensors")
    assert answer.status == 302
    assert answer.headers["Location"].startswith(hub.cdn_url)


# -- the environment


def test_netrc_is_not_read(
    hub: LoopbackHub, make_net: MakeNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password SECRET\ndefault login me password SECRET\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    make_net().get_json(hub.url + INFO)
    assert [seen.authorization for seen in hub.log.requests()] == [None]


def test_cookies_are_not_kept(serve: Serve, make_net: MakeNet, hub: LoopbackHub) -> None:
    url = serve(lambda _: json_reply({}, headers={"Set-Cookie": "track=1; Path=/"}))
    net = make_net()
    net.get_json(url)
    net.get_json(url)
    assert not any("cookie" in seen.headers for seen in hub.log.requests())


@pytest.mark.parametrize("explicit", [False, True])
def test_proxy_for_other_hosts_only(hub: LoopbackHub, serve: Serve, make_net: MakeNet, explicit: bool) -> None:
    proxy = serve(lambda _: json_reply({"from": "proxy"}), "proxy")
    sites = {"": parse_proxy(proxy)} if explicit else {}
    proxies = Proxies(sites, None if explicit else {"http": proxy}, ("skipped.example",))
    credentials = Credentials("hf_canary", frozenset({"hub.example", hub.host}))
    net = make_net(credentials, proxies=proxies, limits=Limits(attempts=1, connect=0.2))
    assert net.get_json("http://hub.example/x").value == {"from": "proxy"}
    assert net.get_json(hub.url + INFO).value["id"] == "org/m"
    with pytest.raises(GlmAriaError):
        net.get_json("http://skipped.example/x")
    assert [seen.token for seen in hub.log.requests(face="proxy")] == [None]
    assert [seen.token for seen in hub.log.requests(face="hub")] == ["hf_canary"]
