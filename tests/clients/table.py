"""Every client that has to get a model through whatever speaks like the Hub, as its users type it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from tests.clients.client import Client, Commands, Download, Protocol, in_folder
from tests.clients.installs import node_modules, python_of

PROGRAMS = Path(__file__).parent / "programs"

PythonOf = Callable[[], Path]


def own_python() -> Path:
    """That of the tests: it has the newest huggingface_hub, transformers and ModelScope's client."""
    return Path(sys.executable)


def pinned(environment: str) -> PythonOf:
    return lambda: python_of(environment)


def beside(python: Path, command: str) -> str:
    return str(python.with_name(command))


# -- huggingface_hub and what stands on it


def hf_download(python: PythonOf, *, is_local: bool = False) -> Commands:
    def commands(download: Download) -> Sequence[Sequence[str]]:
        return [[*_hf(python(), "download", download), *(("--local-dir", str(download.out)) if is_local else ())]]

    return commands


def hf_verify(download: Download) -> Sequence[Sequence[str]]:
    """Download, and let huggingface_hub itself check what it has."""
    verify = [*_hf(own_python(), "cache", download, "verify"), "--fail-on-missing-files"]
    return [_hf(own_python(), "download", download), verify]


def _hf(python: Path, command: str, download: Download, *more: str) -> list[str]:
    what = [download.repo.name, "--repo-type", download.repo.repo_type, "--revision", download.revision]
    return [beside(python, "hf"), command, *more, *what]


def program(name: str, *more: str, python: PythonOf = own_python) -> Commands:
    """A program of ours that calls a library as its users do."""

    def commands(download: Download) -> Sequence[Sequence[str]]:
        what = (download.repo.repo_type, download.repo.name, download.revision)
        return [[str(python()), str(PROGRAMS / f"{name}.py"), *what, *more]]

    return commands


def node_snapshot(download: Download) -> Sequence[Sequence[str]]:
    what = (download.repo.repo_type, download.repo.name, download.revision)
    library = node_modules() / "@huggingface" / "hub" / "dist" / "index.mjs"
    return [["node", str(PROGRAMS / "snapshot.mjs"), str(library), *what]]


def printed(download: Download, output: str) -> Mapping[str, str]:
    """What a program says of what it has read, in its last line."""
    last = output.strip().rpartition("\n")[2]
    return dict(json.loads(last)) if last.startswith("{") else {}


# -- ModelScope's


def modelscope(python: PythonOf = own_python) -> Commands:
    def commands(download: Download) -> Sequence[Sequence[str]]:
        where = ["--local-dir", str(download.out), "--revision", download.revision]
        what = ["--repo-type", download.repo.repo_type, download.repo.name]
        return [[beside(python(), "modelscope"), "download", *what, *where]]

    return commands


def modelscope_1_37(download: Download) -> Sequence[Sequence[str]]:
    """The last releases with a downloader of their own; their variable names a host, and https is taken for granted."""
    where = ["--local_dir", str(download.out), "--revision", download.revision, "--endpoint", download.endpoint]
    token = ["--token", download.token] if download.token else []
    command = beside(python_of("modelscope-1.37"), "modelscope")
    return [[command, "download", f"--{download.repo.repo_type}", download.repo.name, *where, *token]]


# -- programs that know nothing of hubs


def curl(*words: str, wants: str = "*") -> Commands:
    def commands(download: Download) -> Sequence[Sequence[str]]:
        paths = [path for path in download.commit.files if fnmatchcase(path, wants)]
        files = [word for path in paths for word in ("-o", path, download.url(path))]
        return [["curl", "-sS", "-f", "-L", "--fail-early", "--create-dirs", *words, *_bearer("-H", download), *files]]

    return commands


