"""500 files of 4 KB behind TLS at 80 ms: aria2c as pulls use it, h1 with 16 connections, and h2 with one.

The server is nginx with a certificate of its own, the line a proxy that delays. Clients take turns; what counts is the
ratio of runs that followed each other. Each run starts cold, with its connections to make, as a pull does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from scripts.benchlib.report import spread
from scripts.h2lib.line import long_line
from tests.support.certificates import make_certificate
from tests.support.ports import free_port

NGINX = """
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/t; proxy_temp_path {folder}/t; fastcgi_temp_path {folder}/t;
    uwsgi_temp_path {folder}/t; scgi_temp_path {folder}/t;
    server {{
        listen 127.0.0.1:{port} ssl http2;
        http2_max_concurrent_streams 128;
        keepalive_requests 10000;
        ssl_certificate {folder}/cert.pem;
        ssl_certificate_key {folder}/key.pem;
        root {folder}/files;
    }}
}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench-h2", description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--size", type=int, default=4096, help="bytes of a file")
    parser.add_argument("--latency", type=float, default=80, metavar="MS", help="of a round trip")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    clients: dict[str, Callable[[int, Path, int], None]] = {
        "aria2c -j64 (a pull's)": aria2(64),
        "aria2c -j16": aria2(16),
        "h1, 16 connections": python_client(16, http2=False),
        "h1, 64 connections": python_client(64, http2=False),
        "h2, 1 connection": python_client(1, http2=True),
    }
    taken: dict[str, list[float]] = {name: [] for name in clients}
    with tempfile.TemporaryDirectory(prefix="glm-aria-h2-") as made:
        folder = Path(made)
        with server(folder, options.files, options.size) as port, long_line(port, options.latency / 1000) as line:
            for number in range(options.rounds):
                for name, fetch in clients.items():
                    begin = time.monotonic()
                    fetch(line, folder, options.files)
                    taken[name].append(time.monotonic() - begin)
                    print(f"{number + 1} {name}: {taken[name][-1]:.2f} s", file=sys.stderr, flush=True)
    h2 = taken["h2, 1 connection"]
    print(f"{options.files} files of {options.size} bytes, {options.latency:.0f} ms, {options.rounds} rounds\n")
    print("| client | seconds | seconds / those of h2 |\n|---|---|---|")
    for name, seconds in taken.items():
        print(f"| {name} | {spread(seconds)} | {spread([a / b for a, b in zip(seconds, h2, strict=True)])} |")


@contextlib.contextmanager
def server(folder: Path, files: int, size: int) -> Iterator[int]:
    """nginx on a port of loopback, with HTTP/1.1 and HTTP/2."""
    import socket

    (folder / "files").mkdir()
    for number in range(files):
        (folder / "files" / str(number)).write_bytes(os.urandom(size))
    make_certificate(folder)
    folder.chmod(0o755)  # started by root, nginx serves as somebody else
    port = free_port()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
    nginx = ["nginx", "-e", "stderr", "-c", str(folder / "nginx.conf"), "-g", "daemon off;"]
    process = subprocess.Popen(nginx, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if time.monotonic() > deadline:
                raise SystemExit("nginx does not start")
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait()


def aria2(jobs: int) -> Callable[[int, Path, int], None]:
    def fetch(port: int, folder: Path, files: int) -> None:
        target, listed = folder / "out", folder / "input.txt"
        listed.write_text("".join(f"https://127.0.0.1:{port}/{n}\n" for n in range(files)))
        command = ["aria2c", "-q", "--no-conf", f"-j{jobs}", "--file-allocation=none", "--auto-save-interval=0"]
        trust = f"--ca-certificate={folder / 'cert.pem'}"
        subprocess.run([*command, trust, f"--dir={target}", f"--input-file={listed}"], check=True, timeout=300)
        assert len(list(target.iterdir())) == files
        shutil.rmtree(target)

    return fetch


def python_client(connections: int, *, http2: bool) -> Callable[[int, Path, int], None]:
    async def fetch_all(port: int, folder: Path, files: int) -> None:
        trust = ssl.create_default_context(cafile=str(folder / "cert.pem"))
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        timeout = httpx.Timeout(60, pool=None)
        base = f"https://127.0.0.1:{port}/"
        async with httpx.AsyncClient(
            http1=not http2, http2=http2, verify=trust, limits=limits, timeout=timeout, trust_env=False, base_url=base
        ) as client:
            target = folder / "out"
            target.mkdir()

            async def one(number: int) -> None:
                answer = await client.get(f"/{number}")
                answer.raise_for_status()
                assert answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
                (target / str(number)).write_bytes(answer.content)

            await one(0)  # or 500 tasks would each open a connection before they learn that it is h2
            await asyncio.gather(*(one(number) for number in range(1, files)))
            shutil.rmtree(target)

    return lambda port, folder, files: asyncio.run(fetch_all(port, folder, files))


if __name__ == "__main__":
    main()
