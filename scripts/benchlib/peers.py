"""Who is compared: the command that a user would type, and where its files end up."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

NAMES = ("glm-aria", "root alone", "aria2c", "hf", "hf-16", "modelscope-16", "curl")
"""`root alone` is glm-aria without mirrors: what one good source does. `-16`: with 16 workers, not the default of 8."""

_FUNCTIONS = {"glm-aria": ("orchestrator", "pull"), "hf": ("huggingface_hub", "snapshot_download")}
_PROGRAMS = {"root alone": "glm-aria", "hf-16": "hf", "modelscope-16": "modelscope"}


@dataclass(frozen=True, slots=True)
class Repo:
    """The repository that is pulled, from the Hub's state file."""

    url: str
    name: str
    files: Mapping[str, Mapping[str, Any]]
    mirrors: tuple[str, ...] = ()
    modelscope_url: str = ""

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Repo:
        found = state["repos"][0]
        mirrors, modelscope = tuple(state["mirrors"]), state["modelscope_url"] or ""
        return cls(state["url"], found["name"], found["files"], mirrors, modelscope)

    def address(self, path: str) -> str:
        """What a user would copy from the site."""
        return f"{self.url}/{self.name}/resolve/main/{quote(path)}"

    def addresses(self, path: str) -> str:
        """The file at the site and at each mirror, as aria2's input file takes them."""
        return "\t".join(f"{url}/{self.name}/resolve/main/{quote(path)}" for url in (self.url, *self.mirrors))


def is_there(peer: str) -> bool:
    return shutil.which(_PROGRAMS.get(peer, peer), path=_path()) is not None


def command(
    peer: str,
    repo: Repo,
    home: Path,
    options: tuple[str, ...] = (),
    *,
    from_modelscope: bool = False,
    behind_run: bool = False,
    in_python: bool = False,
) -> list[str]:
    """Argv that fetches the whole repository into `home`; writes the list file that it needs there."""
    many = len(repo.files) > 16
    match peer:
        case "glm-aria" | "hf" if in_python:
            library, function = _FUNCTIONS[peer]
            return [sys.executable, "-c", f"from {library} import {function}; {function}({repo.name!r})"]
        case "glm-aria" if from_modelscope:
            return ["glm-aria", "pull", f"ms://{repo.name}", "--mirror", f"modelscope+{repo.modelscope_url}", *options]
        case "glm-aria":
            named = [word for url in repo.mirrors for word in ("--mirror", url)]
            if behind_run:
                return ["glm-aria", "run", *named, *options, "--", "hf", "download", repo.name]
            return ["glm-aria", "pull", repo.name, *named, *options]
        case "root alone":
            return ["glm-aria", "pull", repo.name, "--no-mirrors", *options]
        case "hf":
            return ["hf", "download", repo.name]
        case "hf-16":
            return ["hf", "download", repo.name, "--max-workers", "16"]
        case "modelscope-16":
            return ["modelscope", "download", repo.name, "--local-dir", str(home / "out"), "--max-workers", "16"]
        case "aria2c" | "aria2-next":
            listed = home / "input.txt"
            listed.write_text("".join(f"{repo.addresses(path)}\n  out={path}\n" for path in repo.files))
            jobs = ["-j16"] if many else []
            split = f"-s{16 * (1 + len(repo.mirrors))}"
            return [peer, "-x16", split, "-k1M", *jobs, f"--dir={home / 'out'}", f"--input-file={listed}"]
        case "curl":
            listed = home / "curl.txt"
            lines = (f'url = "{repo.address(path)}"\noutput = "{home / "out" / path}"\n' for path in repo.files)
            listed.write_text("".join(lines))
            flags = ["--parallel", "--parallel-max", "16", "--location", "--fail", "--silent", "--show-error"]
            return ["curl", *flags, "--create-dirs", "--config", str(listed)]
    raise ValueError(peer)


def environment(repo: Repo, home: Path) -> dict[str, str]:
    """Nothing of the user's: no tokens, proxies or configuration, and no look at a registry for a newer version."""
    return {
        "PATH": _path(),
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "TMPDIR": str(home),
        "XDG_RUNTIME_DIR": str(home),
        "HF_HOME": str(home / "hf"),
        "HF_ENDPOINT": repo.url,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "MODELSCOPE_ENDPOINT": repo.modelscope_url,
    }


def check(peer: str, repo: Repo, home: Path) -> None:
    """Raise RuntimeError unless every file is where the peer puts it, with the right bytes."""
    folder = home / "out"
    if peer in {"glm-aria", "root alone", "hf", "hf-16"}:
        (folder,) = (home / "hf" / "hub" / f"models--{repo.name.replace('/', '--')}" / "snapshots").iterdir()
    for path, known in repo.files.items():
        file = folder / path
        if not file.is_file() or file.stat().st_size != known["size"] or _digest(file, known) != _wanted(known):
            raise RuntimeError(f"{peer}: {path} is missing or wrong")


def _wanted(known: Mapping[str, Any]) -> str:
    return str(known["sha256"] or known["oid"])


def _digest(file: Path, known: Mapping[str, Any]) -> str:
    """sha256 for LFS; for the rest git's blob hash."""
    with file.open("rb") as handle:
        if known["sha256"]:
            return hashlib.file_digest(handle, "sha256").hexdigest()
        return hashlib.sha1(b"blob %d\0" % known["size"] + handle.read(), usedforsecurity=False).hexdigest()


def _path() -> str:
    """This environment's commands first: glm-aria and hf are installed beside the running Python."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
