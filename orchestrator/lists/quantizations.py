"""GGUF files by the name of their quantisation, `org/name:Q4_K_M`, as llama.cpp and Ollama have it.

Sources: llama.cpp `common/download.cpp` (which file a tag means, and which `mmproj` file goes with it), and its
`gguf-split` (names of shards).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.core.dialects import dialects
from orchestrator.lists.shards import without_shard

GGUF_SUFFIX = ".gguf"
# A projector for pictures or sound, or the statistics a quantisation was made with: no model by itself.
_PROJECTOR, _STATISTICS = "mmproj", "imatrix"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
# How names of quantisations look at the end of a file's name: Q4_K_M, IQ2_XXS, TQ1_0, MXFP4_MOE, BF16, UD-Q4_K_XL.
_LABEL = re.compile(
    r"(?:\A|[-._])((?:UD-)?(?:I?Q\d|TQ\d|MXFP\d|NVFP\d|[BF]?F16|FP?16|FP?32|FP?8)(?:_?[A-Z0-9]+)*)\Z", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Gguf:
    """One model in GGUF: all its shards. `stem` is its path without the number of a shard and `.gguf`."""

    stem: str
    paths: tuple[str, ...]

    @property
    def label(self) -> str:
        """The name of its quantisation; where it has none that is known, the name of the file."""
        name = self.stem.rpartition("/")[2]
        found = _LABEL.search(name)
        return found[1] if found else name


def split_quantization(text: str) -> tuple[str, str]:
    """A REF without the quantisation that it names, and that; empty where it names none.

    `org/name:Q4_K_M@revision`. Where a catalog names revisions behind a colon, as `oci://` does, the text stays whole.
    """
    scheme, separator, _ = text.partition("://")
    kind = next((kind for kind in dialects() if kind.scheme == scheme), None)
    if separator and (kind is None or kind.names_site or kind.has_no_files):
        return text, ""
    name, at, revision = text.partition("@")
    repo, colon, quantization = name.rpartition(":")
    if not colon or repo == scheme or not _NAME.fullmatch(quantization):
        return text, ""
    return f"{repo}{at}{revision}", quantization


def with_quantization(ref: str, quantization: str) -> str:
    """The REF that names a quantisation of a ref, as `split_quantization` reads it."""
    name, at, revision = ref.partition("@")
    return f"{name}:{quantization}{at}{revision}" if quantization else ref


def models_in(paths: Iterable[str]) -> tuple[Gguf, ...]:
    """The models in GGUF among the files of a repo, in the order of their names."""
    shards: dict[str, list[str]] = {}
    for path in paths:
        lower = path.lower()
        if lower.endswith(GGUF_SUFFIX) and _PROJECTOR not in lower and _STATISTICS not in lower:
            shards.setdefault(without_shard(path[: -len(GGUF_SUFFIX)]), []).append(path)
    return tuple(Gguf(stem, tuple(sorted(files))) for stem, files in sorted(shards.items()))


def quantized(paths: Iterable[str], quantization: str) -> tuple[Gguf, ...]:
    """The models of this quantisation, in any case of letters: usually one, none if there is no such.

    Those whose name ends with it; if there are none, those that have it somewhere as llama.cpp looks for it: followed
    by `-`, `.` or the end, so that `Q4_K_XL` finds `UD-Q4_K_XL`.
    """
    models, name = models_in(paths), re.escape(quantization)
    exact = tuple(model for model in models if model.label.lower() == quantization.lower())
    # An underscore begins a name such as `model_q4_0`, and stands within `Q4_K_M`.
    before = "[-._/]" if _LABEL.search(quantization) else "[-./]"
    within = re.compile(rf"(?:\A|{before}){name}(?:[-.]|\Z)", re.IGNORECASE)
    return exact or tuple(model for model in models if within.search(model.stem))


def projector(paths: Iterable[str], model: Gguf) -> str | None:
    """The `mmproj` file that llama.cpp loads with a model, None if there is none for it.

    It lies in the folder of the model or above it, the nearer the better, and has about as many bits.
    """
    folders = model.stem.split("/")[:-1]
    found = []
    for path in paths:
        *own, name = path.split("/")
        if not name.lower().endswith(GGUF_SUFFIX) or _PROJECTOR not in name.lower() or folders[: len(own)] != own:
            continue
        found.append((-len(own), abs(_bits(path) - _bits(model.stem)), path))
    return min(found)[2] if found else None


def wanted_paths(paths: Iterable[str], quantization: str) -> tuple[str, ...]:
    """The files of a quantisation, with all shards, and the `mmproj` file beside them."""
    listed = tuple(paths)
    found: dict[str, None] = {}
    for model in quantized(listed, quantization):
        beside = projector(listed, model)
        found |= dict.fromkeys((*model.paths, *((beside,) if beside else ())))
    return tuple(found)


def _bits(path: str) -> int:
    """Bits of a weight, as the name of the file says: 4 of `Q4_K_M`, 16 of `BF16`, 0 of no name that is known."""
    stem = path[: -len(GGUF_SUFFIX)] if path.lower().endswith(GGUF_SUFFIX) else path
    found = _LABEL.search(stem.rpartition("/")[2])
    digits = re.search(r"\d+", found[1]) if found else None
    return int(digits[0]) if digits else 0
