"""Weights of one variant, such as `fp16`, as diffusers and transformers name and load them.

Both put the variant before the suffix: `model.fp16.safetensors`, `model.fp16-00001-of-00002.safetensors` (diffusers
once wrote `model-00001-of-00002.fp16.safetensors`, and reads it), `model.safetensors.index.fp16.json`. Sources:
transformers `modeling_utils._add_variant`, diffusers `pipelines/pipeline_loading_utils.variant_compatible_siblings`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from orchestrator.lists.shards import without_shard

_WEIGHTS = r"safetensors|bin|pth?|ckpt|msgpack|h5|onnx|onnx_data|npz"
_FILE = re.compile(rf"(.+)\.(?:{_WEIGHTS})", re.IGNORECASE)
_INDEX = re.compile(rf"(.+)\.(?:{_WEIGHTS})\.index(\..+)?\.json", re.IGNORECASE)
_VARIANT = re.compile(r"[A-Za-z0-9]*[A-Za-z][A-Za-z0-9_-]*")


def variants_in(paths: Iterable[str]) -> tuple[str, ...]:
    """The variants that there are, in order of their names."""
    found = {stem.rpartition(".")[2] for stems in _folders(paths).values() for stem in stems.values() if "." in stem}
    return tuple(sorted(name for name in found if _VARIANT.fullmatch(name)))


def not_of_variant(paths: Iterable[str], variant: str) -> tuple[str, ...] | None:
    """The weights that are not wanted beside those of a variant; None if no file is of it.

    In a folder that has weights of the variant, all others. Elsewhere what is there has no such variant, and is wanted
    as it is, but for other variants of the same weights: so diffusers loads the parts of a pipeline.
    """
    unwanted: list[str] = []
    is_known = False
    for stems in _folders(paths).values():
        names = {stem.removesuffix(f".{variant}") for stem in stems.values() if stem.endswith(f".{variant}")}
        # `model.fp16.non_ema` is no `non_ema` of something called `model.fp16`, where there is one of `model`.
        names = {name for name in names if name.rpartition(".")[0] not in names}
        is_known = is_known or bool(names)
        plain = set(stems.values())
        for path, stem in stems.items():
            if names:
                is_other = stem not in {f"{name}.{variant}" for name in names}
            else:
                is_other = stem.rpartition(".")[0] in plain
            if is_other:
                unwanted.append(path)
    return tuple(sorted(unwanted)) if is_known else None


def _folders(paths: Iterable[str]) -> Mapping[str, Mapping[str, str]]:
    """The weights and their indexes, by folder, each with its name without shard and suffix: `model`, `model.fp16`."""
    found: dict[str, dict[str, str]] = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        if match := _INDEX.fullmatch(name):
            found.setdefault(folder, {})[path] = match[1] + (match[2] or "")
        elif match := _FILE.fullmatch(name):
            found.setdefault(folder, {})[path] = _without_shards(match[1])
    return found


def _without_shards(stem: str) -> str:
    """The name of weights without the number of a shard, which stands at its end or before the variant."""
    name, dot, variant = without_shard(stem).rpartition(".")
    return f"{without_shard(name)}{dot}{variant}"
