"""Ollama's models: GGUF files as blobs by their SHA-256, and a manifest for each name.

Sources, all of ollama/ollama at v0.33.0-rc2 (fb30760): names are parsed as in types/model/name.go and lie as
`manifests/{host}/{namespace}/{model}/{tag}`; a manifest (manifest/manifest.go) is one of Docker's, whose layers are
read by their media types in server/images.go; blobs are `blobs/sha256-{hex}` (manifest/paths.go); the config is that of
types/model/config.go as server/create.go makes it, with the `rootfs` that versions up to 0.2x wrote. What the name
`hf.co/{org}/{repo}:{quantisation}` means, and the files `template`, `system` and `params` of a repo, are in
huggingface.co/docs/hub/ollama; so is the full name of a file as a tag.

When it starts, `ollama serve` removes blobs that no manifest names and files in `blobs/` with other names, once they
are an hour old (PruneLayers), and empty folders of manifests, but nothing if one manifest cannot be read. It writes no
blob that is there: it makes a new file and renames it, and removes names. So blobs may be names of the cache's bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from orchestrator.core.files import Algorithm
from orchestrator.core.refs import Ref, RepoId, parse_ref
from orchestrator.errors import UsageError
from orchestrator.layouts.gguf import GgufFacts, read_gguf
from orchestrator.layouts.interface import (
    OWN,
    Arrangement,
    LeftOut,
    ModelFiles,
    ProvenFile,
    Surroundings,
    ToolFolder,
    book_of,
)
from orchestrator.layouts.trees import folders_in, has_file, refs_of
from orchestrator.lists.quantizations import Gguf, models_in, projector
from orchestrator.system.failures import on_disk
from orchestrator.system.small_files import open_regular

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
MODEL = "application/vnd.ollama.image.model"
PROJECTOR = "application/vnd.ollama.image.projector"
_BLOBS = "blobs"
_TEXT = "application/vnd.ollama.image."
_TEXTS = ("template", "system", "params")
"""The files at the top of a repo that are layers of the same names."""
_SERVICE = Path("/usr/share/ollama")
"""The home of the service that the installer for Linux makes; others may have no right to look into it."""
_GIVE = "give it one of letters, digits, '_', '-' and '.', as in --as llama3.2:3b"
_DEFAULTS = ("registry.ollama.ai", "library", "")
_HUB = "hf.co"
_SCHEMES = {_HUB: "hf", "huggingface.co": "hf", "modelscope.cn": "ms", "www.modelscope.cn": "ms"}
"""The schemes of refs by the hosts from which Ollama pulls."""
_PART = re.compile(r"\w[\w-]{0,79}", re.ASCII)
_DOTTED = re.compile(r"\w[\w.-]{0,79}", re.ASCII)
_HOST = re.compile(r"\w[\w.:-]{0,349}", re.ASCII)


@dataclass(frozen=True, slots=True)
class OllamaName:
    """A name of a model. Always one that Ollama takes, once constructed."""

    host: str
    namespace: str
    model: str
    tag: str

    def __post_init__(self) -> None:
        shapes = ((_HOST, self.host), (_PART, self.namespace), (_DOTTED, self.model), (_DOTTED, self.tag))
        if not all(shape.fullmatch(part) for shape, part in shapes):
            raise _no_name(str(self))

    def __str__(self) -> str:
        """The name without what Ollama adds by itself."""
        parts = (self.host, self.namespace, self.model)
        said = next(number for number, usual in enumerate(_DEFAULTS) if parts[number] != usual or not usual)
        return f"{'/'.join(parts[said:])}:{self.tag}"

    @property
    def place(self) -> str:
        """The place of its manifest."""
        return f"manifests/{self.host}/{self.namespace}/{self.model}/{self.tag}"


def parse_name(text: str, *, tag: str = "latest") -> OllamaName:
    """A name as people type it: `model`, `model:tag`, `namespace/model:tag` or with a host. Raises UsageError."""
    name, colon, given = text.rpartition(":")
    if not colon or "/" in given:
        name, given = text, tag
    parts = name.split("/")
    if len(parts) > len(_DEFAULTS):
        raise _no_name(text)
    host, namespace, model = (*_DEFAULTS[: -len(parts)], *parts)
    return OllamaName(host, namespace, model, given)


@dataclass(frozen=True, slots=True)
class Layer:
    """A blob, and what it is to the model."""

    kind: str
    sha256: str
    size: int

    @property
    def place(self) -> str:
        """The place of the blob."""
        return f"{_BLOBS}/sha256-{self.sha256}"

    def described(self) -> dict[str, Any]:
        """The layer in a manifest."""
        return {"mediaType": self.kind, "digest": f"sha256:{self.sha256}", "size": self.size}


def config_of(facts: GgufFacts, quantization: str, layers: Sequence[Layer]) -> bytes:
    """The config of a model: what `ollama list` and `ollama show` tell, and which family of models it is of."""
    family = facts.architecture or "unknown"
    return _json({
        "model_format": "gguf",
        "model_family": family,
        "model_families": [family],
        "model_type": shown_count(facts.parameters),
        "file_type": quantization,
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.sha256}" for layer in layers]},
    })  # fmt: skip


def manifest_of(config: Layer, layers: Sequence[Layer]) -> bytes:
    """The manifest of a model."""
    return _json({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.described(),
        "layers": [layer.described() for layer in layers],
    })  # fmt: skip


def shown_count(number: int) -> str:
    """A number of parameters as Ollama writes it (format/format.go): `3.2B`, `134.52M`."""
    if number >= 10**9:
        return f"{number // 10**9}B" if number % 10**9 == 0 else f"{number / 10**9:.1f}B"
    if number >= 10**6:
        return f"{number // 10**6}M" if number % 10**6 == 0 else f"{number / 10**6:.2f}M"
    return f"{number / 10**3:.0f}K" if number >= 10**3 else str(number)


@dataclass(frozen=True, slots=True)
class Ollama:
    """The layout `ollama`. `called` is the name that the user gives the model, None for that of its repo."""

    name: str = "ollama"
    title: str = "Ollama"
    is_of_program: bool = True
    called: OllamaName | None = None

    def find(self, around: Surroundings) -> ToolFolder | None:
        """OLLAMA_MODELS, else this user's folder, else that of the service where only that is there."""
        said = around.environ.get("OLLAMA_MODELS", "").strip().strip("\"'")
        if said:
            return ToolFolder(Path(said), "OLLAMA_MODELS says so")
        inside = Path(".ollama", "models")
        own = around.home / inside if around.home else None
        if _is_folder(_SERVICE) and (own is None or not _is_folder(own)):
            return ToolFolder(_SERVICE / inside, "Ollama runs as a service here")
        return ToolFolder(own, "Ollama's folder of this user") if own else None

    def arrange(self, model: ModelFiles) -> Arrangement:
        """A name for each GGUF file, `hf.co/org/repo:Q4_K_M`, or for the one that is meant the name that was given."""
        repo, files = model.repo, {item.file.path: item for item in model.files}
        every = models_in(files)
        found = self._meant(repo, every)
        others = {path for one in every if one not in found for path in one.paths}
        texts = [(kind, _TEXT + kind) for kind in _TEXTS if kind in files]
        places: dict[str, str] = {}
        blobs: dict[str, bytes] = {}
        manifests: dict[str, bytes] = {}
        refused: dict[str, str] = {}
        names: list[OllamaName] = []
        for one in found:
            try:
                facts = _facts(one, files)
            except ValueError as error:
                refused |= dict.fromkeys(one.paths, str(error))
                continue
            name = self.called or _named(repo, one, found)
            eye = projector(files, one)
            parts = [(one.paths[0], MODEL), *([(eye, PROJECTOR)] if eye else []), *texts]
            layers = tuple(_layer(media, files[path]) for path, media in parts)
            places |= {path: layer.place for (path, _), layer in zip(parts, layers, strict=True)}
            config = config_of(facts, one.label, layers)
            described = Layer(CONFIG, hashlib.sha256(config).hexdigest(), len(config))
            blobs[described.place] = config
            manifests[name.place] = manifest_of(described, layers)
            names.append(name)
        if not places:
            path, reason = next(iter(refused.items()))
            raise UsageError(f"{path!r} is no model for Ollama: {reason}")
        refused |= dict.fromkeys(others, f"{self.called} is another quantisation")
        unused = "Ollama has no use for it"
        left_out = tuple(LeftOut(path, refused.get(path, unused)) for path in files if path not in places)
        # Blobs first: a manifest names nothing that is not there yet.
        beside = (*blobs.items(), *manifests.items())
        commands = tuple(f"ollama run {name}" for name in names)
        return Arrangement(self._book(repo), tuple(places.items()), beside, left_out, swept=_BLOBS, commands=commands)

    def _meant(self, repo: RepoId, found: tuple[Gguf, ...]) -> tuple[Gguf, ...]:
        """The models to name: all, or the only one, or the one whose quantisation is the tag of the given name."""
        if not found:
            raise UsageError(
                f"no GGUF file of {repo.url_path} is in the cache, and Ollama keeps models as GGUF",
                hint=f"glm-aria pull {repo.url_path}:Q4_K_M, or another quantisation that the repo has",
            )
        if self.called is None:
            return found
        found = tuple(one for one in found if len(one.paths) == 1) or found
        if len(found) == 1:
            return found
        meant = tuple(one for one in found if one.label.lower() == self.called.tag.lower())
        if len(meant) == 1:
            return meant
        labels = ", ".join(one.label for one in found)
        raise UsageError(
            f"{repo.url_path} is in the cache with several models, and {self.called} would name one: {labels}",
            hint=f"let the tag say which: --as {self.called.model}:{found[0].label}",
        )

    def _book(self, repo: RepoId) -> str:
        """The place of our book: a model may have a name of the user's beside that of its repo."""
        if self.called is None:
            return book_of(repo)
        return f"{OWN}/{repo.folder}@{'@'.join(PurePosixPath(self.called.place).parts[1:])}.json"

    def claims(self, folder: Path) -> Iterable[Ref]:
        """The repo of each name from the Hub or ModelScope; names of Ollama's own registry tell no repo."""
        for host in folders_in(folder / "manifests"):
            for namespace in folders_in(host):
                for model in folders_in(namespace):
                    scheme = _SCHEMES.get(host.name.lower())
                    if scheme and has_file(model):
                        for ref in refs_of(f"{namespace.name}/{model.name}"):
                            yield parse_ref(f"{scheme}://{ref.repo.name}")


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - Path raises where this user may not look


