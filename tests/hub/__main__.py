"""Run the loopback Hub as a process: `python -m tests.hub --model tiny --mirrors 2 --state state.json`.

It writes the state file (URLs, ports, repositories with their commits) by rename once every face listens, and runs
until SIGTERM or SIGINT; the request log is then written to `--log`, if given. While it runs, the control port
answers `GET /__log`, `GET /__reset` (forget the log), `GET /__state` and `GET /__stop`; what it serves is never
logged.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import tempfile
import threading
from pathlib import Path
from typing import Any

from tests.hub.faces import Face
from tests.hub.faults import Fault
from tests.hub.log import RequestLog
from tests.hub.loopback import LoopbackHub, Site
from tests.hub.models import many_files, note_model, one_big, several_big, tiny_model
from tests.hub.repos import Repo, Source
from tests.hub.shaping import Shape
from tests.hub.wire import Reply, Request, json_reply

MODELS = "tiny[:SHARD_SIZE], many[:N], small[:N], big:SIZE, several:NxSIZE or models:N"
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def byte_count(text: str) -> int:
    """`4G`, `512M`, `10K` or plain bytes."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMG]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise argparse.ArgumentTypeError(f"not a size: {text}")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def repos_for(model: str, data: Path) -> list[Repo]:
    """The demo repositories that `--model` names: one of N small files, for example, or N of three files."""
    kind, _, argument = model.partition(":")
    files: dict[str, Source]
    match kind:
        case "tiny":
            files = tiny_model(shard_size=byte_count(argument or "3M"))
        case "many":
            files = many_files(int(argument or 2000))
        case "small":
            files = many_files(int(argument or 2000), smallest=1 << 10, largest=1 << 10)
        case "models":
            names = [f"glm-aria/model-{number:05d}" for number in range(int(argument or 200))]
            return [Repo("model", name, note_model(name)) for name in names]
        case "big":
            files = one_big(byte_count(argument or "1G"), data)
        case "several":
            count, _, size = argument.partition("x")
            files = several_big(int(count), byte_count(size), data)
        case _:
            raise SystemExit(f"unknown model {model!r}: {MODELS}")
    return [Repo("model", f"glm-aria/{kind}-demo", files)]


def mirror_spec(text: str) -> tuple[Shape, tuple[Fault, ...]]:
    """A mirror's shape and faults.

    `stalls`: silent after so many bytes of each answer; `dies`: nothing that lies beyond this offset in a file is ever
    sent; `lies`: other bytes of the same size.
    """
    given = dict(part.split("=", 1) for part in text.split(",") if part)
    shape = Shape(
        float(given.pop("latency", 0)) / 1000,
        byte_count(given.pop("each")) if "each" in given else None,
        byte_count(given.pop("rate")) if "rate" in given else None,
    )
    faults = []
    if "stalls" in given:
        faults.append(Fault("stall", after_bytes=byte_count(given.pop("stalls"))))
    if "dies" in given:
        faults.append(Fault("reset", until=byte_count(given.pop("dies"))))
    if given.pop("lies", "") == "1":
        faults.append(Fault("substitute"))
    if given:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(given)}")
    return shape, tuple(faults)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.hub", description="A loopback Hugging Face Hub.")
    parser.add_argument("--model", action="append", metavar="MODEL", help=MODELS)
    parser.add_argument(
        "--mirrors", type=int, default=0, metavar="N", help="also N mirrors that serve LFS bytes themselves"
    )
    parser.add_argument(
        "--mirror",
        action="append",
        default=[],
        metavar="SPEC",
        type=mirror_spec,
        help="also a mirror of its own shape: rate=20M,each=4M,latency=80,stalls=1M,dies=300M,lies=1",
    )
    parser.add_argument("--modelscope", action="store_true", help="also a ModelScope face")
    parser.add_argument("--latency", type=float, default=0, metavar="MS", help="per request and per new connection")
    parser.add_argument("--rate-per-connection", type=byte_count, metavar="R", help="bytes/s, e.g. 10M")
    parser.add_argument("--total-rate", type=byte_count, metavar="R", help="bytes/s over all connections of one face")
    parser.add_argument("--data", type=Path, help="where big files are made and kept (default: the temporary folder)")
    parser.add_argument("--state", type=Path, required=True, metavar="FILE.json")
    parser.add_argument("--log", type=Path, metavar="FILE.json", help="write the request log here on exit")
    return parser.parse_args(arguments)


def state_of(hub: LoopbackHub, sites: dict[str, Site], control: str) -> dict[str, Any]:
    repos = [
        {
            "type": repo.repo_type,
            "name": repo.name,
            "commit": repo.head,
            "refs": repo.refs,
            "files": {
                path: {
                    "size": file.size,
                    "oid": file.oid,
                    "sha256": file.sha256,
                    "on_disk": str(file.content.path) if file.content.path else None,
                }
                for path, file in repo.commits[repo.head].files.items()
            },
        }
        for repo in hub.shelf.repos.values()
    ]
    return {
        "url": hub.url,
        "cdn_url": hub.cdn_url,
        "mirrors": [site.url for name, site in sites.items() if name.startswith("mirror")],
        "modelscope_url": sites["modelscope"].url if "modelscope" in sites else None,
        "control_url": control,
        "ports": {name: face.port for name, face in hub.faces.items()},
        "repos": repos,
        "pid": os.getpid(),
    }


def write_json(path: Path, value: Any) -> None:
    """Write by rename, so that a reader sees all of it or nothing."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(value, indent=1) + "\n")
    part.replace(path)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    done = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: done.set())
    data = options.data or Path(tempfile.gettempdir()) / "glm-aria-loopback"
    repos = [repo for model in options.model or ["tiny"] for repo in repos_for(model, data)]
    shape = Shape(options.latency / 1000, options.rate_per_connection, options.total_rate)
    with LoopbackHub(repos, shape=shape, cdn_shape=shape) as hub:
        sites = {f"mirror-{n}": hub.mirror(f"mirror-{n}", shape=shape) for n in range(1, options.mirrors + 1)}
        for number, (own, faults) in enumerate(options.mirror, options.mirrors + 1):
            sites[f"mirror-{number}"] = hub.mirror(f"mirror-{number}", shape=own, faults=faults)
        if options.modelscope:
            sites["modelscope"] = hub.modelscope(shape=shape)
        state: dict[str, Any] = {}

        def control(request: Request) -> Reply:
            match request.path:
                case "/__log":
                    return json_reply(hub.log.as_json())
                case "/__reset":
                    hub.log.reset()
                    return json_reply({})
                case "/__state":
                    return json_reply(state)
                case "/__stop":
                    done.set()
                    return json_reply({})
            return json_reply({"error": "not found"}, 404)

        state |= state_of(hub, sites, hub.serve(Face("control", control, RequestLog())))
        write_json(options.state, state)
        done.wait()
        if options.log is not None:
            write_json(options.log, hub.log.as_json())


if __name__ == "__main__":
    main()
