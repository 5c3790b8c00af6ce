"""Proxies and certificates: the same way for Python, git and aria2c, and a password that is seen by the proxy alone.

The host names below mean something to the proxies of the tests alone. The password is a canary: it must be in no
output, no file of ours, no command line and not in aria2c's environment.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.hub.certificates import make_certificate, server_context
from tests.hub.content import generate
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.machine.fixtures import MakeHub, wanted
from tests.machine.machine import Machine, cmdline, content, environ
from tests.servers.proxy import ForwardProxy, Manners, forward_proxy

pytestmark = pytest.mark.sampled(12)

MakeProxy = Callable[..., ForwardProxy]
NAMES = ("hub.example.test", "cdn.example.test")
TLS_NAMES = ",".join(f"DNS:{name}" for name in (*NAMES, "near.example.test"))


@pytest.fixture
def make_proxy() -> Iterator[MakeProxy]:
    with ExitStack() as stack:
        yield lambda **manners: stack.enter_context(forward_proxy(Manners(**manners)))


@pytest.fixture
def proxy(make_proxy: MakeProxy) -> ForwardProxy:
    return make_proxy()


@pytest.fixture
def password(machine: Machine) -> Iterator[str]:
    """Hard to write into an address, and looked for at the end."""
    canary = "canary" + secrets.token_hex(8)
    yield f"{canary}@:/?#%ö"
    for result in machine.results:
        assert canary not in result.out + result.err, f"the password was printed by {result.words}"
        assert canary not in " ".join(result.words)
    for path in machine.files():
        if "config" not in path.parts:  # where the user wrote it
            assert canary.encode() not in path.read_bytes(), f"the password is in {path}"


def settings(machine: Machine, text: str) -> None:
    """The user's own settings file."""
    folder = machine.folder / "config" / "glm-aria"
    folder.mkdir(exist_ok=True)
    (folder / "config.toml").write_text(text, "utf-8")


def far(hub: LoopbackHub, machine: Machine, **names: str) -> LoopbackHub:
    """Give the hub names that only a proxy can reach."""
    for face, host in {"hub": NAMES[0], "cdn": NAMES[1], **names}.items():
        hub.faces[face].host = host
    machine.root = hub.url
    return hub


@pytest.fixture
def tiny() -> Repo:
    """A model with a file that aria2 fetches, beside those that Python fetches."""
    return Repo("model", "org/tiny", {"config.json": b"{}\n", "model.safetensors": generate(3 << 20, 4)})


