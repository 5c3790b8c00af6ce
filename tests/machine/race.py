"""Pulls while another user takes the ports of the machine: run in network and pid namespaces of their own.

    unshare --net --pid --fork --mount-proc -- python -m tests.machine.race WAY COUNT FOLDER

Prints a JSON object for each pull: its exit code, whether what it placed is right, and what the squatters saw. Ways:

    folder    28,232 sockets are held, and bound once the run's folder appears, by turns to the kernel's ephemeral ports
              and to a choice of all
    aria2c    all ports but 200 are taken from the start, and these once an aria2c appears
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.machine.conditions import NOBODY_KNOWS
from tests.machine.machine import Machine, content
from tests.machine.users import OtherUser

FILES = {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 10_000}  # large enough for aria2
SQUATTER = Path(__file__).with_name("squatter.py")
_SPARE = (40_000, 40_200)
_SHARES = ((1024, 16_000), (16_000, 32_000), (32_000, 40_000), (40_200, 50_000), (50_000, 65_536))


def prepare(way: str) -> None:
    """A loopback of our own. Where all ports are taken, those below 1024 stay for connections."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # aria2 asks for IPv4 addresses only where it has one beside 127.0.0.1.
    subprocess.run(["ip", "address", "add", "10.9.9.1/24", "dev", "lo"], check=True)
    if way == "aria2c":
        Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").write_text("300")
        Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("300 1023")


def squat(way: str, user: OtherUser, folder: Path, *, is_any: bool) -> list[subprocess.Popen[str]]:
    """Start the squatters, and wait until they are ready."""
    if way == "folder":
        # Two have as many sockets as the kernel's range has ports: those, or as many of all ports.
        halves = ((1024, 33_280), (33_280, 65_536)) if is_any else ((32_768, 46_884), (46_884, 61_000))
        words: list[tuple[str, ...]] = [("folder", str(low), str(high), "14116", str(folder)) for low, high in halves]
    else:
        words = [("hold", str(low), str(high)) for low, high in _SHARES]
        words.append(("aria2c", *map(str, _SPARE)))
    return [user.start(sys.executable, str(SQUATTER), *each) for each in words]


def once(
    way: str, machine: Machine, hub: LoopbackHub, repo: Repo, user: OtherUser, *, is_any: bool
) -> dict[str, object]:
    """One pull of an empty cache."""
    shutil.rmtree(machine.hf_home, ignore_errors=True)
    temporary = machine.folder / "shared-tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    temporary.chmod(0o1777)
    squatters = squat(way, user, temporary / f"glm-aria-{os.geteuid()}", is_any=is_any)
    for one in squatters:
        assert one.stdout
        assert one.stdout.readline() == "ready\n"
    done = machine.run(
        "pull", "--root", hub.url, "--no-mirrors", "org/m", env={"XDG_RUNTIME_DIR": None, "TMPDIR": str(temporary)}
    )
    seen = []
    for one in squatters:
        out, _ = one.communicate("", timeout=30)
        seen.append(json.loads(out))
    right = done.code == 0 and content(machine.snapshot("model/org/m", repo.head)) == FILES
    return {"code": done.code, "right": right, "error": done.err[-600:] if done.code else "", "seen": seen}


def main() -> None:
    way, count, place = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    prepare(way)
    repo = Repo("model", "org/m", FILES)
    machine = Machine(place / "machine", "hf_canary")
    home = place / "other"
    home.mkdir()
    home.chmod(0o755)
    os.chown(home, NOBODY_KNOWS, NOBODY_KNOWS)
    with LoopbackHub([repo], tokens={machine.token: frozenset()}) as hub:
        for number in range(count):
            user = OtherUser(NOBODY_KNOWS, home)
            try:
                print(json.dumps(once(way, machine, hub, repo, user, is_any=number % 2 == 1)), flush=True)
            finally:
                user.end()


if __name__ == "__main__":
    main()
