"""Pulls of one file through the real nginx, with both rendered files, in turns with direct ones.

The Hub's CDN and two mirrors send at a rate of their own each. The relay is empty at the first pull of a round, and
filled at the second, as for the second machine of a LAN; the stream proxy leads to the two mirrors. Every pull proves
its bytes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

from scripts.benchlib import peers, report
from scripts.benchlib.measure import run
from tests.hub.__main__ import byte_count
from tests.hub.loopback import LoopbackHub
from tests.hub.models import one_big
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.servers.nginx import nginx

NAME = "org/big"


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench-nginx", description="Measure pulls through nginx.")
    parser.add_argument("--size", type=byte_count, default=512 << 20, help="of the file (default: 512M)")
    parser.add_argument("--rate", type=byte_count, default=50 << 20, help="bytes/s of each server (default: 50M)")
    parser.add_argument("--rounds", type=int, default=3, help="pulls of each kind (default: 3)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="glm-aria-bench-nginx-") as folder:
        taken = measure(Path(folder), given.size, given.rate, given.rounds)
    command = f"scripts/bench-nginx --size {given.size >> 20}M --rate {given.rate >> 20}M --rounds {given.rounds}"
    print(f"Made by `{command}` on {report.machine()}.\n")
    print("| way | seconds | seconds / direct | MB from the Hub |\n|---|---|---|---|")
    for way, runs in taken.items():
        ratios = [seconds / direct for (seconds, _), (direct, _) in zip(runs, taken["direct"], strict=True)]
        times, sent = report.spread([seconds for seconds, _ in runs]), median(count for _, count in runs)
        print(f"| {way} | {times} | {report.spread(ratios)} | {sent / 1e6:.0f} |")


def measure(folder: Path, size: int, rate: int, rounds: int) -> dict[str, list[tuple[float, int]]]:
    """By the way that was taken: seconds, and the bytes that the Hub's own servers sent, of each round."""
    taken: dict[str, list[tuple[float, int]]] = {}
    shape = Shape(total_rate=rate)
    repo = Repo("model", NAME, one_big(size, folder / "data"))
    with LoopbackHub([repo], cdn_shape=shape) as hub:
        hub.faces["cdn"].host = "127.0.0.1"  # nginx asks a resolver for names, and none knows localhost
        near, far = (hub.mirror(name, shape=shape).face.port for name in ("near", "far"))

        def pull(way: str, root: str) -> None:
            hub.log.reset()
            home = folder / "home"
            home.mkdir()
            asked = peers.Repo(root, NAME, {})
            command, env = peers.command("root alone", asked, home), peers.environment(asked, home)
            command[0] = shutil.which(command[0], path=env["PATH"]) or command[0]
            seconds = run(command, env, home / "log").wall_s
            hub.log.settle()
            taken.setdefault(way, []).append((seconds, hub.log.bytes_sent(face="cdn")))
            shutil.rmtree(home)
            os.sync()  # what this one left to write must not weigh on the next
            print(f"{way}: {seconds:.2f} s", file=sys.stderr, flush=True)

        for _ in range(rounds):
            one_round(pull, hub.url, f"servers=127.0.0.1:{near}=1,127.0.0.1:{far}=1")
    return taken


def one_round(pull: Callable[[str, str], None], hub: str, servers: str) -> None:
    pull("direct", hub)
    with nginx("nginx-relay.conf", f"upstream={hub}") as relay:
        pull("relay, empty", relay.url)
        pull("relay, filled", relay.url)
    with nginx("nginx-stream.conf", servers) as stream:
        pull("stream proxy to two mirrors", stream.url)


if __name__ == "__main__":
    main()
