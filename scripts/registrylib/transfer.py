"""Push and pull of one model, by glm-aria, skopeo and oras in turns, to and from a real docker-registry."""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from scripts.benchlib.measure import run
from scripts.benchlib.report import spread
from scripts.registrylib.ground import Ground, opened
from scripts.registrylib.ways import BESIDE, CLIENTS, REG, Client, Order, clients, image_of, lacking, make_image
from tests.hub.content import generate, make_file
from tests.servers.line import LineShape

MIB = 1 << 20
_LINE = LineShape(rate=25e6, delay_s=0.02)
_STEPS = ("push", "second push", "pull")
FIRST, SECOND = "1.0.0", "1.0.1"


@dataclass(frozen=True, slots=True)
class Model:
    """`count` files of `each` bytes, or of 10-50 KiB, and one of `changed` bytes that is another in version 1.0.1."""

    count: int
    each: int = 0
    changed: int = MIB


@dataclass(frozen=True, slots=True)
class Case:
    """A model, a small one to try it, and the line to the registry; without one it is on loopback."""

    name: str
    what: str
    model: Model
    quick: Model
    line: LineShape | None = None


_FAR = "200 Mbit/s, 40 ms"
CASES = (
    Case("transfer-large", "4 files of 128 MiB, loopback", Model(4, 128 * MIB), Model(2, MIB)),
    Case("transfer-small", "2,000 files of 10-50 KiB, loopback", Model(2000), Model(10)),
    Case("transfer-large-line", f"4 files of 16 MiB, {_FAR}", Model(4, 16 * MIB), Model(1, MIB, 256 << 10), _LINE),
    Case("transfer-small-line", f"50 files of 10-50 KiB, {_FAR}", Model(50), Model(10, 0, 256 << 10), _LINE),
)


@dataclass(frozen=True, slots=True)
class Taken:
    """One command: seconds, its CPU seconds, and the bytes that went over the line, both ways."""

    seconds: float
    cpu_s: float
    moved: int


Found = dict[tuple[str, str], list[Taken]]
"""By the step and the client, one of each round."""


Rows = list[tuple[str, ...]]
"""The head of a table and its lines."""


def measure(case: Case, folder: Path, rounds: int, *, quick: bool) -> Rows:
    """The table of a case. Each round has registries that are empty, and clients that know nothing."""
    model = case.quick if quick else case.model
    names = clients()
    found: Found = {(step, name): [] for step in _STEPS for name in names}
    with _versions(model, folder) as versions:
        if BESIDE in names:
            with _empty(folder / "images") as own, opened(own, None) as ground:
                for number, version in enumerate(versions):
                    make_image(version, ground, own / f"client-{number}")
        for number in range(1, rounds + 1):
            with _empty(folder / str(number)) as own, opened(own, case.line) as ground:
                _round(case, number, versions, ground, own, found)
        size = sum(path.stat().st_size for path in versions[1].iterdir())
    return rows(found, size, model.changed)


def _round(case: Case, number: int, versions: tuple[Path, Path], ground: Ground, folder: Path, found: Found) -> None:
    mine = {name: CLIENTS[name](ground, folder / f"pushes-{index}") for index, name in enumerate(clients())}
    others = {name: CLIENTS[name](ground, folder / f"pulls-{index}") for index, name in enumerate(clients())}
    log = folder / "log"
    for step in _STEPS:
        for name, client in mine.items():
            if step == "pull" and name == REG and case.line:
                continue  # its bytes come from docker-registry without a line
            order = _order(step, versions, client, others[name])
            before = ground.moved
            os.sync()  # what the one before left dirty must not weigh on this one
            taken = run(list(order.argv), dict(order.env), log)
            found[step, name].append(Taken(taken.wall_s, taken.cpu_s, ground.moved - before))
            print(f"{case.name} {number} {step} {name}: {taken.wall_s:.2f} s", file=sys.stderr, flush=True)
            if step == "pull":
                if wrong := lacking(versions[1], others[name].got):
                    raise RuntimeError(f"{name} has not got {', '.join(sorted(wrong)[:5])}")
                shutil.rmtree(others[name].got)


def _order(step: str, versions: tuple[Path, Path], pusher: Client, puller: Client) -> Order:
    match step:
        case "push":
            return pusher.push(versions[0], FIRST)
        case "second push":
            return pusher.push(versions[1], SECOND)
        case _:
            return puller.pull(SECOND)


@contextmanager
def _versions(model: Model, folder: Path) -> Iterator[tuple[Path, Path]]:
    """The folders of both versions, which share all files but one."""
    first, second = folder / "first", folder / "second"
    for path in (first, second):
        path.mkdir()
    sizes = random.Random(model.count)
    for index in range(model.count):
        size = model.each or sizes.randint(10 << 10, 50 << 10)
        os.link(make_file(first / f"part-{index:04}.safetensors", size, index), second / f"part-{index:04}.safetensors")
    for seed, path in ((-1, first), (-2, second)):
        (path / "adapter.safetensors").write_bytes(generate(model.changed, seed))
    yield first, second
    for path in (first, second):
        shutil.rmtree(path)
        shutil.rmtree(image_of(path), ignore_errors=True)


@contextmanager
def _empty(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def rows(found: Found, size: int, changed: int) -> Rows:
    """The table. `size` and `changed` are bytes of a version, and of what is new in the next one."""
    table: Rows = [("step", "client", "seconds", f"seconds / {BESIDE}", "CPU s", "bytes moved / needed")]
    for (step, name), taken in found.items():
        if not taken:
            continue
        needed = changed if step == "second push" else size
        beside = found.get((step, BESIDE), [])
        ratios = [one.seconds / other.seconds for one, other in zip(taken, beside, strict=False)]
        moved = f"{median(one.moved for one in taken) / needed:.2f}" if any(one.moved for one in taken) else ""
        cpu = f"{median(one.cpu_s for one in taken):.2f}"
        table.append((step, name, spread([one.seconds for one in taken]), spread(ratios), cpu, moved))
    return table
