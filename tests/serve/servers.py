"""`glm-aria serve` as a process, and clients of it as processes with homes of their own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from tests.machine.machine import Machine, Result, Running

CANARY = "hf_canary_of_a_client_0123456789"
"""The token that clients send: it must go nowhere."""


@dataclass
class Server:
    """A server that runs on a machine; `url` is what it said that clients should be told."""

    machine: Machine
    running: Running
    url: str

    @classmethod
    def start(
        cls, machine: Machine, *words: str, env: dict[str, str] | None = None, under: Sequence[str] = ()
    ) -> Server:
        """Start it for the machine's root, on a free port, and wait until it listens."""
        where = () if "--listen" in words else ("--listen", "127.0.0.1:0")
        running = machine.start("serve", "--root", machine.root, *where, *words, env=env, under=under)
        assert running.process.stdout
        line = running.process.stdout.readline()
        found = re.fullmatch(r"export HF_ENDPOINT=(https?://\S+)\n", line)
        if found is None:
            running.end()
        assert found, machine.results[-1]
        return cls(machine, running, found[1])

    def stop(self, number: int = signal.SIGINT) -> Result:
        """End it in good order."""
        self.running.signal(number)
        return self.running.end(20).ended(0)

    def shown(self) -> str:
        """All that it shows to people who look, and to programs that watch."""
        opener, found = build_opener(ProxyHandler({})), []
        for path in ("/", "/-/events", "/metrics", "/readyz"):
            try:
                with opener.open(self.url + path, timeout=20) as answer:
                    found.append(answer.readline() if path == "/-/events" else answer.read())
            except HTTPError as refusal:  # it may not be ready
                with refusal:
                    found.append(refusal.read())
        return b"".join(found).decode()

    def kill(self) -> None:
        """End it as a power loss would."""
        self.running.signal(signal.SIGKILL)
        self.running.process.wait(10)


@dataclass
class Client:
    """A user elsewhere: an empty home, a token, and no other setting."""

    folder: Path
    url: str
    env: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        (self.folder / "home").mkdir(parents=True)
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder / "home"),
            "HF_HOME": str(self.folder / "hf"),
            "HF_ENDPOINT": self.url,
            "HF_TOKEN": CANARY,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": "*",
            "NO_COLOR": "1",
        }

    @property
    def cache(self) -> Path:
        return self.folder / "hf" / "hub"

    def start(self, *words: str, **env: str) -> subprocess.Popen[str]:
        """Start a program."""
        return subprocess.Popen(
            words,
            env={**self.env, **env},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a program to its end."""
        return ended(self.start(*words, **env))

    def hf(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run the real `hf`."""
        return self.run(*hf(*words), **env)

    def python(self, program: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a program of Python."""
        return self.run(sys.executable, "-c", program, **env)

    def get(self, path: str, *words: str) -> bytes:
        """The body that curl gets, if it ends well."""
        done = self.run("curl", "-sS", "--fail", "-o", "got", *words, self.url + path)
        assert done.returncode == 0, done.stdout
        return (self.folder / "got").read_bytes()


def hf(*words: str) -> tuple[str, ...]:
    """The words that run the real `hf`."""
    return (str(Path(sys.executable).with_name("hf")), *words)


def ended(process: subprocess.Popen[str], timeout_s: float = 90) -> subprocess.CompletedProcess[str]:
    """Wait for a program."""
    try:
        out, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        out, _ = process.communicate(timeout=10)
        raise AssertionError(f"{process.args!r} did not end\n{out}") from None
    return subprocess.CompletedProcess(process.args, process.returncode, out)


def together(
    processes: Sequence[subprocess.Popen[str]], timeout_s: float = 90
) -> list[subprocess.CompletedProcess[str]]:
    """Wait for several."""
    return [ended(process, timeout_s) for process in processes]
