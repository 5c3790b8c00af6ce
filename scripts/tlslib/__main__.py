"""Pulls over TLS as fast as the machine can, in turns with plain aria2c and hf.

The Hub lists and redirects, nginx sends; both with a certificate of their own, on the same cores as the clients. What
is sent and what is written lies in memory, so that the processors are the only bound. Every pull is checked.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from scripts.benchlib import peers, report
from scripts.benchlib.measure import Run, run
from tests.hub.__main__ import byte_count
from tests.hub.certificates import make_certificate, server_context
from tests.hub.content import make_file
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo, Source
from tests.hub.wire import Reply, Request
from tests.servers.ports import free_port, wait_for_port

NAME = "org/big"
_MEMORY = Path("/dev/shm")
_CONF = """daemon off;
worker_processes 2;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 512; }}
http {{
    access_log off;
    sendfile on;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 100000;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.3;
        root {folder}/files;
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """A command beside ours: `words` follow its usual ones."""

    label: str
    name: str
    words: tuple[str, ...] = ()


PEERS = (
    Peer("glm-aria", "glm-aria"),
    Peer("aria2c -x16", "aria2c"),
    Peer("aria2c -x2", "aria2c", ("-x2", "-s2")),
    Peer("aria2-next -x16", "aria2-next"),
    Peer("aria2-next -x2", "aria2-next", ("-x2", "-s2")),
    Peer("hf", "hf"),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench-tls", description="Measure pulls over TLS on loopback.")
    parser.add_argument("--files", type=int, default=4, help="files of the model (default: 4)")
    parser.add_argument("--size", type=byte_count, default=512 << 20, help="of each file (default: 512M)")
    parser.add_argument("--rounds", type=int, default=3, help="pulls of each peer (default: 3)")
    parser.add_argument("--only", action="append", metavar="PEER", choices=[peer.label for peer in PEERS])
    parser.add_argument("--data", type=Path, help="where files are made and kept (default: in memory, and removed)")
    given = parser.parse_args()
    present = [peer for peer in PEERS if peers.is_there(peer.name)]
    taking_part = [peer for peer in present if not given.only or peer.label in given.only]
    with tempfile.TemporaryDirectory(prefix="glm-aria-bench-tls-", dir=_MEMORY if _MEMORY.is_dir() else None) as made:
        samples = measure(Path(made), given.data, given.files, given.size, given.rounds, taking_part)
    command = f"scripts/bench-tls --files {given.files} --size {given.size >> 20}M --rounds {given.rounds}"
    print(f"Made by `{command}` on {report.machine()}.\n")
    print(table(samples, given.files * given.size))


def table(samples: dict[str, list[Run]], size: int) -> str:
    lines = [
        "| peer | Gbit/s | glm-aria / peer | CPU-s/GB | of it aria2c | peak MB |",
        "|---|---|---|---|---|---|",
    ]
    ours = samples.get("glm-aria", [])
    for label, runs in samples.items():
        ratios = [theirs.wall_s / mine.wall_s for mine, theirs in zip(ours, runs, strict=False)]
        cells = [
            label,
            report.spread([size * 8e-9 / one.wall_s for one in runs]),
            report.spread(ratios) if ratios and label != "glm-aria" else "",
            f"{median(one.cpu_s for one in runs) / size * 1e9:.2f}",
            f"{median(one.cpu_by.get('aria2c', 0.0) for one in runs) / size * 1e9:.2f}",
            f"{max(one.peak_mb for one in runs):.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def measure(
    folder: Path, data: Path | None, files: int, size: int, rounds: int, taking_part: list[Peer]
) -> dict[str, list[Run]]:
    """The runs of each peer, by its label."""
    samples: dict[str, list[Run]] = {peer.label: [] for peer in taking_part}
    with loopback(folder, data or folder / "data", files, size) as (hub, certificate):
        commit = hub.repo(NAME).commits[hub.repo(NAME).head]
        known = {path: {"size": one.size, "oid": one.oid, "sha256": one.sha256} for path, one in commit.files.items()}
        repo = peers.Repo(hub.url, NAME, known)
        for _ in range(rounds):
            for peer in taking_part:
                home = folder / "home"
                home.mkdir()
                argv = peers.command(peer.name, repo, home)
                argv += [f"--ca-certificate={certificate}", *peer.words] if peer.name.startswith("aria2") else []
                env = peers.environment(repo, home) | {
                    name: str(certificate) for name in ("GLM_ARIA_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
                }
                argv[0] = shutil.which(argv[0], path=env["PATH"]) or argv[0]
                taken = run(argv, env, home / "log")
                peers.check(peer.name, repo, home)
                shutil.rmtree(home)
                samples[peer.label].append(taken)
                print(f"{peer.label}: {taken.wall_s:.2f} s, {taken.cpu_s:.2f} CPU-s", file=sys.stderr, flush=True)
    return samples


@contextmanager
def loopback(folder: Path, data: Path, files: int, size: int) -> Iterator[tuple[LoopbackHub, Path]]:
    """A Hub whose links lead to nginx, and the certificate of both."""
    folder.chmod(0o755)  # started by root, nginx reads as nobody
    data.mkdir(exist_ok=True)
    made: dict[str, Source] = {
        f"model-{n}.safetensors": make_file(data / f"big-{n}-{size}.bin", size, n) for n in range(files)
    }
    certificate, key = make_certificate(folder)
    (folder / "files").mkdir()
    port = free_port()
    conf = folder / "nginx.conf"
    conf.write_text(_CONF.format(folder=folder, port=port, certificate=certificate, key=key))
    with LoopbackHub([Repo("model", NAME, made)], tls=server_context(certificate, key)) as hub:
        for path, file in hub.repo(NAME).commits[hub.repo(NAME).head].files.items():
            (folder / "files" / file.etag).symlink_to(file.content.path or path)

        def to_nginx(_request: Request, reply: Reply) -> Reply:
            target = reply.headers.get("Location", "")
            if not target.startswith(hub.cdn_url):
                return reply
            etag = target.partition("?")[0].rpartition("/")[2]
            return replace(reply, headers={**reply.headers, "Location": f"https://127.0.0.1:{port}/{etag}"})

        hub.rewrite(to_nginx)
        program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin") or "nginx"
        process = subprocess.Popen([program, "-e", "stderr", "-c", str(conf)])
        try:
            wait_for_port(port, process)
            yield hub, certificate
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
