"""The pages of the server in a browser: the dashboard while files are on their way, and a model of the registry."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

from scripts.picturelib.commands import MODEL
from scripts.picturelib.terminal import outline
from tests.hub.content import generate
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.machine import Machine
from tests.serve.pages.browser import Page
from tests.serve.registry.house import registry_house
from tests.serve.servers import Client, Server

WIDTH = 1000
LANGUAGES = {"en": "", "zh-CN": ".zh-CN"}
"""What a browser asks for, and what then stands in the name of the picture."""


def dashboard(page: Page, folder: Path, target: Path) -> None:
    """The dashboard: a small model is here, one is on its way, and two wait for it."""
    small = Repo("model", "org/small", {"model.safetensors": generate(24 << 20, 1)})
    big = Repo("model", MODEL, {"model.safetensors": generate(32 << 20, 2)})
    machine = Machine(folder / "machine", "none")
    with LoopbackHub([small, big]) as hub:
        machine.root = hub.url
        server = Server.start(machine, "--no-mirrors")
        try:
            get = ("curl", "-sSf", "-o", "got")
            Client(folder / "first", server.url).run(*get, f"{server.url}/org/small/resolve/main/model.safetensors")
            hub.faces["cdn"].shape = Shape(total_rate=3e6)
            address = f"{server.url}/{MODEL}/resolve/main/model.safetensors"
            running = [Client(folder / name, server.url).start(*get, address) for name in ("second", "third")]
            for language, suffix in LANGUAGES.items():
                page.prefer("light", language)
                page.open(f"{server.url}/")
                page.wait("document.querySelector('#transfers progress')?.value > 0")
                page.wait("document.querySelector('#sources td:nth-child(2)')?.innerText.endsWith('B/s')")
                shoot(page, target / f"dashboard{suffix}.webp")
            for one in running:
                one.kill()
                one.communicate()
            server.stop()
        finally:
            machine.stop()


def registry(page: Page, folder: Path, target: Path) -> None:
    """A model of the registry with two versions and an alias."""
    with registry_house(folder / "house") as house:
        house.person("alice", "--role", "admin")
        first = {"config.json": b'{"rope": 2}', "model.safetensors": b"w" * 5_000_000}
        second = first | {"config.json": b'{"rope": 4}', "tokenizer.json": b"{}" * 1000}
        house.publish("alice", "team/model", "1.0.0", first)
        house.publish("alice", "team/model", "1.1.0", second)
        house.call("alice", "PUT", "/team/model/aliases/prod", {"version": "1.0.0"}, If_None_Match="*")
        for language, suffix in LANGUAGES.items():
            page.call("Network.clearBrowserCookies")
            page.prefer("light", language)
            page.open(f"{house.server.url}/-/registry/team/model")
            page.value(f"document.getElementById('token').value = {json.dumps(house.tokens['alice'])}")
            page.value("document.querySelector('form button').click()")
            page.wait("document.getElementById('state')?.className === 'live'")
            page.open(f"{house.server.url}/-/registry/team/model")
            page.wait("document.getElementById('state')?.className === 'live'")
            shoot(page, target / f"registry{suffix}.webp")


def shoot(page: Page, file: Path) -> None:
    """Write a picture of the whole page, unless that which is there shows the same but for figures."""
    page.value("document.querySelector('h1 .quiet').remove()")  # the version: that of the day
    told = page.value(
        "document.body.innerText + [...document.styleSheets].map(s => [...s.cssRules].map(r => r.cssText))"
    )
    digest = hashlib.sha256(outline(told).encode()).hexdigest()
    seen = file.with_name("pages.json")
    digests = json.loads(seen.read_text("utf-8")) if seen.exists() else {}
    if file.exists() and digests.get(file.name) == digest:
        print(f"{file.name} shows the same as before")
        return
    page.resize(WIDTH, int(page.value("document.documentElement.scrollHeight")))
    found = page.call("Page.captureScreenshot", format="webp", quality=80, captureBeyondViewport=True)
    page.resize(WIDTH, 600)
    file.write_bytes(base64.b64decode(found["data"]))
    seen.write_text(json.dumps(digests | {file.name: digest}, indent=1, sort_keys=True) + "\n", "utf-8")
    print(f"{file.name} is written")


PAGES = {"dashboard": dashboard, "registry": registry}
