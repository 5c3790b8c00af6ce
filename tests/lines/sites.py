"""Sites at the far ends of lines: in each namespace a loopback Hub, behind an nginx that speaks TLS.

The first is the root, `https://far-0.test` with its CDN at `https://cdn.far-0.test`; each other is a mirror that
serves LFS bytes by itself. What lies on a disk goes from nginx to the line; the Hub answers the rest. A token ends at
nginx, which notes it: the Hub would refuse one that it does not know.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.benchlib import peers
from tests.hub.certificates import make_certificate
from tests.lines.emulator import Lines, Server

PORT = 443
_OPEN = ("01", "08")
"""ESTABLISHED and CLOSE_WAIT, as /proc/net/tcp has them."""
ROOT = Path(__file__).parents[2]
_LOG = "$connection $status $body_bytes_sent $host $http_authorization"
_CONF = """
user root;
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    types {{ }}
    default_type application/octet-stream;
    log_format line '{log}';
    access_log {folder}/access.log line;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.3;
    sendfile on;
    tcp_nopush on;
    etag off;
    keepalive_requests 10000;
    limit_rate {rate};
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map $upstream_http_link $public_link {{ default ""; "~^<http://[^/]+(?<rest>/.*)$" "<https://{host}$rest"; }}
    upstream hub {{ server 127.0.0.1:{port}; keepalive 64; }}
    server {{
        listen {address}:{https} ssl;
        server_name {host};
        {files}
        location / {{
            proxy_pass http://hub;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header Authorization "";
            proxy_redirect http://localhost:{cdn_port}/ https://cdn.{host}/;
            proxy_hide_header Link;
            add_header Link $public_link always;
        }}
    }}
    server {{
        listen {address}:{https} ssl;
        server_name cdn.{host};
        location ~ "/(?<digest>[0-9a-f]{{64}})$" {{ alias {folder}/by-digest/$digest; }}
    }}
    {more}
}}
"""
_FILE = """location ~ "^/{name}/resolve/[^/]+/{path}$" {{
            alias {folder}/by-digest/{sha256};
            add_header ETag '"{sha256}"';
            add_header X-Linked-ETag '"{sha256}"';
            add_header X-Linked-Size {size};
            add_header X-Repo-Commit {commit};
        }}
        """
_MODELSCOPE = """upstream modelscope {{ server 127.0.0.1:{port}; keepalive 64; }}
    server {{
        listen {address}:444 ssl;
        server_name {host};
        location / {{
            proxy_pass http://modelscope;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_redirect ~^http://localhost:\\d+/(.*) https://cdn.{host}/$1;
        }}
    }}"""


@dataclass(frozen=True, slots=True)
class Serving:
    """What one server is to be. `rate` is nginx's limit for a connection, in bytes per second; 0 is none."""

    model: str
    """An argument of `python -m tests.hub --model`."""
    congestion: str = "cubic"
    rate: int = 0


@dataclass(frozen=True, slots=True)
class Answered:
    """A line of nginx's log: which connection, what came of it, and what the client told about itself."""

    connection: int
    status: int
    bytes: int
    host: str
    authorization: str


class Site:
    """A server that runs: its addresses, what it holds, and what it has sent."""

    def __init__(self, server: Server, folder: Path, state: Mapping[str, Any], pid: int) -> None:
        self.url, self.modelscope_url = f"https://{server.host}", f"https://{server.host}:444"
        self.state, self._folder, self._pid = state, folder, pid

    def answered(self) -> list[Answered]:
        """All requests that have ended, in order."""
        found = []
        for line in (self._folder / "access.log").read_text().splitlines():
            connection, status, count, host, authorization = line.split(" ", 4)
            found.append(Answered(int(connection), int(status), int(count), host, authorization))
        return found

    def open_connections(self) -> int:
        """TCP connections to nginx from the client; once there is none, all requests are in the log."""
        rows = [line.split() for line in Path(f"/proc/{self._pid}/net/tcp").read_text().splitlines()[1:]]
        return sum(row[1].endswith(f":{PORT:04X}") and row[3] in _OPEN for row in rows)

    def tcp(self) -> dict[str, int]:
        """The kernel's counts of TCP in this namespace, as /proc/net/snmp names them."""
        return tcp_counts(Path(f"/proc/{self._pid}/net/snmp").read_text())