@pytest.fixture
def secure(machine: Machine, make_hub: MakeHub, tmp_path: Path, tiny: Repo) -> tuple[LoopbackHub, Path]:
    """A hub behind TLS with a name, and the certificate to believe."""
    folder = tmp_path / "tls"
    folder.mkdir()
    certificate, key = make_certificate(folder, names=TLS_NAMES)
    return far(make_hub(tiny, tls=server_context(certificate, key)), machine), certificate


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_all_goes_through_the_proxy(
    machine: Machine, make_hub: MakeHub, tiny: Repo, proxy: ForwardProxy, how: str
) -> None:
    hub = far(make_hub(tiny), machine)
    address = proxy.url
    if how == "flag":
        # What the environment says else is not heard, by aria2c neither.
        other = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "no_proxy": ""}
        done = machine.pull("org/tiny", "--proxy", address, env=other).ended(0)
    else:
        done = machine.pull("org/tiny", env={"HTTP_PROXY": address, "http_proxy": address}).ended(0)
    assert done.warnings == ["plain-http"]
    assert content(machine.snapshot("model/org/tiny", tiny.head)) == wanted(tiny)
    assert proxy.hosts == set(NAMES)
    assert "glm-aria" in {agent for _, _, agent in proxy.asked}, "aria2c did not take this way"
    assert hub.log.tokens() == set(), "the token went over plain http"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_login_is_given_and_shown_to_nobody(
    machine: Machine,
    make_hub: MakeHub,
    make_proxy: MakeProxy,
    password: str,
    tmp_path: Path,
    scheme: str,
) -> None:
    repo = Repo("model", "org/m", {"config.json": b"{}\n", "model.safetensors": generate(3 << 20, 1)})
    certificate, key = make_certificate(tmp_path, names=TLS_NAMES)
    tls = server_context(certificate, key) if scheme == "https" else None
    hub = far(make_hub(repo, tls=tls), machine)
    proxy = make_proxy(login=f"me:{password}", rate=2e6)
    address = f"http://me:{quote(password, safe='')}@{proxy.place}"
    settings(machine, f'[transfer]\nproxy = "{address}"\n[tls]\nca_bundle = "{certificate}"\n')
    running = machine.start_pull("org/m")
    assert hub.log.wait_for(lambda log: log.bytes_sent(face="cdn") > 100_000)
    (pid,) = machine.aria2()
    for seen in (
        cmdline(pid),
        environ(pid),
        cmdline(running.pid),
        next(machine.runtime.rglob("aria2.conf")).read_text(),
    ):
        assert seen
        assert "canary" not in seen.replace(machine.token, "")
    proxy.manners.rate = None
    running.end().ended(0)
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)
    assert proxy.traffic.logins == {f"me:{password}"}
    assert {method for method, _, _ in proxy.asked} == ({"CONNECT"} if tls else {"GET", "HEAD"})
    for seen_by_hub in hub.log.requests():
        assert "canary" not in str(seen_by_hub.headers).replace(machine.token, "")
        assert "proxy-authorization" not in seen_by_hub.headers
    shown = machine.run("config", "show").ended(0).out
    assert "proxy = ***" in shown


def test_each_site_has_its_proxy_and_what_it_leads_to_too(
    machine: Machine, make_hub: MakeHub, make_proxy: MakeProxy
) -> None:
    repo = Repo("model", "org/m", {"config.json": b"{}\n", "model.safetensors": generate(24 << 20, 1)})
    hub = make_hub(repo)
    hub.mirror("near", own_cdn=True)
    far(hub, machine, near="near.example.test", **{"near-cdn": "near-cdn.example.test"})
    near = hub.faces["near"].url
    ours, theirs, nobodys = make_proxy(rate=4e6), make_proxy(rate=4e6), make_proxy()
    settings(
        machine,
        f'[trust]\nroot_proxy = "{ours.url}"\n[transfer]\nproxy = "{nobodys.url}"\n'
        f'[[mirror]]\nname = "near"\nurl = "{near}"\nproxy = "{theirs.url}"\n',
    )
    done = machine.pull("org/m").ended(0)
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)
    assert ours.hosts == set(NAMES)
    assert theirs.hosts == {"near.example.test", "near-cdn.example.test"}
    assert nobodys.asked == []
    assert theirs.traffic.bytes_back["near-cdn.example.test"] > 1 << 20
    assert ours.traffic.bytes_back["cdn.example.test"] > 1 << 20
    big = next(file for file in done.model["files"] if file["path"] == "model.safetensors")
    assert set(big["sources"]) == {"near", hub.faces["hub"].url.removeprefix("http://")}


def test_none_means_directly_whatever_the_environment_says(
    machine: Machine, make_hub: MakeHub, tiny: Repo, proxy: ForwardProxy
) -> None:
    """The mirror is on this network under a name that resolves; only its own `none` keeps it from the dead proxy."""
    hub = make_hub(tiny)
    hub.mirror("near", host="ip6-localhost.invalid")
    far(hub, machine)
    env = {"http_proxy": proxy.url}
    settings(machine, f'[[mirror]]\nname = "near"\nurl = "{hub.faces["near"].url}"\nproxy = "none"\n')
    done = machine.pull("org/tiny", env=env).ended(0)
    assert "ip6-localhost.invalid" not in proxy.hosts
    assert "mirror-down" in done.warnings, "directly, that name cannot be looked up"
    machine.pull("org/tiny", "--proxy", "none", "--no-mirrors", "--force", env=env).ended(75)


