"""Weights of one variant: which files of diffusers' and transformers' repos are left out."""

from __future__ import annotations

import pytest

from orchestrator.core.refs import parse_ref
from orchestrator.lists.request import Item
from orchestrator.lists.variants import not_of_variant, variants_in
from tests.plain import tree_of

PIPELINE = (
    "model_index.json",
    "sd_xl_base_1.0.safetensors",
    "text_encoder/config.json",
    "text_encoder/model.fp16.safetensors",
    "text_encoder/model.safetensors",
    "tokenizer/vocab.json",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/diffusion_pytorch_model.fp16.non_ema.safetensors",
    "unet/diffusion_pytorch_model.non_ema.safetensors",
    "unet/diffusion_pytorch_model.safetensors",
    "unet/diffusion_pytorch_model.bin",
    "vae/diffusion_pytorch_model.bf16.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
    "vae_1_0/diffusion_pytorch_model.safetensors",
)
SHARDED = (
    "config.json",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.safetensors.index.json",
    "model.fp16-00001-of-00002.safetensors",
    "model.fp16-00002-of-00002.safetensors",
    "model.safetensors.index.fp16.json",
    "pytorch_model.bin",
)
OLD = ("a-00001-of-00002.bf16.bin", "a-00002-of-00002.bf16.bin", "a.bin.index.bf16.json", "a-00001-of-00001.bin")


def left(paths: tuple[str, ...], variant: str) -> list[str]:
    unwanted = not_of_variant(paths, variant)
    assert unwanted is not None
    return [path for path in paths if path not in unwanted]


def test_each_part_of_a_pipeline_has_the_variant_or_what_there_is() -> None:
    assert left(PIPELINE, "fp16") == [
        "model_index.json",
        "sd_xl_base_1.0.safetensors",
        "text_encoder/config.json",
        "text_encoder/model.fp16.safetensors",
        "tokenizer/vocab.json",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "vae_1_0/diffusion_pytorch_model.safetensors",
    ]
    assert "unet/diffusion_pytorch_model.non_ema.safetensors" in left(PIPELINE, "non_ema")
    assert "unet/diffusion_pytorch_model.fp16.non_ema.safetensors" not in left(PIPELINE, "non_ema")


@pytest.mark.parametrize(
    ("paths", "variant", "wanted"),
    [
        (SHARDED, "fp16", ["config.json", *SHARDED[4:7]]),
        (OLD, "bf16", list(OLD[:3])),
    ],
)
def test_all_shards_of_the_variant_and_their_index(paths: tuple[str, ...], variant: str, wanted: list[str]) -> None:
    assert left(paths, variant) == wanted


def test_a_variant_that_is_not_there_is_none() -> None:
    assert not_of_variant(SHARDED, "bf16") is None
    assert not_of_variant((), "fp16") is None
    assert variants_in(PIPELINE) == ("bf16", "fp16", "non_ema")
    assert variants_in(OLD) == ("bf16",)


def test_an_item_selects_its_variant_within_what_is_included() -> None:
    tree = tree_of(content=dict.fromkeys(SHARDED, b"x"))
    item = Item(parse_ref("org/m"), include=("*.safetensors",), variant="fp16")
    assert [file.path for file in item.select(tree).files] == list(SHARDED[4:6])
    assert Item(parse_ref("org/m"), variant="bf16").select(tree).files == ()
