"""The registries of a round: docker-registry that is open to all, and one behind `glm-aria serve --registry`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.hub.loopback import LoopbackHub
from tests.machine.machine import Machine
from tests.serve.access.tokens import NewTokens
from tests.serve.registry.house import Facade
from tests.serve.servers import Server
from tests.servers.line import Line, LineShape
from tests.servers.registry import RegistryServer


@dataclass(frozen=True, slots=True)
class Ground:
    """Registries as clients reach them: the open one at `host`, and that of models at `url` for who has `token`."""

    host: str
    url: str
    token: str
    lines: tuple[Line, ...]

    @property
    def moved(self) -> int:
        """Bytes that went over the lines, both ways; 0 where there are none."""
        return sum(line.moved for line in self.lines)


@contextmanager
def opened(folder: Path, shape: LineShape | None) -> Iterator[Ground]:
    """Start them, each behind a line of this shape if there is one. The server reaches its registry without a line."""
    with ExitStack() as stack:
        free = stack.enter_context(RegistryServer(folder / "open"))
        below = RegistryServer(folder / "below")
        machine = Machine(folder / "machine", "hf_of_the_operator")
        machine.root = stack.enter_context(LoopbackHub()).url
        stack.callback(machine.stop)
        token = NewTokens(machine).make("ci", "--role", "admin")
        server = Server.start(machine, "--no-mirrors", "--auth", "tokens", "--registry", below.url)
        stack.callback(server.stop)
        certificate = machine.run("registry", "certificate").ended(0).out.encode()
        ports = (free.port, urlsplit(server.url).port or 0)
        lines = tuple(stack.enter_context(Line(port, shape)) for port in ports) if shape else ()
        host, url = (lines[0].host, lines[1].url) if lines else (free.host, server.url)
        below.believe(Facade(f"{url}/registry/token", below.host, certificate))
        stack.enter_context(below)
        yield Ground(host, url, token, lines)