def wget(*words: str) -> Commands:
    def commands(download: Download) -> Sequence[Sequence[str]]:
        # Where wget is wget2, the one of GNU has this name. wget2 ends with 0 after half of a file, whoever serves it.
        name = "wget1" if shutil.which("wget1") else "wget"
        common = [name, "-nv", "--tries=3", *words, *_bearer("--header", download)]
        for path in download.commit.files:
            (download.out / path).parent.mkdir(parents=True, exist_ok=True)
        return [[*common, "-O", path, download.url(path)] for path in download.commit.files]

    return commands


def aria2c(download: Download) -> Sequence[Sequence[str]]:
    wanted = download.home / "wanted.txt"
    wanted.write_text("".join(f"{download.url(path)}\n  out={path}\n" for path in download.commit.files))
    words = ["-x4", "-s4", "-k1M", "-c", "--retry-wait=1", "--no-conf", *_bearer("--header", download)]
    return [["aria2c", *words, "-i", str(wanted), "-d", str(download.out)]]


def git_clone(download: Download) -> Sequence[Sequence[str]]:
    kind = "" if download.repo.repo_type == "model" else f"{download.repo.repo_type}s/"
    return [["git", "clone", "--quiet", f"{download.endpoint}/{kind}{download.repo.name}", str(download.out)]]


def _bearer(option: str, download: Download) -> list[str]:
    return [option, f"Authorization: Bearer {download.token}"] if download.token else []


# -- ourselves


def pull(download: Download) -> Sequence[Sequence[str]]:
    prefix = "" if download.repo.repo_type == "model" else f"{download.repo.repo_type}s/"
    what = f"{prefix}{download.repo.name}@{download.revision}"
    return [[sys.executable, "-m", "orchestrator.cli.main", "pull", "--root", download.endpoint, what]]


WEIGHTS = "*.safetensors"
LOADED = ("config.json", "tokenizer*.json", "*.safetensors*")

HF_NEWEST = Client("hf", hf_download(own_python))
MODELSCOPE_NEWEST = Client("modelscope", modelscope(), in_folder, speaks=Protocol.MODELSCOPE)
GIT = Client("git", git_clone, in_folder)
PLAIN = (
    Client("curl", curl(), in_folder),
    Client("curl-resume", curl("-C", "-", wants=WEIGHTS), in_folder, wants=(WEIGHTS,), can_repeat=False),
    Client("wget", wget(), in_folder),
    Client("wget-resume", wget("-c"), in_folder),
    Client("aria2c", aria2c, in_folder),
)
CLIENTS = (
    *(Client(name, hf_download(pinned(name))) for name in ("hf-0.36", "hf-1.10", "hf-1.22")),
    HF_NEWEST,
    Client("hf-local-dir", hf_download(own_python, is_local=True), in_folder),
    Client("hf-verify", hf_verify),
    Client("snapshot_download", program("snapshot")),
    Client("HfFileSystem", program("filesystem"), printed),
    Client("transformers", program("pretrained"), wants=LOADED),
    Client("node", node_snapshot),
    MODELSCOPE_NEWEST,
    # The command of 0.4.6 ends with 0 when files could not be fetched, from any server.
    Client(
        "modelscope-hub-0.4",
        modelscope(pinned("modelscope-hub-0.4")),
        in_folder,
        speaks=Protocol.MODELSCOPE,
        says_failure="file(s) failed to download",
    ),
    Client("modelscope-1.37", modelscope_1_37, in_folder, wants=("[!.]*",), speaks=Protocol.MODELSCOPE),
    *PLAIN,
    Client("glm-aria", pull, more_env={"PYTHONPATH": str(Path(__file__).parents[2])}),
)
"""Get a model whole; each has to end with the right files, or with another exit code than 0."""

DATASET_CLIENTS = (
    Client("load_dataset", program("rows", python=pinned("datasets")), printed, wants=("rows",)),
    Client("stream_dataset", program("rows", "streaming", python=pinned("datasets")), printed, wants=("rows",)),
)
"""Read the rows of a dataset; what they show is the digest of all rows, under the name `rows`."""
