"""GGUF files by the name of a quantisation: what a REF says, and which files it means."""

from __future__ import annotations

import pytest

from orchestrator.core.refs import parse_ref
from orchestrator.lists.quantizations import models_in, quantized, split_quantization, wanted_paths, with_quantization
from orchestrator.lists.request import Item
from orchestrator.lists.wanted import Wanted, group
from tests.plain import tree_of

PLAIN = (
    "m-Q4_K_M.gguf",
    "m-Q4_K_S.gguf",
    "m-Q8_0.gguf",
    "m-IQ2_XXS.gguf",
    "m.bf16.gguf",
    "README.md",
    "m.imatrix.gguf",
)
SHARDS = tuple(f"Q4_K_M/m-Q4_K_M-0000{n}-of-00003.gguf" for n in (1, 2, 3))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("org/m:Q4_K_M", ("org/m", "Q4_K_M")),
        ("org/m:q4_k_m@v1", ("org/m@v1", "q4_k_m")),
        ("hf://org/m:UD-Q4_K_XL", ("hf://org/m", "UD-Q4_K_XL")),
        ("ms://org/m:BF16", ("ms://org/m", "BF16")),
        ("gpt2:F16", ("gpt2", "F16")),
        ("org/m", ("org/m", "")),
        ("hf://gpt2", ("hf://gpt2", "")),
        ("org/m:", ("org/m:", "")),
        ("org/m:16:43.json", ("org/m:16:43.json", "")),
        ("oci://host:5000/org/m:Q4_K_M", ("oci://host:5000/org/m:Q4_K_M", "")),
        ("oci+http://host/org/m:v1", ("oci+http://host/org/m:v1", "")),
        ("reg://team/m:Q4_K_M", ("reg://team/m:Q4_K_M", "")),
        ("mlflow://m:Q4_K_M", ("mlflow://m:Q4_K_M", "")),
        ("https://host:80/m:x", ("https://host:80/m:x", "")),
    ],
)
def test_a_ref_names_a_quantisation_where_a_colon_means_nothing_else(text: str, parts: tuple[str, str]) -> None:
    assert split_quantization(text) == parts


def test_a_model_with_a_quantisation_is_no_file_of_the_one_before_it() -> None:
    words = ["org/a:Q4_K_M", "x.json", "org/b:Q8_0", "sub/10:16:43.json"]
    assert group(words) == (Wanted("org/a:Q4_K_M", ("x.json",)), Wanted("org/b:Q8_0", ("sub/10:16:43.json",)))


@pytest.mark.parametrize(
    ("name", "stems"),
    [
        ("Q4_K_M", ["m-Q4_K_M"]),
        ("q4_k_m", ["m-Q4_K_M"]),
        ("bf16", ["m.bf16"]),
        ("iq2_xxs", ["m-IQ2_XXS"]),
        ("Q4_K", []),
        ("K_M", []),
        ("Q5_K_M", []),
        ("imatrix", []),
    ],
)
def test_a_quantisation_is_the_whole_name_in_any_case(name: str, stems: list[str]) -> None:
    assert [model.stem for model in quantized(PLAIN, name)] == stems


def test_names_around_the_quantisation_count_only_where_none_is_exact() -> None:
    both = ("m-Q4_K_M.gguf", "m-UD-Q4_K_M.gguf", "m-UD-Q4_K_XL.gguf", "m-Q6_K-imat.gguf")
    assert [model.stem for model in quantized(both, "Q4_K_M")] == ["m-Q4_K_M"]
    assert [model.stem for model in quantized(both, "UD-Q4_K_M")] == ["m-UD-Q4_K_M"]
    assert [model.stem for model in quantized(both, "Q4_K_XL")] == ["m-UD-Q4_K_XL"]
    assert [model.stem for model in quantized(both, "q6_k")] == ["m-Q6_K-imat"]


def test_all_shards_are_one_model() -> None:
    (model,) = quantized((*SHARDS, "m-Q8_0.gguf"), "q4_k_m")
    assert (model.paths, model.label) == (SHARDS, "Q4_K_M")


def test_the_quantisations_that_there_are_have_names() -> None:
    assert [model.label for model in models_in((*PLAIN, "odd.gguf", "mmproj-m-F16.gguf"))] == [
        "IQ2_XXS",
        "Q4_K_M",
        "Q4_K_S",
        "Q8_0",
        "bf16",
        "odd",
    ]


@pytest.mark.parametrize(
    ("projectors", "chosen"),
    [
        (("mmproj-F32.gguf", "mmproj-F16.gguf", "mmproj-Q8_0.gguf"), "mmproj-Q8_0.gguf"),
        (("mmproj-BF16.gguf", "mmproj-F32.gguf"), "mmproj-BF16.gguf"),
        (("mmproj-Q8_0.gguf", "Q4_K_M/mmproj-F32.gguf"), "Q4_K_M/mmproj-F32.gguf"),
        (("Q8_0/mmproj-Q4_0.gguf", "MMPROJ.gguf"), "MMPROJ.gguf"),
        (("Q8_0/mmproj-F16.gguf",), None),
        ((), None),
    ],
)
def test_the_projector_beside_it_comes_along(projectors: tuple[str, ...], chosen: str | None) -> None:
    expected = (*SHARDS, chosen) if chosen else SHARDS
    assert wanted_paths((*SHARDS, "m-Q8_0.gguf", *projectors), "Q4_K_M") == expected


def test_an_item_selects_its_quantisation_and_what_else_is_included() -> None:
    tree = tree_of(content=dict.fromkeys((*SHARDS, "m-Q8_0.gguf", "mmproj-F16.gguf", "config.json"), b"x"))
    item = Item(parse_ref("org/m"), include=("*.json",), exclude=("mmproj*",), quantization="q4_k_m")
    assert [file.path for file in item.select(tree).files] == [*SHARDS, "config.json"]
    assert Item(parse_ref("org/m"), quantization="Q2_K").select(tree).files == ()


@pytest.mark.parametrize(
    "text", ["org/m:Q4_K_M@main", "ms://org/m:Q8_0@master", "datasets/org/m:BF16@v1", "org/m@main"]
)
def test_a_ref_is_put_together_as_it_is_taken_apart(text: str) -> None:
    assert with_quantization(*split_quantization(text)) == text