def _named(repo: RepoId, model: Gguf, beside: Sequence[Gguf]) -> OllamaName:
    """The name of a model: its quantisation is the tag, else the name of its file, as the Hub tells them apart."""
    if "/" not in repo.name:
        raise UsageError(f"{repo.name} has no organisation, so Ollama has no name for it", hint=_GIVE)
    namespace, _, name = repo.name.partition("/")
    twins = [other for other in beside if other.label.lower() == model.label.lower()]
    tag = model.label if len(twins) == 1 else model.paths[0].rpartition("/")[2]
    return OllamaName(_HUB, namespace, name, tag)


def _layer(media: str, item: ProvenFile) -> Layer:
    """The blob of a file. One that git keeps as text is read for its SHA-256, which no listing tells."""
    digest = item.file.digest
    if digest.algorithm is Algorithm.SHA256:
        return Layer(media, digest.hex, item.file.size)
    with on_disk("read", item.real), os.fdopen(open_regular(item.real, follow=True), "rb") as file:
        return Layer(media, hashlib.file_digest(file, "sha256").hexdigest(), item.file.size)


def _facts(model: Gguf, files: Mapping[str, ProvenFile]) -> GgufFacts:
    """The facts of a model in one file. Raises ValueError for others, as Ollama has no manifest for them."""
    shards = len(model.paths)
    if shards == 1:
        facts = read_gguf(files[model.paths[0]].real)
        if facts.shards == 1:
            return facts
        shards = facts.shards
    raise ValueError(
        f"it has {shards} shards, and Ollama loads a model from one file; llama-gguf-split --merge makes one of them, "
        "and so does ollama create"
    )


def _no_name(text: str) -> UsageError:
    return UsageError(
        f"{text!r} is no name of a model for Ollama",
        hint=_GIVE,
    )


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
