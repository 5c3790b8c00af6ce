"""The caching relay: the real nginx with the rendered file, pulled through by glm-aria and by the real `hf`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.hub.certificates import make_certificate, server_context
from tests.hub.content import Bytes
from tests.hub.faces import Face
from tests.hub.log import RequestLog
from tests.hub.loopback import LoopbackHub
from tests.hub.models import tiny_model
from tests.hub.repos import Repo
from tests.hub.wire import Reply, Request
from tests.machine.fixtures import MakeHub, wanted
from tests.machine.machine import Machine, content
from tests.servers.nameserver import nameserver
from tests.servers.nginx import Nginx, nginx

ANONYMOUS = {"HF_TOKEN": None}


@contextmanager
def relay(hub: LoopbackHub, *values: str) -> Iterator[Nginx]:
    # nginx asks a resolver for names, and none knows `localhost`.
    hub.faces["cdn"].host = "127.0.0.1"
    with nginx("nginx-relay.conf", f"upstream={hub.url}", "slice=64k", *values) as running:
        yield running


def downloaded(machine: Machine, url: str, home: Path, name: str = "org/tiny") -> None:
    """`hf download` into an empty cache."""
    done = machine.hf("download", name, HF_ENDPOINT=url, HF_HOME=str(home))
    assert done.returncode == 0, done.stderr


def get(url: str, **headers: str) -> requests.Response:
    return requests.get(url, headers=headers, timeout=10, allow_redirects=False)


def test_hf_and_a_pull_and_nothing_comes_from_the_origin_twice(
    machine: Machine, make_hub: MakeHub, tiny: Repo, tmp_path: Path
) -> None:
    hub = make_hub(tiny)
    with relay(hub) as running:
        downloaded(machine, running.url, tmp_path / "one")
        first = tmp_path / "one" / "hub" / "models--org--tiny" / "snapshots" / tiny.head
        assert content(first) == wanted(tiny)
        hub.log.settle()
        total = tiny.commits[tiny.head].size
        sent = sum(
            seen.bytes_sent for seen in hub.log.requests(method="GET") if seen.file and seen.status in (200, 206)
        )
        assert sent == total, "each byte came from the origin once"

        hub.log.reset()
        done = machine.pull("org/tiny", "--root", running.url, "--no-mirrors", env=ANONYMOUS).ended(0)
        assert content(Path(done.model["snapshot"])) == wanted(tiny)
        assert done.model["bytes_fetched"] == total
        hub.log.settle()
        assert not [seen for seen in hub.log.requests(status=200) + hub.log.requests(status=206) if seen.file]

        # As a mirror beside a root that sends nothing of its own.
        hub.stop_face("cdn")
        again = machine.pull("org/tiny", "--mirror", running.url, "--force", env=ANONYMOUS).ended(0)
        assert sum(file["sources"].get(f"127.0.0.1:{running.port}", 0) for file in again.model["files"]) > 0

        hub.stop_face("hub")
        downloaded(machine, running.url, tmp_path / "three")
        third = tmp_path / "three" / "hub" / "models--org--tiny" / "snapshots" / tiny.head
        assert content(third) == wanted(tiny)
        assert "Signature" not in running.log()


def test_ranges_are_right_at_every_edge_of_a_slice(machine: Machine, make_hub: MakeHub, tiny: Repo) -> None:
    hub = make_hub(tiny)
    path = next(path for path, file in tiny.commits[tiny.head].files.items() if file.sha256)
    whole = wanted(tiny)[path]
    with relay(hub) as running:
        place = get(f"{running.url}/org/tiny/resolve/{tiny.head}/{path}").headers["Location"]
        assert place.startswith(f"{running.cdn_url}/cdn/http/127.0.0.1:")
        slice_ = 64 << 10
        for first, last in ((0, 0), (slice_ - 1, slice_), (slice_, 2 * slice_ - 1), (10, len(whole) - 1)):
            answer = get(place, Range=f"bytes={first}-{last}")
            assert (answer.status_code, answer.content) == (206, whole[first : last + 1])
            assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(whole)}"
        assert get(place, Range=f"bytes=-{slice_ + 1}").content == whole[-slice_ - 1 :]
        head = requests.head(place, timeout=10)
        assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(whole)))
        # Another signature, the same slices.
        hub.advance(60)
        hub.log.reset()
        assert get(place.partition("?")[0]).content == whole
        assert hub.log.requests(face="cdn") == []


def test_what_a_token_opened_is_kept_for_nobody(machine: Machine, make_hub: MakeHub, tmp_path: Path) -> None:
    closed = Repo("model", "org/closed", tiny_model(3, shard_size=300_000), gated="manual")
    hub = make_hub(closed, opens=("org/closed",))
    with relay(hub) as running:
        for name in ("one", "two"):
            hub.log.reset()
            done = machine.hf(
                "download", "org/closed", HF_ENDPOINT=running.url, HF_HOME=str(tmp_path / name), HF_TOKEN=machine.token
            )
            assert done.returncode == 0, done.stderr
            assert hub.log.bytes_sent(face="cdn") > 0, "answered from a cache"
        assert hub.log.tokens(face="hub") == {machine.token}
        assert hub.log.tokens(face="cdn") == set()
        assert running.kept() == []

        path = next(path for path, file in closed.commits[closed.head].files.items() if file.sha256)
        address = f"{running.url}/org/closed/resolve/{closed.head}/{path}"
        location = get(address, Authorization=f"Bearer {machine.token}").headers["Location"]
        assert location.startswith(f"{running.cdn_url}/direct/")
        assert get(location.partition("?")[0]).status_code == 403, "without its signature"
        assert get(address).status_code == 401
        for file in running.folder.rglob("*"):
            if file.is_file():
                assert machine.token.encode() not in file.read_bytes()
        assert running.folder.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "path",
    [
        "cdn/https/example.com/x",
        "cdn/http/127.0.0.1.example.com/x",
        "cdn/http/example.com@127.0.0.1/x",
        "direct/https/example.com/x",
        "cdn/file/127.0.0.1/x",
        "cdn/http/x",
    ],
)
@pytest.mark.sampled(2)
def test_it_is_no_proxy_for_everybody(machine: Machine, make_hub: MakeHub, tiny: Repo, path: str) -> None:
    with relay(make_hub(tiny)) as running:
        assert get(f"{running.cdn_url}/{path}").status_code == 403


def test_pages_of_a_listing_lead_to_the_relay(machine: Machine, make_hub: MakeHub, tiny: Repo) -> None:
    hub = make_hub(tiny, page_size=3)
    with relay(hub) as running:
        link = get(f"{running.url}/api/models/org/tiny/tree/main?recursive=true").headers["Link"]
        assert link.startswith(f"<{running.url}/api/models/org/tiny/tree/main?")
        done = machine.pull("org/tiny", "--root", running.url, "--no-mirrors", env=ANONYMOUS).ended(0)
        assert content(Path(done.model["snapshot"])) == wanted(tiny)


def test_clients_are_not_led_to_xet(machine: Machine, make_hub: MakeHub, tiny: Repo) -> None:
    body = b'[{"type":"file","path":"a","xetHash":"00"}]'

    def answer(_request: Request) -> Reply:
        return Reply(200, {"Content-Type": "application/json; charset=utf-8", "X-Xet-Hash": "00"}, Bytes(body))

    hub = make_hub(tiny)
    upstream = hub.serve(Face("xet", answer, RequestLog()))
    with relay(hub, f"upstream={upstream}") as running:
        listed = get(f"{running.url}/api/models/org/tiny/tree/main")
        assert "xetHash" not in listed.json()[0]
        assert listed.json()[0]["path"] == "a"
        assert "X-Xet-Hash" not in get(f"{running.url}/org/tiny/resolve/main/a").headers


@pytest.mark.parametrize("is_trusted", [True, False])
def test_names_and_certificates_are_checked(
    machine: Machine, make_hub: MakeHub, tiny: Repo, tmp_path: Path, is_trusted: bool
) -> None:
    pair = make_certificate(tmp_path, names="DNS:hub.example.test,DNS:cdn.example.test")
    other = tmp_path / "other"
    other.mkdir()
    make_certificate(other, names="DNS:hub.example.test")
    trusted = pair[0] if is_trusted else other / "cert.pem"
    hub = make_hub(tiny, tls=server_context(*pair))
    hub.faces["hub"].host, hub.faces["cdn"].host = "hub.example.test", "cdn.example.test"
    path = next(path for path, file in tiny.commits[tiny.head].files.items() if file.sha256)
    with nameserver(dict.fromkeys(("hub.example.test", "cdn.example.test"), ("127.0.0.1",))) as names:
        # nginx's own user reads the certificates from a place of theirs.
        shared = Path("/tmp") / f"{tmp_path.name}-{names.port}.pem"
        shared.write_bytes(trusted.read_bytes())
        values = (f"upstream={hub.url}", f"resolvers={names}", f"ca_file={shared}", "cdn_hosts=example.test")
        try:
            with nginx("nginx-relay.conf", *values) as running:
                answer = requests.get(f"{running.url}/org/tiny/resolve/main/{path}", timeout=10)
        finally:
            shared.unlink()
    if is_trusted:
        assert answer.content == wanted(tiny)[path]
        assert {"hub.example.test", "cdn.example.test"} <= {name for name, _ in names.asked}
    else:
        assert answer.status_code == 502
