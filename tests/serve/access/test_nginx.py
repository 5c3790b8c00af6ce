"""A server behind the real nginx, which has the certificate: the rendered file, and what clients see through it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.hub.certificates import make_certificate
from tests.hub.content import generate
from tests.hub.loopback import LoopbackHub
from tests.hub.models import many_files
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.fixtures import MakeHub, open_place, wanted  # noqa: F401 - a fixture
from tests.machine.machine import Machine, content
from tests.serve.access.tokens import NewTokens
from tests.serve.conftest import Users, assert_unseen
from tests.serve.servers import Client, Server
from tests.servers.nginx import Nginx, nginx

BIG = "big.bin"
MODEL = Repo("model", "org/m", {BIG: generate(6 << 20, 3), "config.json": b"{}"})
MANY = Repo("model", "org/many", many_files(1001, smallest=1, largest=9))


@pytest.fixture
def hub(make_hub: MakeHub) -> LoopbackHub:
    return make_hub(MODEL, MANY)


@pytest.fixture
def tokens(machine: Machine) -> NewTokens:
    return NewTokens(machine)


@contextmanager
def behind_nginx(server: Server, folder: Path) -> Iterator[Nginx]:
    certificate, key = make_certificate(folder)
    key.chmod(0o644)  # the tests run nginx as nobody
    values = (f"server={server.url.removeprefix('http://')}", "host=localhost", "listen=127.0.0.1")
    with nginx("nginx-serve.conf", *values, f"certificate={certificate}", f"key={key}") as running:
        yield running


@pytest.fixture
def front(
    machine: Machine,
    hub: LoopbackHub,
    tokens: NewTokens,
    users: Users,
    open_place: Path,  # noqa: F811
) -> Iterator[tuple[Client, Nginx]]:
    """A user with a token, who believes the certificate of the nginx before a server."""
    token = tokens.make("laptop")
    server = Server.start(
        machine, "--no-mirrors", "--auth", "tokens", "--host", "localhost", "--trusted-proxy", "127.0.0.1"
    )
    with behind_nginx(server, open_place) as running:
        user = users(replace(server, url=f"https://localhost:{running.port}"))
        file = str(open_place / "cert.pem")
        user.env |= {"SSL_CERT_FILE": file, "CURL_CA_BUNDLE": file, "HF_TOKEN": token}
        yield user, running
        assert token not in running.log()
    server.stop()
    assert_unseen(machine, hub, *tokens.texts)


def curl(user: Client, path: str, *words: str, token: str = "") -> str:
    shown = ("-H", f"Authorization: Bearer {token or user.env['HF_TOKEN']}")
    done = user.run("curl", "-sv", "-o", "got", *shown, *words, user.url + path)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_hf_through_nginx(front: tuple[Client, Nginx]) -> None:
    user, _ = front
    done = user.hf("download", "org/m")
    assert done.returncode == 0, done.stdout
    assert content(user.cache / "models--org--m" / "snapshots" / MODEL.head) == wanted(MODEL)
    assert "laptop" in user.hf("auth", "whoami").stdout
    assert user.hf("download", "org/m", "config.json", HF_TOKEN="", HF_HOME=str(user.folder / "new")).returncode != 0


def test_pages_lead_back_through_nginx(front: tuple[Client, Nginx]) -> None:
    user, _ = front
    told = curl(user, "/api/models/org/many/tree/main?recursive=true")
    (then,) = re.findall(rf"(?i)link: <{re.escape(user.url)}(/api/models/org/many/tree/[^>]+)>", told)
    curl(user, then)
    assert len(json.loads((user.folder / "got").read_bytes())) < 1000


def test_hf_waits_for_a_file_on_its_way_through_nginx(front: tuple[Client, Nginx], hub: LoopbackHub) -> None:
    user, _ = front
    hub.faces["cdn"].shape = Shape(total_rate=800e3)
    program = "import huggingface_hub as h; print(h.snapshot_download('org/m'))"
    done = user.python(program, HF_HUB_DOWNLOAD_TIMEOUT="6")  # less than the file takes
    assert done.returncode == 0, done.stdout
    assert content(Path(done.stdout.strip().splitlines()[-1])) == wanted(MODEL)


def test_wrong_tokens_count_by_the_client_and_not_by_the_proxy(front: tuple[Client, Nginx]) -> None:
    user, _ = front
    wrong = "gla_" + "x" * 43
    codes = [curl(user, "/api/models/org/m", "-w", "%{stderr}%{http_code}", token=wrong)[-3:] for _ in range(11)]
    assert codes == ["401"] * 10 + ["429"]
    assert " 200 " in curl(user, "/api/models/org/m")
