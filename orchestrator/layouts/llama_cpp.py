"""llama.cpp's models: since March 2026 a cache of the Hugging Face form, before that a flat folder.

Sources: ggml-org/llama.cpp pull requests 20775 and 21009, and common/hf-cache.cpp, common/download.cpp (0216dab). Where
LLAMA_CACHE is set it is such a cache; else llama.cpp reads the same cache as huggingface_hub, by the same variables. It
knows no revisions: of a repo it reads the snapshot that `refs/main` names. Files may be regular ones. It removes a
`models--…` folder as a whole, so our book lies in there.

The flat folder, of versions before that (common/download.cpp of late 2025): `org_repo_path` with `_` for `/`, and for
each tag `manifest=org=repo=tag.json`, which names the files of that tag, and is what `--offline` reads. Without a file
`….etag` beside it, a file counts as it is. Newer versions moved what the manifests name into the new cache.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.refs import Ref, is_commit
from orchestrator.errors import UsageError
from orchestrator.layouts.interface import (
    ONLY_BOOK,
    Arrangement,
    LeftOut,
    ModelFiles,
    ProvenFile,
    Surroundings,
    ToolFolder,
    book_of,
)
from orchestrator.layouts.trees import folders_in, read_line, refs_of
from orchestrator.lists.quantizations import Gguf, models_in, projector

_PRESET = "preset.ini"
_DEFAULTS = ("Q4_K_M", "Q8_0")
_CACHES = (
    ("LLAMA_CACHE", ""),
    ("HF_HUB_CACHE", ""),
    ("HUGGINGFACE_HUB_CACHE", ""),
    ("HF_HOME", "hub"),
    ("XDG_CACHE_HOME", "huggingface/hub"),
)
_MANIFEST = re.compile(r"manifest=([^=]+)=([^=]+)=.*\.json")


@dataclass(frozen=True, slots=True)
class LlamaCpp:
    """The layout `llama.cpp`."""

    name: str = "llama.cpp"
    title: str = "llama.cpp"
    is_of_program: bool = True

    def find(self, around: Surroundings) -> ToolFolder | None:
        """The folder that the first variable says which is set, else huggingface_hub's."""
        for variable, inside in _CACHES:
            if value := around.environ.get(variable):
                return ToolFolder(Path(value) / inside, f"{variable} is {value}")
        if around.home is None:
            return None
        return ToolFolder(around.home / ".cache" / "huggingface" / "hub", "llama.cpp reads huggingface_hub's cache")

    def arrange(self, model: ModelFiles) -> Arrangement:
        """GGUF files in a snapshot of the commit, which is the repo's main one from then on."""
        files, left_out = _of_use(model)
        snapshot = f"snapshots/{model.commit}"
        places = tuple((item.file.path, f"{snapshot}/{item.file.path}") for item in files)
        beside = (("refs/main", model.commit.encode()),)
        return Arrangement(ONLY_BOOK, places, beside, left_out, inside=model.repo.folder)

    def claims(self, folder: Path) -> Iterable[Ref]:
        """The repos of both forms: at main, and at the commit of each snapshot."""
        return dict.fromkeys(_claims(folder))


@dataclass(frozen=True, slots=True)
class LlamaCppFlat:
    """The layout `llama.cpp-flat`, of versions before March 2026."""

    name: str = "llama.cpp-flat"
    title: str = "llama.cpp before March 2026"
    is_of_program: bool = True

    def find(self, around: Surroundings) -> ToolFolder | None:
        """LLAMA_CACHE, else `llama.cpp` in the folder for caches."""
        if value := around.environ.get("LLAMA_CACHE"):
            return ToolFolder(Path(value), f"LLAMA_CACHE is {value}")
        if sys.platform != "darwin" and (value := around.environ.get("XDG_CACHE_HOME")):
            return ToolFolder(Path(value) / "llama.cpp", f"XDG_CACHE_HOME is {value}")
        if around.home is None:
            return None
        caches = around.home / ("Library/Caches" if sys.platform == "darwin" else ".cache")
        return ToolFolder(caches / "llama.cpp", f"llama.cpp's usual folder in {caches}")

    def arrange(self, model: ModelFiles) -> Arrangement:
        """GGUF files by their long names, and a manifest for each quantisation and for the default one."""
        files, left_out = _of_use(model)
        paths = [item.file.path for item in files]
        places = tuple((path, f"{model.repo.name}/{path}".replace("/", "_")) for path in paths)
        found = models_in(paths)
        tags = {gguf.label: gguf for gguf in reversed(found)}
        if found:
            tags["latest"] = next((tags[name] for name in _DEFAULTS if name in tags), found[0])
        by_path = {item.file.path: item for item in files}
        beside = tuple(
            (f"manifest={model.repo.name.replace('/', '=')}={tag}.json", _manifest(gguf, by_path))
            for tag, gguf in sorted(tags.items())
        )
        return Arrangement(book_of(model.repo), places, beside, left_out)

    def claims(self, folder: Path) -> Iterable[Ref]:
        """The repos of both forms, as `LlamaCpp` has them: the folder may be the same."""
        return dict.fromkeys(_claims(folder))


def _of_use(model: ModelFiles) -> tuple[tuple[ProvenFile, ...], tuple[LeftOut, ...]]:
    name = model.repo.name
    if "/" not in name:
        raise UsageError(f"{name} has no owner, and llama.cpp takes models of the form OWNER/NAME only")
    files = tuple(item for item in model.files if _is_read(item.file.path))
    if not any(item.file.path.lower().endswith(".gguf") for item in files):
        raise UsageError(
            f"{name} has no GGUF file in the cache, and llama.cpp reads no other",
            hint="pull one of the repos that have it in GGUF",
        )
    out = (LeftOut(item.file.path, "llama.cpp reads GGUF files only") for item in model.files if item not in files)
    return files, tuple(out)


def _is_read(path: str) -> bool:
    return path.lower().endswith(".gguf") or path == _PRESET


def _manifest(gguf: Gguf, files: dict[str, ProvenFile]) -> bytes:
    beside = projector(files, gguf)
    said = {"ggufFile": _entry(files[gguf.paths[0]])}
    if beside is not None:
        said["mmprojFile"] = _entry(files[beside])
    return json.dumps(said, indent=1).encode()


def _entry(item: ProvenFile) -> dict[str, object]:
    file = item.file
    said: dict[str, object] = {"rfilename": file.path, "size": file.size}
    return said | {"lfs": {"sha256": file.digest.hex, "size": file.size}} if file.is_lfs else said


def _claims(folder: Path) -> Iterator[Ref]:
    for repo in folders_in(folder):
        kind, *name = repo.name.split("--")
        if kind != "models" or len(name) != 2:
            continue
        for ref in refs_of("/".join(name)):
            yield ref
            commits = (read_line(repo / "refs" / "main"), *(path.name for path in folders_in(repo / "snapshots")))
            yield from (Ref(ref.repo, commit) for commit in commits if commit and is_commit(commit))
    with contextlib.suppress(OSError):
        for path in sorted(folder.iterdir()):
            if found := _MANIFEST.fullmatch(path.name):
                yield from refs_of(f"{found[1]}/{found[2]}")
