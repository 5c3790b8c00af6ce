"""A real Chromium, driven by its devtools protocol; without one, the tests that need it are skipped."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import websocket

from tests.machine.machine import until

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Page:
    """A tab. `requests` are the addresses that it asked for, `problems` what its console and its policy complain of."""

    def __init__(self, address: str) -> None:
        # Chromium refuses a page's origin, and the client would send one.
        self._socket = websocket.create_connection(address, timeout=30, suppress_origin=True)
        self._numbers = itertools.count(1)
        self.requests: list[str] = []
        self.problems: list[str] = []
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> Any:
        """Call the protocol; its result."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self._note(message)

    def _note(self, message: Any) -> None:
        params = message.get("params", {})
        match message["method"]:
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                self.problems.append(params["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.problems.append(str(params["exceptionDetails"]))

    def open(self, url: str) -> None:
        """Go there, and wait until the document is parsed and its scripts have run."""
        self.call("Page.navigate", url=url)
        assert until(lambda: self.value("document.readyState === 'complete' && location.href !== 'about:blank'"))

    def value(self, expression: str) -> Any:
        """The value of an expression of JavaScript."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def texts(self, selector: str) -> list[str]:
        """The visible texts of the elements."""
        found = f"[...document.querySelectorAll({json.dumps(selector)})].filter(e => e.checkVisibility())"
        return list(self.value(f"{found}.map(e => e.innerText)"))

    def wait(self, expression: str) -> None:
        """Wait until an expression holds."""
        # Between two documents there is nothing to ask.
        safe = f"(() => {{ try {{ return Boolean({expression}); }} catch {{ return false; }} }})()"
        assert until(lambda: bool(self.value(safe)), 30), expression

    def resize(self, width: int, height: int) -> None:
        """Be a screen of this size; a narrow one is a phone."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def prefer(self, scheme: str, language: str = "en") -> None:
        """Have a reader who likes `light` or `dark`, and a language."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Network.setExtraHTTPHeaders", headers={"Accept-Language": language})

    def shoot(self, path: Path) -> None:
        """Write a picture of the whole page."""
        found = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """A browser with a profile of its own, and one page of it."""
    if PROGRAM is None:
        pytest.skip("there is no chromium")
    words = [PROGRAM, "--headless=new", "--remote-debugging-port=0", f"--user-data-dir={folder}", "--no-first-run",
             "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-proxy-server",
             "--disable-dev-shm-usage", "--hide-scrollbars", "about:blank"]  # fmt: skip
    if os.geteuid() == 0:
        words.insert(1, "--no-sandbox")
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        told = folder / "DevToolsActivePort"
        assert until(lambda: told.is_file() and len(told.read_text().splitlines()) == 2, 60)
        page = Page(_page_address(told.read_text().splitlines()[0]))
        try:
            yield page
        finally:
            page.close()
    finally:
        process.terminate()
        process.wait(20)


def _page_address(port: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    found: list[dict[str, str]] = []

    def look() -> bool:
        with opener.open(f"http://127.0.0.1:{port}/json") as answer:
            found[:] = [one for one in json.load(answer) if one["type"] == "page"]
        return bool(found)

    assert until(look, 30)
    return found[0]["webSocketDebuggerUrl"]
