"""ComfyUI's models by kind: which folder, under which name, and where ComfyUI is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.errors import UsageError
from orchestrator.layouts.comfyui import ComfyUi
from orchestrator.layouts.interface import Surroundings
from orchestrator.layouts.kinds import kind_by_path, kind_by_tensors
from tests.layouts.models import model

COMFY = ComfyUi()


def weights(*names: str) -> bytes:
    """A safetensors file with tensors of these names, all empty."""
    header = json.dumps({name: {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for name in names}).encode()
    return len(header).to_bytes(8, "little") + header


def places(tmp_path: Path, content: dict[str, bytes], name: str = "org/m") -> dict[str, str]:
    return dict(COMFY.arrange(model(content, name, tmp_path)).places)


@pytest.mark.parametrize(
    ("path", "kind", "inside"),
    [
        ("split_files/diffusion_models/flux1.safetensors", "diffusion_models", "flux1.safetensors"),
        ("split_files/text_encoders/t5.safetensors", "text_encoders", "t5.safetensors"),
        ("unet/model.safetensors", "diffusion_models", "model.safetensors"),
        ("loras/clip/style.safetensors", "text_encoders", "style.safetensors"),
        ("models/Lora/sub/style.safetensors", "loras", "sub/style.safetensors"),
    ],
)
def test_folders_of_a_path_name_the_kind(path: str, kind: str, inside: str) -> None:
    assert kind_by_path(path) == (kind, inside)


@pytest.mark.parametrize(
    ("kind", "tensors"),
    [
        ("loras", ["transformer.blocks.0.attn.to_q.lora_A.weight"]),
        ("loras", ["lora_unet_down_blocks_0.lora_down.weight"]),
        ("checkpoints", ["model.diffusion_model.input_blocks.0.0.weight", "first_stage_model.decoder.conv_in.weight"]),
        ("checkpoints", ["model.diffusion_model.joint_blocks.0.x", "text_encoders.clip_l.x"]),
        ("diffusion_models", ["model.diffusion_model.double_blocks.0.img_attn.qkv.weight"]),
        ("diffusion_models", ["double_blocks.0.img_attn.qkv.weight", "single_blocks.0.linear1.weight"]),
        ("diffusion_models", ["blocks.0.self_attn.q.weight", "patch_embedding.weight"]),
        ("vae", ["decoder.conv_in.weight", "encoder.conv_in.weight"]),
        ("text_encoders", ["text_model.encoder.layers.0.mlp.fc1.weight"]),
        ("text_encoders", ["encoder.block.0.layer.0.SelfAttention.k.weight", "shared.weight"]),
        ("text_encoders", ["model.layers.0.self_attn.q_proj.weight"]),
        ("clip_vision", ["vision_model.embeddings.class_embedding"]),
        ("controlnet", ["control_model.input_blocks.0.0.weight"]),
        ("upscale_models", ["conv_first.weight"]),
        ("style_models", ["redux_up.weight"]),
        (None, ["something.else"]),
        (None, []),
    ],
)
def test_names_of_tensors_say_the_kind(kind: str | None, tensors: list[str]) -> None:
    assert kind_by_tensors(tensors) == kind


def test_a_file_goes_by_its_path_then_its_tensors_then_its_name(tmp_path: Path) -> None:
    content = {
        "split_files/vae/ae.safetensors": b"no header",
        "Base/big-one.safetensors": weights("double_blocks.0.x"),
        "style-lora.safetensors": weights("unknown"),
        "4x-ESRGAN.pth": b"never opened as a pickle",
        "README.md": b"#",
        "odd.safetensors": b"\xff" * 20,
    }
    arranged = COMFY.arrange(model(content, folder=tmp_path))
    assert dict(arranged.places) == {
        "split_files/vae/ae.safetensors": "vae/ae.safetensors",
        "Base/big-one.safetensors": "diffusion_models/big-one.safetensors",
        "style-lora.safetensors": "loras/style-lora.safetensors",
        "4x-ESRGAN.pth": "upscale_models/4x-ESRGAN.pth",
    }
    assert [item.path for item in arranged.left_out] == ["README.md", "odd.safetensors"]


def test_a_name_that_says_nothing_gets_the_repos_before_it(tmp_path: Path) -> None:
    lora = weights("a.lora_A.weight")
    assert places(tmp_path, {"pytorch_lora_weights.safetensors": lora}) == {
        "pytorch_lora_weights.safetensors": "loras/org--m/pytorch_lora_weights.safetensors"
    }
    assert places(tmp_path, {"v1/style.safetensors": lora, "v2/style.safetensors": lora + b" "}) == {
        "v1/style.safetensors": "loras/org--m/v1/style.safetensors",
        "v2/style.safetensors": "loras/org--m/v2/style.safetensors",
    }


def test_a_repo_of_diffusers_is_whole_and_its_checkpoint_is_one(tmp_path: Path) -> None:
    checkpoint = weights("model.diffusion_model.input_blocks.0.0.weight", "conditioner.x")
    found = places(tmp_path, {
        "model_index.json": b"{}", "unet/diffusion_pytorch_model.safetensors": weights("down_blocks.0.x"),
        "sd_xl_base_1.0.safetensors": checkpoint,
    }, "stabilityai/sdxl")  # fmt: skip
    whole = "diffusers/stabilityai--sdxl"
    assert found == {
        "model_index.json": f"{whole}/model_index.json",
        "unet/diffusion_pytorch_model.safetensors": f"{whole}/unet/diffusion_pytorch_model.safetensors",
        "sd_xl_base_1.0.safetensors": "checkpoints/sd_xl_base_1.0.safetensors",
    }


def test_a_model_of_no_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file of a kind"):
        COMFY.arrange(model({"README.md": b"#"}, folder=tmp_path))


def test_its_folder_is_where_its_programs_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")

    def found() -> Path | None:
        folder = COMFY.find(Surroundings(tmp_path, {}))
        return folder.folder if folder else None

    assert found() is None
    (tmp_path / "comfy" / "ComfyUI").mkdir(parents=True)
    assert found() == tmp_path / "comfy" / "ComfyUI" / "models"
    desktop = tmp_path / ".config" / "ComfyUI" / "config.json"
    desktop.parent.mkdir(parents=True)
    desktop.write_text(json.dumps({"basePath": "/desk"}))
    assert found() == Path("/desk/models")
    cli = tmp_path / ".config" / "comfy-cli" / "config.ini"
    cli.parent.mkdir()
    cli.write_text("[DEFAULT]\nrecent_workspace = /recent\n")
    assert found() == Path("/recent/models")
    cli.write_text("[DEFAULT]\nrecent_workspace = /recent\ndefault_workspace = /own 100%\n")
    assert found() == Path("/own 100%/models")
    cli.write_text("no section\n")
    assert found() == Path("/desk/models")
