"""Options, lists and stdin become settings and a request."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.refs import parse_ref
from orchestrator.lists.request import Item, PullRequest
from orchestrator.settings import Settings
from tests.cli.builders import done, report


def asked(services: SimpleNamespace, *arguments: str, command: str = "pull") -> tuple[Settings, Any]:
    assert services.main([command, *arguments]) == 0
    _, (settings, request, *_) = services.calls[-1]
    return settings, request


def test_every_option_reaches_its_place(services: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hf_x")
    words = (
        "org/name --revision v1 --include *.json --include *.txt --exclude a/* --local-dir plain --cache-dir cache "
        "--root https://hub.example --mirror https://m.example --mirror modelscope+https://ms.example "
        "--token-file token --proxy http://proxy:1 --max-speed 20M --connections 4 --jobs 2 "
        "--rpc http://127.0.0.1:6800/jsonrpc --rpc-secret-file secret --offline --force --safe-only"
    )
    settings, request = asked(services, *words.split())
    item = Item(parse_ref("org/name@v1"), ("*.json", "*.txt"), ("a/*",), tmp_path / "plain")
    assert request == PullRequest((item,), force=True, offline=True, safe_only=True)
    assert settings.root.url == "https://hub.example"
    assert [f"{mirror.kind}+{mirror.url}" for mirror in settings.mirrors] == [
        "huggingface+https://m.example",
        "modelscope+https://ms.example",
    ]
    assert (settings.cache_dir, settings.token, settings.proxy) == (tmp_path / "cache", "hf_x", "http://proxy:1")
    assert (settings.max_speed, settings.connections_per_mirror, settings.jobs) == (20 * 1024**2, 4, 2)
    assert (settings.rpc, settings.rpc_secret_file) == ("http://127.0.0.1:6800/jsonrpc", tmp_path / "secret")
    assert settings.offline
    assert settings.token_hosts == {"hub.example"}


def test_nothing_given_is_the_defaults(services: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    settings, request = asked(services, "org/name")
    assert request == PullRequest((Item(parse_ref("org/name")),))
    assert set(settings.origins.values()) == {"default"}


def test_offline_may_come_from_the_environment(services: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert asked(services, "org/name")[1].offline


@pytest.mark.parametrize("command", ["pull", "plan"])
def test_files_behind_a_ref_as_hf_has_them(
    services: SimpleNamespace, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("org/name", "config.json", "sub/a b.json", "tok*", "org/other", "--include", "*.md")
    items = asked(services, *words, command=command)[1].items
    assert items == (
        Item(
            parse_ref("org/name"),
            ("*.md", "config.json", "sub/a b.json", "tok*"),
            files=("config.json", "sub/a b.json"),
        ),
        Item(parse_ref("org/other"), ("*.md",)),
    )
    err = capsys.readouterr().err
    assert "model org/name, only 'config.json', 'sub/a b.json', 'tok*'" in err
    assert "model org/other" in err
    assert asked(services, "org/name", "org/other", "-q", command="pull")
    assert "model" not in capsys.readouterr().err


def test_a_quantisation_is_named_in_words_and_in_lists(services: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("org/b:Q8_0@v1 include=*.json\nms://org/c:BF16\n")
    (tmp_path / "list.toml").write_text('[[model]]\nref = "org/d:F16"\n')
    words = ("org/name:Q4_K_M", "-f", "list.txt", "-f", "list.toml")
    assert asked(services, *words)[1].items == (
        Item(parse_ref("org/name"), quantization="Q4_K_M"),
        Item(parse_ref("org/b@v1"), ("*.json",), quantization="Q8_0"),
        Item(parse_ref("ms://org/c"), quantization="BF16"),
        Item(parse_ref("org/d"), quantization="F16"),
    )
    assert asked(services, "oci://host/org/m:Q4_K_M")[1].items == (Item(parse_ref("oci://host/org/m:Q4_K_M")),)


def test_a_variant_of_the_command_or_of_its_entry(services: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("org/b variant=bf16\norg/c\n")
    (tmp_path / "list.toml").write_text('[[model]]\nref = "org/d"\nvariant = "int8"\n')
    items = asked(services, "org/a", "-f", "list.txt", "-f", "list.toml", "--variant", "fp16")[1].items
    assert [(item.ref.repo.name, item.variant) for item in items] == [
        ("org/a", "fp16"),
        ("org/b", "bf16"),
        ("org/c", "fp16"),
        ("org/d", "int8"),
    ]
    assert services.main(["pull", "--locked", "x.lock", "--variant", "fp16"]) == 2


def test_what_may_be_both_is_told(services: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    (item,) = asked(services, "org/name", "onnx/model.onnx")[1].items
    assert item.files == ("onnx/model.onnx",)
    assert "hf://onnx/model.onnx" in capsys.readouterr().err
    first, second = asked(services, "org/name", "hf://onnx/model.onnx")[1].items
    assert (first.files, second.ref) == ((), parse_ref("onnx/model.onnx"))


def test_no_mirrors_leaves_the_root_alone(services: SimpleNamespace) -> None:
    assert asked(services, "org/name", "--no-mirrors")[0].mirrors == ()


def test_refs_lists_and_stdin_together(
    services: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/a.txt").write_text("a/one include=*.bin local-dir=plain\na/two@v2\n")
    (tmp_path / "b.toml").write_text("[[model]]\nref = 'b/one'\npriority = 5\n")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"c/one\nzero/name@v1\n")))
    words = "zero/name -f lists/a.txt -f b.toml -f - --revision v1 --include *.json"
    _, request = asked(services, *words.split())
    assert request.items == (
        Item(parse_ref("zero/name@v1"), ("*.json",)),
        Item(parse_ref("a/one@v1"), ("*.bin",), (), tmp_path / "lists/plain", no_links=True),
        Item(parse_ref("a/two@v2"), ("*.json",)),
        Item(parse_ref("b/one@v1"), ("*.json",), priority=5),
        Item(parse_ref("c/one@v1"), ("*.json",)),
    )


@pytest.mark.parametrize("content", [b"# nothing", b"\xff", b"a/b c\n"])
def test_a_useless_list_is_named(
    content: bytes, services: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "l.txt").write_bytes(content)
    assert services.main(["pull", "-f", "l.txt"]) == 2
    assert "l.txt" in capsys.readouterr().err
    assert services.calls == []


def test_a_single_file_by_its_address(services: SimpleNamespace, tmp_path: Path) -> None:
    url = "https://example.com/dir/model.gguf"
    assert services.main(["pull", url, "--sha256", "AB" * 32, "--local-dir", "out"]) == 0
    name, (settings, *rest, _emit) = services.calls[-1]
    assert (name, isinstance(settings, Settings)) == ("fetch_url", True)
    assert rest == [url, Digest(Algorithm.SHA256, "ab" * 32), tmp_path / "out"]
    assert services.main(["pull", url, "--sha256", "ab" * 32]) == 0
    assert services.calls[-1][1][3] == tmp_path


def test_an_input_file_for_aria2_is_written_from_the_plan(services: SimpleNamespace, tmp_path: Path) -> None:
    for arguments in (["plan"], ["pull", "--dry-run"]):
        assert services.main([*arguments, "org/name", "--aria2-input", "jobs.txt"]) == 0
        assert [name for name, _ in services.calls[-2:]] == ["plan", "write_aria2_input"]
        assert services.calls[-1][1][2] == tmp_path / "jobs.txt"


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1:8000", False), ("files.example", True)])
def test_plain_http_of_a_single_file(
    host: str, warned: bool, services: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert services.main(["pull", f"http://{host}/f?sig=canary", "--sha256", "ab" * 32]) == 0
    err = capsys.readouterr().err
    assert ("plain http" in err) is warned
    assert "canary" not in err


def test_a_name_that_the_terminal_cannot_write_is_spelled_out(
    services: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding="latin-1"))
    services.pull_answer = report(done(snapshot=Path("/cache/模型")))
    assert services.main(["pull", "-q", "org/name"]) == 0
    assert written.getvalue() == b"/cache/\\u6a21\\u578b\n"