def tcp_counts(text: str) -> dict[str, int]:
    """The Tcp lines of /proc/net/snmp."""
    names, values = (line.split()[1:] for line in text.splitlines() if line.startswith("Tcp:"))
    return dict(zip(names, map(int, values), strict=True))


@dataclass(frozen=True, slots=True)
class Far:
    """All sites, the root first, and the file of the CA that signed their certificates."""

    sites: tuple[Site, ...]
    ca: Path

    @property
    def repo(self) -> peers.Repo:
        """What they serve, as a peer's command takes it."""
        root = self.sites[0]
        held = root.state["repos"][0]
        mirrors = tuple(site.url for site in self.sites[1:])
        return peers.Repo(root.url, held["name"], held["files"], mirrors, root.modelscope_url)

    def environment(self, home: Path, tree: Path = ROOT) -> dict[str, str]:
        """For a peer that trusts the CA; glm-aria is the one of the clone `tree`."""
        names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
        trust = dict.fromkeys(names, str(self.ca))
        return peers.environment(self.repo, home) | trust | {"PYTHONPATH": str(tree)}

    def answered(self) -> list[Answered]:
        """All requests to any of them that have ended."""
        return [answered for site in self.sites for answered in site.answered()]


@contextmanager
def far_sites(lines: Lines, folder: Path, data: Path, serving: Serving) -> Iterator[Far]:
    """Serve at every far end until the block ends. `folder` is for what they write, and `data` keeps big files."""
    hosts = [name for server in lines.servers for name in (server.host, f"cdn.{server.host}")]
    certificate, key = make_certificate(folder, names=",".join(f"DNS:{name}" for name in hosts))
    with ExitStack() as stack:
        found = []
        for number, server in enumerate(lines.servers):
            own = folder / server.host
            own.mkdir()
            lines.control_congestion(number, serving.congestion)
            found.append(stack.enter_context(_site(server, own, data, serving, (certificate, key), number > 0)))
        yield Far(tuple(found), certificate)


@contextmanager
def _site(
    server: Server, folder: Path, data: Path, serving: Serving, signed: tuple[Path, Path], is_mirror: bool
) -> Iterator[Site]:
    state = folder / "state.json"
    words = ["--model", serving.model, "--data", str(data), "--state", str(state), "--modelscope"]
    words += ["--mirrors", "1"] * is_mirror
    hub = [*server.within, sys.executable, "-m", "tests.hub", *words]
    with _running(hub, folder / "hub.log") as process:
        _wait_for(state, process, folder / "hub.log")
        known = json.loads(state.read_text())
        conf = folder / "nginx.conf"
        conf.write_text(_configuration(server, folder, known, serving, signed, is_mirror))
        program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
        assert program, "nginx is missing"
        log = folder / "nginx.log"
        nginx = [*server.within, program, "-e", str(log), "-c", str(conf), "-g", "daemon off;"]
        with _running(nginx, log) as served:
            _wait_for(folder / "nginx.pid", served, log)
            yield Site(server, folder, known, process.pid)


def _configuration(
    server: Server,
    folder: Path,
    state: Mapping[str, Any],
    serving: Serving,
    signed: tuple[Path, Path],
    is_mirror: bool,
) -> str:
    repo, ports = state["repos"][0], state["ports"]
    (folder / "by-digest").mkdir()
    files = ""
    for path, file in repo["files"].items():
        if file["on_disk"]:
            (folder / "by-digest" / file["sha256"]).symlink_to(file["on_disk"])
            if is_mirror:
                name = path.replace(".", "\\.")
                values = {"name": repo["name"], "path": name, "folder": folder, "commit": repo["commit"]}
                files += _FILE.format(**values, sha256=file["sha256"], size=file["size"])
    return _CONF.format(
        folder=folder,
        log=_LOG,
        certificate=signed[0],
        key=signed[1],
        rate=serving.rate,
        address=server.address,
        https=PORT,
        host=server.host,
        port=ports["mirror-1"] if is_mirror else ports["hub"],
        cdn_port=ports["cdn"],
        files=files,
        more=_MODELSCOPE.format(port=ports["modelscope"], address=server.address, host=server.host),
    )


@contextmanager
def _running(words: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(words, cwd=ROOT, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def _wait_for(path: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120  # big files are made on first use
    while not path.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} does not start: {log.read_text(errors='replace')[-600:]}")
        time.sleep(0.01)
