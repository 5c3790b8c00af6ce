"""Kinds of weights, as ComfyUI sorts them: by the folders of their path, then by the names of their tensors.

Sources: Comfy-Org/ComfyUI folder_paths.py (the kinds and the endings that it reads), comfy/model_detection.py and
comfy/sd.py (by which tensors it tells architectures); safetensors' README (the header: 8 bytes of length, then JSON).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from orchestrator.layouts.interface import ProvenFile
from orchestrator.system.small_files import open_regular

_READ = (".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft")
_HEADER_BYTES = 100_000_000  # the limit of safetensors itself

KINDS = (
    "checkpoints", "diffusion_models", "text_encoders", "vae", "loras", "controlnet", "clip_vision", "upscale_models",
    "embeddings", "style_models", "vae_approx", "gligen", "hypernetworks", "photomaker", "classifiers",
    "model_patches", "audio_encoders", "latent_upscale_models", "background_removal", "frame_interpolation",
    "geometry_estimation", "optical_flow", "detection",
)  # fmt: skip
_OTHER_NAMES = {
    "unet": "diffusion_models", "clip": "text_encoders", "t2i_adapter": "controlnet", "lora": "loras",
    "text_encoder": "text_encoders", "checkpoint": "checkpoints", "diffusion_model": "diffusion_models",
    "controlnets": "controlnet", "image_encoder": "clip_vision", "upscale_model": "upscale_models",
}  # fmt: skip
_FOLDERS = {kind: kind for kind in KINDS} | _OTHER_NAMES

# Of a file, the first kind counts that has a tensor for each of its patterns.
_TENSORS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("loras", (r"\.lora_(?:up|down|A|B|mid)\b|\.lokr_|\.hada_|\.oft_|_lora\.(?:up|down)\.|\.dora_scale",)),
    ("model_patches", (r"\Acontrol_(?:layers|all_x_embedder|noise_refiner)\b",)),
    ("controlnet", (
        r"\Acontrol_model\.|controlnet_(?:cond_embedding|blocks|down_blocks|x_embedder)|\Ainput_hint_block",
    )),
    ("checkpoints", (r"\Amodel\.diffusion_model\.", r"\A(?:first_stage_model|vae)\.")),
    ("checkpoints", (r"\Amodel\.diffusion_model\.", r"\A(?:cond_stage_model|conditioner|text_encoders)\.")),
    ("diffusion_models", (
        r"\A(?:model\.diffusion_model\.)?(?:double_blocks|single_blocks|joint_blocks|transformer_blocks|input_blocks|"
        r"down_blocks\.\d+\.(?:attentions|resnets)\.\d+\.(?:transformer_blocks|time_emb_proj)|blocks\.\d+\."
        r"(?:self_attn|cross_attn|adaln)|layers\.\d+\.(?:adaLN|attention))",
    )),
    ("vae", (
        r"\A(?:first_stage_model\.|vae\.)?(?:decoder|encoder)\.(?:conv_in|conv1|mid|middle|up_blocks|down_blocks|up)\b",
    )),
    ("text_encoders", (
        r"\Atext_model\.encoder\.|\Aencoder\.block\.\d+\.layer|\A(?:model\.)?layers\.\d+\.(?:self_attn|mlp)\.",
    )),
    ("clip_vision", (r"\A(?:vision_model|visual)\.",)),
    ("style_models", (r"\Aredux_(?:up|down)\.|\Astyle_embedding\b",)),
    ("audio_encoders", (r"\A(?:wav2vec2\.)?feature_extractor\.conv_layers\.",)),
    ("upscale_models", (r"\Aconv_first\.|\Amodel\.\d+\.sub\.|\Abody\.\d+\.rdb",)),
)  # fmt: skip
_SORTED = tuple((kind, tuple(map(re.compile, patterns))) for kind, patterns in _TENSORS)
_NAMES = (
    ("loras", re.compile(r"\blora\b|lora[-_.]|[-_.]lora", re.IGNORECASE)),
    ("controlnet", re.compile(r"control[-_]?net|\Acontrol_", re.IGNORECASE)),
    ("clip_vision", re.compile(r"clip[-_]?vision", re.IGNORECASE)),
    ("latent_upscale_models", re.compile(r"(?:spatial|temporal|latent)[-_]upscal", re.IGNORECASE)),
    ("upscale_models", re.compile(r"esrgan|upscal|swinir|\A[248]x[-_]", re.IGNORECASE)),
    ("vae", re.compile(r"(?:\A|[-_.])vae(?:[-_.]|\Z)", re.IGNORECASE)),
    ("checkpoints", re.compile(r"\.ckpt\Z", re.IGNORECASE)),
)


def is_read(path: str) -> bool:
    """True for the name of a file that ComfyUI would read."""
    return path.lower().endswith(_READ)


def kind_of(item: ProvenFile) -> str | None:
    """The kind of a file of weights; None where nothing says it. Reads the header of a safetensors file."""
    path = item.file.path
    if known := kind_by_path(path):
        return known[0]
    if path.lower().endswith((".safetensors", ".sft")):
        return kind_by_tensors(_tensors(item)) or _kind_by_name(path)
    return _kind_by_name(path)


def kind_by_path(path: str) -> tuple[str, str] | None:
    """The kind that a folder of the path names, the last one, and the path inside it."""
    *folders, name = path.split("/")
    for depth in range(len(folders), 0, -1):
        if kind := _FOLDERS.get(folders[depth - 1].lower()):
            return kind, "/".join((*folders[depth:], name))
    return None


def kind_by_tensors(names: Iterable[str]) -> str | None:
    """The kind of a file with tensors of these names."""
    known = tuple(names)
    for kind, patterns in _SORTED:
        if all(any(pattern.search(name) for name in known) for pattern in patterns):
            return kind
    return None


def _kind_by_name(path: str) -> str | None:
    name = path.rpartition("/")[2]
    return next((kind for kind, pattern in _NAMES if pattern.search(name)), None)


def _tensors(item: ProvenFile) -> tuple[str, ...]:
    """The names of the tensors of a safetensors file; none where its header is none."""
    try:
        with open(open_regular(item.real, follow=True), "rb") as file:  # noqa: PTH123 - it is a descriptor
            size = int.from_bytes(file.read(8), "little")
            if size > min(_HEADER_BYTES, item.file.size):
                return ()
            header = json.loads(file.read(size))
    except (OSError, ValueError, RecursionError):
        return ()
    return tuple(header) if isinstance(header, dict) else ()
