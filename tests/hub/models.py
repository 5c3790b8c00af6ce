"""Contents for repositories: a small real model, a folder of many small files, one big file.

`tiny_model` is a LlamaForCausalLM that transformers can load (configuration, tokenizer, sharded safetensors with an
index); its weights are random but finite. The safetensors form: 8 bytes little-endian header length, a JSON header,
the tensors.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

from tests.hub.content import MIB, generate, make_file
from tests.hub.repos import Source

_HIDDEN, _INTERMEDIATE, _VOCABULARY, _HEADS = 256, 704, 512, 4
_GITATTRIBUTES = "*.safetensors filter=lfs diff=lfs merge=lfs -text\n*.bin filter=lfs diff=lfs merge=lfs -text\n"


def tiny_model(seed: int = 0, *, shards: int = 3, shard_size: int = 3 * MIB) -> dict[str, Source]:
    """The files of a model whose weights are `shards` files of about `shard_size` bytes each."""
    layers = max(shards, round(shards * shard_size / (2 * sum(_count(shape) for _, shape in _layer(0)))))
    per_shard = [range(index * layers // shards, (index + 1) * layers // shards) for index in range(shards)]
    files: dict[str, Source] = {
        "config.json": _json(_config(layers)),
        "generation_config.json": _json({"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "do_sample": False}),
        "tokenizer.json": _json(_tokenizer()),
        "tokenizer_config.json": _json(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "bos_token": "<s>",
                "eos_token": "</s>",
                "unk_token": "<unk>",
                "pad_token": "<pad>",
                "model_max_length": 512,
            }
        ),
        "special_tokens_map.json": _json(
            {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
        ),
        "README.md": f"---\nlicense: apache-2.0\n---\n# A tiny model\n\nRandom weights, seed {seed}.\n".encode(),
        ".gitattributes": _GITATTRIBUTES.encode(),
    }
    weight_map: dict[str, str] = {}
    total = 0
    for index, members in enumerate(per_shard):
        tensors = [tensor for layer in members for tensor in _layer(layer)]
        if index == 0:
            tensors.insert(0, ("model.embed_tokens.weight", (_VOCABULARY, _HIDDEN)))
        if index == shards - 1:
            tensors += [("model.norm.weight", (_HIDDEN,)), ("lm_head.weight", (_VOCABULARY, _HIDDEN))]
        name = f"model-{index + 1:05d}-of-{shards:05d}.safetensors"
        files[name] = safetensors(tensors, seed * 1000 + index)
        weight_map |= {tensor: name for tensor, _ in tensors}
        total += sum(2 * _count(shape) for _, shape in tensors)
    files["model.safetensors.index.json"] = _json({"metadata": {"total_size": total}, "weight_map": weight_map})
    return files


def safetensors(tensors: list[tuple[str, tuple[int, ...]]], seed: int) -> bytes:
    """A safetensors file of BF16 tensors with small random values."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in tensors:
        begin, end = end, end + 2 * _count(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + _bfloat16(end // 2, seed)


def many_files(n: int = 2000, *, smallest: int = 10 << 10, largest: int = 50 << 10, seed: int = 0) -> dict[str, Source]:
    """`n` files in folders of a hundred, with sizes between the two, all plain git blobs."""
    sizes = random.Random(seed)
    pool = generate(largest + n, seed)
    return {
        f"part-{index // 100:03d}/file-{index:05d}.json": pool[index : index + sizes.randint(smallest, largest)]
        for index in range(n)
    }


def note_model(name: str) -> dict[str, Source]:
    """Three files of some bytes each, of which no other name has one."""
    return {f"file-{number}.json": _json({"of": name, "number": number}) for number in range(3)}


def one_big(size: int, folder: Path, seed: int = 0) -> dict[str, Source]:
    """One LFS file of `size` bytes, made under `folder` on first use and kept there with its digest."""
    name = "model.safetensors"
    return {name: make_file(folder / f"big-{seed}-{size}.bin", size, seed), "config.json": b"{}\n"}


def several_big(count: int, size: int, folder: Path) -> dict[str, Source]:
    """The same with `count` files of `size` bytes each, all of them different."""
    names = (f"model-{number:05d}-of-{count:05d}.safetensors" for number in range(1, count + 1))
    files: dict[str, Source] = {"config.json": b"{}\n"}
    return files | {name: make_file(folder / f"big-{seed}-{size}.bin", size, seed) for seed, name in enumerate(names)}


def _layer(number: int) -> list[tuple[str, tuple[int, ...]]]:
    prefix, square = f"model.layers.{number}", (_HIDDEN, _HIDDEN)
    return [
        (f"{prefix}.input_layernorm.weight", (_HIDDEN,)),
        *((f"{prefix}.self_attn.{part}_proj.weight", square) for part in "qkvo"),
        (f"{prefix}.post_attention_layernorm.weight", (_HIDDEN,)),
        (f"{prefix}.mlp.gate_proj.weight", (_INTERMEDIATE, _HIDDEN)),
        (f"{prefix}.mlp.up_proj.weight", (_INTERMEDIATE, _HIDDEN)),
        (f"{prefix}.mlp.down_proj.weight", (_HIDDEN, _INTERMEDIATE)),
    ]


def _count(shape: tuple[int, ...]) -> int:
    product = 1
    for length in shape:
        product *= length
    return product


def _bfloat16(count: int, seed: int) -> bytes:
    """`count` values between 0.0078 and 0.031 in size, of either sign; the exponent is fixed, so all are finite."""
    noise = generate(2 * count, seed)
    values = bytearray(2 * count)
    values[0::2] = noise[:count]
    values[1::2] = noise[count:].translate(bytes(0x3C | (byte & 0x80) for byte in range(256)))
    return bytes(values)


def _config(layers: int) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": _HIDDEN,
        "intermediate_size": _INTERMEDIATE,
        "num_hidden_layers": layers,
        "num_attention_heads": _HEADS,
        "num_key_value_heads": _HEADS,
        "hidden_act": "silu",
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-6,
        "vocab_size": _VOCABULARY,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
    }


def _words() -> Iterator[str]:
    yield from ("<pad>", "<s>", "</s>", "<unk>")
    yield from ("the", "a", "model", "bytes", "hub", "every", "proved", "is", "of", "and")


def _tokenizer() -> dict[str, object]:
    words = list(_words())
    words += [f"w{index}" for index in range(len(words), _VOCABULARY)]
    special = [
        {
            "id": index,
            "content": word,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for index, word in enumerate(words[:4])
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {word: index for index, word in enumerate(words)},
            "unk_token": "<unk>",
        },
    }


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
