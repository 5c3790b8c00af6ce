"""`glm-aria search` from the command line to the sites."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.main import main
from tests.catalogs.search.conftest import Shops


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("HF_", "GLM_ARIA_", "XDG_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["search", *words])
    return code, *capsys.readouterr()


def both(shops: Shops) -> tuple[str, ...]:
    return "--root", shops.hub.url, "--mirror", f"modelscope+{shops.modelscope.url}"


def data(out: str) -> Any:
    document = json.loads(out)
    assert (document["schema"], document["command"]) == ("glm-aria/1", "search")
    return document["data"]


def test_the_table_has_both_kinds_of_site(shops: Shops, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = run(capsys, "phone", *both(shops))
    assert (code, err) == (0, "")
    head, *lines = [line.split() for line in out.splitlines()]
    assert head == ["name", "where", "size", "downloads", "updated", "access"]
    assert [line[:2] for line in lines] == [
        ["zai/Phone-9B", "Hub"],
        ["ms://china/Phone-only", "ModelScope"],
        ["ggml/phone-GGUF", "Hub"],
        ["ms://Zhipu/Phone-9B", "ModelScope"],
        ["org/phone-gated", "Hub"],
    ]
    assert lines[1][2:5] == ["123", "B", "20.0k"]
    assert lines[4][-1] == "gated"
    assert not (tmp_path / ".cache").exists(), "a search writes nothing"


def test_json_has_exact_sizes_or_one_request_to_each_site(shops: Shops, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "phone", "gguf", "--gguf", "--json", *both(shops))
    (found,) = data(out)["found"]
    assert (code, found["ref"], found["size"], found["is_estimate"]) == (0, "ggml/phone-GGUF", 12_105, False)
    assert found["quantizations"][0] == {"name": "Q4_K_M", "ref": "ggml/phone-GGUF:Q4_K_M", "size": 4000}
    shops.hub.log.reset()
    _, out, _ = run(capsys, "phone", "--quick", "--json", *both(shops))
    assert data(out)["found"][0]["is_estimate"] is True
    assert len(shops.hub.log.requests()) == 2


def test_an_alias_of_the_settings_makes_one_row(shops: Shops, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.toml").write_text('[aliases]\n"zai/Phone-9B" = "Zhipu/Phone-9B"\n')
    _, out, _ = run(capsys, "phone-9b", "--config", "mine.toml", *both(shops))
    assert out.splitlines()[1].split()[:3] == ["zai/Phone-9B", "Hub,", "ModelScope"]


def test_nothing_found_is_told(shops: Shops, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "no", "such", *both(shops))
    assert (code, out, err) == (0, "", "no model of this name was found: no such\n")


@pytest.mark.parametrize("word", ["https://huggingface.co/org/none", "org/none:Q4_K_M", "org/none@main"])
def test_a_ref_or_an_address_is_told_to_be_no_name(word: str, shops: Shops, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, word, *both(shops))
    assert (code, err.splitlines()[1:]) == (
        0,
        ["a search takes words of a name alone: no address, revision or quantisation"],
    )


def test_a_site_that_is_down_is_a_warning_and_both_are_an_error(
    shops: Shops, capsys: pytest.CaptureFixture[str]
) -> None:
    shops.hub.stop_face("modelscope")
    code, out, err = run(capsys, "phone", "--strict", *both(shops))
    assert code == 100
    assert "was not searched" in err
    assert "zai/Phone-9B" in out
    shops.hub.stop_face("hub")
    code, out, err = run(capsys, "phone", *both(shops))
    assert (code, out) == (69, "")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((" ",), "NAME takes words"),
        (("a\nb\x1b",), "NAME takes words"),
        (("x" * 201,), "NAME takes words"),
        (("x", "--gguf", "--type", "dataset"), "about models"),
        (("x", "--limit", "51"), "--limit"),
        ((), "Missing argument"),
    ],
)
def test_wrong_usage_asks_nobody(
    shops: Shops, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    code, _, err = run(capsys, *words, *both(shops))
    assert code == 2
    assert says in err
    assert shops.hub.log.requests() == []


def test_offline_asks_nobody(shops: Shops, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code, _, err = run(capsys, "phone", *both(shops))
    assert code == 2
    assert "HF_HUB_OFFLINE" in err
    assert shops.hub.log.requests() == []