@pytest.mark.parametrize("entry", [".example.test", "example.test", "*"])
def test_no_proxy_goes_around_the_proxy(
    machine: Machine, make_hub: MakeHub, tiny: Repo, proxy: ForwardProxy, entry: str
) -> None:
    far(make_hub(tiny), machine)
    machine.pull("org/tiny", "--proxy", proxy.url, env={"NO_PROXY": entry}).ended(75)
    assert proxy.asked == []


def test_aria2_leaves_out_what_no_proxy_names_after_a_redirect_too(
    machine: Machine, make_hub: MakeHub, tiny: Repo, proxy: ForwardProxy
) -> None:
    """The redirect of a large file is known before; directly, its name cannot be looked up."""
    far(make_hub(tiny), machine)
    machine.pull("org/tiny", "--proxy", proxy.url, env={"NO_PROXY": NAMES[1]}).ended(75)
    assert proxy.hosts == {NAMES[0]}


@pytest.mark.parametrize("how", ["file", "GLM_ARIA_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_one_bundle_for_python_and_aria2(
    machine: Machine, secure: tuple[LoopbackHub, Path], tiny: Repo, proxy: ForwardProxy, how: str
) -> None:
    _, certificate = secure
    if how == "file":
        settings(machine, f'[tls]\nca_bundle = "{certificate}"\n')
    env = {} if how == "file" else {how: str(certificate)}
    machine.pull("org/tiny", "--proxy", proxy.url, env=env).ended(0)
    assert content(machine.snapshot("model/org/tiny", tiny.head)) == wanted(tiny)
    assert {(method, host) for method, host, _ in proxy.asked} == {("CONNECT", name) for name in NAMES}
    assert "glm-aria" in {agent for _, _, agent in proxy.asked}, "aria2c did not take this way"


def test_one_bundle_for_git(
    machine: Machine, secure: tuple[LoopbackHub, Path], tiny: Repo, proxy: ForwardProxy
) -> None:
    _, certificate = secure
    env = {"GLM_ARIA_CA_BUNDLE": str(certificate)}
    done = machine.pull(f"org/tiny@{tiny.head}", "--trust", "commit", "--proxy", proxy.url, env=env).ended(0)
    assert done.model["trust"]["level"] == "commit"
    assert any(agent.startswith("git/") for _, _, agent in proxy.asked)


def test_a_background_daemon_with_other_certificates_is_not_used(
    machine: Machine, secure: tuple[LoopbackHub, Path], proxy: ForwardProxy
) -> None:
    _, certificate = secure
    machine.run("daemon", "start").ended(0)
    try:
        machine.pull("org/tiny", "--proxy", proxy.url, env={"GLM_ARIA_CA_BUNDLE": str(certificate)}).ended(0)
    finally:
        machine.run("daemon", "stop").ended(0)


def test_a_certificate_that_is_not_believed(
    machine: Machine, secure: tuple[LoopbackHub, Path], tmp_path: Path, proxy: ForwardProxy
) -> None:
    other, _ = make_certificate(tmp_path)
    for env in ({}, {"GLM_ARIA_CA_BUNDLE": str(other)}):
        done = machine.pull("org/tiny", "--proxy", proxy.url, env=env).ended(81)
        assert "tls.ca_bundle" in done.error["hint"]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("login", ["", "me:wrong@"])
def test_a_login_that_the_proxy_does_not_take(
    machine: Machine, make_hub: MakeHub, tiny: Repo, make_proxy: MakeProxy, login: str, scheme: str
) -> None:
    hub = far(make_hub(tiny), machine)
    proxy = make_proxy(login="me:right")
    root = hub.url.replace("http:", f"{scheme}:")
    env = {"GLM_ARIA_PROXY": f"http://{login}{proxy.place}", "GLM_ARIA_ROOT": root}
    done = machine.run("pull", "--json", "org/tiny", env=env).ended(69)
    assert done.error["code"] == "proxy-refused"
    assert not done.error["retryable"]
    assert (
        f"the proxy {proxy.place} {'does not take the login' if login else 'asks for a login'}" in done.error["message"]
    )
    assert "environment GLM_ARIA_PROXY" in done.error["hint"]
    assert "wrong" not in done.out + done.err
    assert hub.log.requests() == []


def test_a_proxy_of_the_environment_that_cannot_be_used(machine: Machine, make_hub: MakeHub, tiny: Repo) -> None:
    far(make_hub(tiny), machine)
    for address, words in (("socks5h://me:canary@h:1", "SOCKS"), ("https://me:canary@h:1", "plain http")):
        done = machine.pull("org/tiny", env={"ALL_PROXY": address}).ended(78)
        assert "environment ALL_PROXY" in done.error["message"]
        assert words in done.error["message"]
        assert "canary" not in (done.out + done.err).replace(machine.token, "")
        machine.run("cache", "ls", env={"ALL_PROXY": address}).ended(0)


@pytest.mark.parametrize("mirrors", [False, True])
def test_a_proxy_that_is_down(machine: Machine, make_hub: MakeHub, tiny: Repo, mirrors: bool) -> None:
    far(make_hub(tiny), machine)
    more = ("--mirror", "http://near.example.test") if mirrors else ()
    done = machine.pull("org/tiny", "--proxy", "http://127.0.0.1:9", *more).ended(69)
    assert "the proxy 127.0.0.1:9 cannot be reached" in done.error["message"]
    assert "flag --proxy" in done.error["hint"]


@pytest.mark.parametrize("trouble", ["down", "login", "status"])
def test_a_mirror_behind_a_proxy_in_trouble_is_left_out(
    machine: Machine, make_hub: MakeHub, tiny: Repo, make_proxy: MakeProxy, trouble: str
) -> None:
    hub = make_hub(tiny)
    hub.mirror("near", host="near.example.test")
    proxy = make_proxy(login="me:right") if trouble == "login" else make_proxy(status=502)
    address = "http://127.0.0.1:9" if trouble == "down" else proxy.url
    settings(machine, f'[[mirror]]\nname = "near"\nurl = "{hub.faces["near"].url}"\nproxy = "{address}"\n')
    done = machine.pull("org/tiny").ended(0)
    assert content(machine.snapshot("model/org/tiny", tiny.head)) == wanted(tiny)
    (warning,) = [one for one in done.document["warnings"] if one["code"] == "mirror-down"]
    assert f"the proxy {address.removeprefix('http://')}" in warning["message"]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("status", [502, 503, 504])
@pytest.mark.sampled(2)
def test_what_the_proxy_answers_is_not_blamed_on_the_site(
    machine: Machine, make_hub: MakeHub, tiny: Repo, make_proxy: MakeProxy, scheme: str, status: int
) -> None:
    hub = far(make_hub(tiny), machine)
    proxy = make_proxy(status=status)
    root = hub.url.replace("http:", f"{scheme}:")
    done = machine.run("pull", "--json", "org/tiny", "--root", root, "--proxy", proxy.url)
    assert done.code == (69 if scheme == "https" else 75), done.err
    assert f"the proxy {proxy.place}" in done.error["message"]
    assert str(status) in done.error["message"]


def test_a_proxy_that_forbids_a_site(machine: Machine, make_hub: MakeHub, tiny: Repo, make_proxy: MakeProxy) -> None:
    far(make_hub(tiny), machine)
    proxy = make_proxy(status=403)
    root = machine.root.replace("http:", "https:")
    done = machine.run("pull", "--json", "org/tiny", "--root", root, "--proxy", proxy.url).ended(69)
    assert f"the proxy {proxy.place} refuses to connect to hub.example.test" in done.error["message"]
    assert not done.error["retryable"]
