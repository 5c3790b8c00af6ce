"""Models for programs of others: a real aria2c fetches by a torrent, from web seeds or a peer, and by a Metalink."""

from __future__ import annotations

import http.server
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.hub.content import generate
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.machine.fixtures import MakeHub, wanted
from tests.machine.machine import Machine, content
from tests.servers.ports import free_port
from tests.servers.threads import serving

FILES = {"config.json": b'{"a": 1}\n', "model.safetensors": generate(3 << 20, 9), "sub dir/notes.txt": b"some\n" * 50}
QUIET = (
    "--no-conf",
    "--enable-dht=false",
    "--enable-dht6=false",
    "--bt-enable-lpd=false",
    "--enable-peer-exchange=false",
)


class Tracker:
    """A BitTorrent tracker: whoever announced is told to all who do."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.ports: set[int] = set()
        self.has_seeder = threading.Event()

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[Tracker]:
        with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)) as server:
            tracker = cls(f"http://127.0.0.1:{server.server_port}/announce")

            class Answer(http.server.BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    body = tracker.announce(urlsplit(self.path).query)
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

                def log_message(self, *_: object) -> None: ...

            server.RequestHandlerClass = Answer
            yield tracker

    def announce(self, query: str) -> bytes:
        said = parse_qs(query, encoding="latin-1")
        others = self.ports - {int(said["port"][0])}
        self.ports.add(int(said["port"][0]))
        if said["left"] == ["0"]:
            self.has_seeder.set()
        peers = b"".join(b"\x7f\0\0\1" + port.to_bytes(2, "big") for port in others)
        return b"d8:intervali1e5:peers%d:%be" % (len(peers), peers)


@pytest.fixture
def pulled(machine: Machine, make_hub: MakeHub) -> tuple[Repo, LoopbackHub]:
    """A model in the cache, from a hub with a mirror; what was sent for it is forgotten."""
    repo = Repo("model", "org/m", FILES)
    hub = make_hub(repo)
    near = hub.mirror("near")
    machine.own_settings(f'[trust]\nroot = "{hub.url}"\n[[mirror]]\nname = "near"\nurl = "{near.url}"\n')
    machine.pull("org/m").ended(0)
    hub.log.reset()
    return repo, hub


def fetch(folder: Path, *words: str) -> None:
    argv = ["aria2c", *QUIET, f"--dir={folder}", "--seed-time=0", "--allow-overwrite=true", *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_torrent_without_a_peer_comes_from_its_web_seeds(
    machine: Machine, pulled: tuple[Repo, LoopbackHub], tmp_path: Path
) -> None:
    repo, hub = pulled
    found = machine.run("export", "org/m", "--torrent", "m.torrent", "--json").ended(0).document["data"]
    assert (found["commit"], found["files"], found["addresses"]) == (repo.head, len(wanted(repo)), 2)
    fetch(tmp_path / "out", str(machine.work / "m.torrent"))
    assert content(tmp_path / "out" / repo.head) == wanted(repo)
    hub.log.settle()
    assert hub.log.bytes_sent(file="*") >= sum(map(len, FILES.values()))
    assert hub.log.tokens() == set()


def test_the_cache_seeds_a_torrent_as_it_is(machine: Machine, pulled: tuple[Repo, LoopbackHub], tmp_path: Path) -> None:
    repo, hub = pulled
    with Tracker.open() as tracker:
        machine.run("export", "org/m", "--torrent", "m.torrent", "--tracker", tracker.url).ended(0)
        for name in ("hub", "cdn", "near"):
            hub.stop_face(name)
        torrent = str(machine.work / "m.torrent")
        snapshots = machine.snapshot("model/org/m", repo.head).parent
        words = ["aria2c", *QUIET, f"--dir={snapshots}", "--seed-ratio=0.0", "--check-integrity=true"]
        seeder = subprocess.Popen([*words, f"--listen-port={free_port()}", torrent], stdout=subprocess.DEVNULL)
        try:
            assert tracker.has_seeder.wait(30)
            fetch(tmp_path / "out", f"--listen-port={free_port()}", "--bt-tracker-interval=1", torrent)
        finally:
            seeder.terminate()
            seeder.wait(20)
    assert content(tmp_path / "out" / repo.head) == wanted(repo)
    machine.run("verify", "--json").ended(0)


def test_a_metalink_is_fetched_from_all_of_its_addresses(
    machine: Machine, pulled: tuple[Repo, LoopbackHub], tmp_path: Path
) -> None:
    repo, hub = pulled
    found = machine.run("export", f"org/m@{repo.head}", "--metalink", "m.meta4", "--json").ended(0).document["data"]
    assert (found["addresses"], found["info_hash"]) == (2, None)
    hub.stop_face("cdn")  # so the mirror has to do
    fetch(tmp_path / "out", "-M", str(machine.work / "m.meta4"), "--check-integrity=true")
    assert content(tmp_path / "out") == wanted(repo)
    hub.log.settle()
    assert hub.log.bytes_sent(face="near", file="*.safetensors") >= len(FILES["model.safetensors"])


def test_what_came_by_a_torrent_is_taken_into_a_cache(
    machine: Machine, pulled: tuple[Repo, LoopbackHub], tmp_path: Path
) -> None:
    _, hub = pulled
    machine.run("export", "org/m", "--torrent", "m.torrent").ended(0)
    fetch(tmp_path / "out", str(machine.work / "m.torrent"))
    machine.run("cache", "rm", "org/m", "--yes").ended(0)
    hub.log.reset()
    machine.run("cache", "import", str(tmp_path / "out"), "--model", "org/m").ended(0)
    machine.pull("org/m").ended(0)
    hub.log.settle()
    assert hub.log.bytes_sent(file="*.safetensors") == 0


def test_one_form_is_named(machine: Machine, pulled: tuple[Repo, LoopbackHub]) -> None:
    assert pulled
    machine.run("export", "org/m").ended(2)
    machine.run("export", "org/m", "--torrent", "a", "--metalink", "b").ended(2)
    machine.run("export", "org/m", "--metalink", "b", "--tracker", "http://t.test").ended(2)
    machine.run("export", "org/none", "--torrent", "a").ended(66)
