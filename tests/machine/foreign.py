"""An aria2c that a user runs for purposes of their own, set up as they like it."""

from __future__ import annotations

import json
import ssl
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

from tests.machine.machine import until
from tests.servers.ports import free_port


class Foreign:
    """A real aria2c with RPC on loopback.

    `words` are further arguments; `conf` are lines of a configuration file, as people have them. With a certificate and
    its key the RPC speaks TLS.
    """

    def __init__(self, folder: Path, *words: str, conf: str = "", tls: tuple[Path, Path] | None = None) -> None:
        folder.mkdir()
        self.folder = folder
        port = free_port()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/jsonrpc"
        self._context = ssl.create_default_context(cafile=tls[0]) if tls else None
        if tls:
            conf += f"rpc-secure=true\nrpc-certificate={tls[0]}\nrpc-private-key={tls[1]}\n"
        self.secret = folder / "secret"
        self.secret.write_text("theirs\n")
        file = folder / "aria2.conf"
        file.write_text(conf)
        own = [f"--conf-path={file}", "--enable-rpc", f"--rpc-listen-port={port}", "--rpc-secret=theirs"]
        own += [f"--dir={folder}", "--max-concurrent-downloads=3", "--split=2", "--user-agent=theirs", "--quiet"]
        self.process = subprocess.Popen(["aria2c", *own, *words], stdin=subprocess.DEVNULL, cwd=folder)
        if not until(self._listens):
            self.end()
            raise AssertionError(f"{self.process.args!r} does not listen")

    @property
    def words(self) -> tuple[str, ...]:
        """For a pull that uses it."""
        return ("--rpc", self.url, "--rpc-secret-file", str(self.secret))

    def call(self, method: str, *params: Any) -> Any:
        """The result of an RPC call."""
        body = json.dumps({"jsonrpc": "2.0", "id": "t", "method": method, "params": ["token:theirs", *params]})
        tls = [urllib.request.HTTPSHandler(context=self._context)] if self._context else []
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), *tls)
        with opener.open(self.url, body.encode(), timeout=10) as answer:
            return json.load(answer)["result"]

    def state(self) -> dict[str, Any]:
        """All that it does and how it is set up, without what changes by itself."""
        keys = ["gid", "status", "dir", "files"]
        return {
            "options": self.call("aria2.getGlobalOption"),
            "active": self.call("aria2.tellActive", keys),
            "waiting": self.call("aria2.tellWaiting", 0, 1000, keys),
            "stopped": self.call("aria2.tellStopped", 0, 1000, keys),
        }

    def end(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait(10)

    def _listens(self) -> bool:
        try:
            return bool(self.call("aria2.getVersion"))
        except OSError:
            return False
