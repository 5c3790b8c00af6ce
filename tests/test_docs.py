"""The documents do what they say: their commands run as they stand, and scripts/check-docs sees what is wrong in them.

A block ```console is run: each line after `$ ` is a command (`> ` continues it), one shell for the whole document.
All commands of a block must end with 0, or with the N of ```console exit=N. A block with a file name in its info
string, such as ```text models.txt, is written to that file first; settings files are left to scripts/check-docs. What
the commands name is served on loopback: a settings file makes that the root, and the addresses below are exchanged.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest

from orchestrator.aria2.endpoint import Endpoint
from orchestrator.aria2.rpc import Rpc
from orchestrator.core.registries import Repository
from orchestrator.errors import DaemonError
from orchestrator.net.session import Net
from orchestrator.oci.client import Client
from orchestrator.oci.registries import Registries
from scripts.docslib import error_pages
from tests.hub.loopback import LoopbackHub
from tests.hub.models import tiny_model
from tests.hub.repos import Repo
from tests.layouts.gguf import gguf
from tests.machine.called import called
from tests.oci.manifests import model_pack
from tests.oci.pushing import push_files
from tests.servers.ports import free_port
from tests.servers.registry import RegistryServer

REPO = Path(__file__).parents[1]
FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE)
DOCUMENTS = [REPO / "README.md", *sorted(REPO.glob("docs/guides/*[!N].md"))]
ELSEWHERE = {"gitops", "image", "kubernetes"}
"""Guides whose commands need a cluster, or a clone and the packages of Debian."""
SHARD = "model-00001-of-00003.safetensors"


@pytest.fixture(scope="module")
def hub() -> Iterator[LoopbackHub]:
    phone = Repo("model", "zai-org/AutoGLM-Phone-9B", tiny_model(seed=1, shard_size=300_000))
    phone.tag("v1.0")
    other = Repo("model", "zai-org/AutoGLM-Phone-9B-Multilingual", tiny_model(seed=2, shard_size=300_000))
    tensors = {"w": (100, 75)}
    quantised = {f"model-{name}.gguf": gguf({"general.name": name}, tensors) for name in ("Q4_K_M", "Q8_0", "BF16")}
    several = Repo("model", "org/model-GGUF", quantised)
    weights = {f"unet/model{name}.safetensors": bytes(30_000) for name in ("", ".fp16")}
    pipeline = Repo("model", "org/pipeline", {"model_index.json": b"{}", **weights})
    gated = Repo("model", "org/gated-model", tiny_model(seed=3, shard_size=300_000), gated="auto")
    there = Repo("model", "ZhipuAI/AutoGLM-Phone-9B", tiny_model(seed=1, shard_size=300_000))
    with LoopbackHub(
        [phone, other, several, pipeline, gated, there], tokens={"hf_your_token": {"org/gated-model"}}
    ) as hub:
        hub.mirror("mirror")
        hub.modelscope()
        yield hub


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with RegistryServer(tmp_path_factory.mktemp("registry")) as server, Net() as net:
        files = {"config.json": b"{}", "model.safetensors": bytes(300_000)}
        push_files(Client(Registries(net), Repository(server.url, "team/model")), "1.2.3", model_pack(files), files)
        yield server


def script_of(text: str) -> str:
    """One shell script: each block in turn, and after each command a look at its exit code. Its jobs end with it."""
    lines = ["trap 'kill $(jobs -p) 2>/dev/null' EXIT"]
    for block in FENCE.finditer(text):
        language, _, rest = block["info"].partition(" ")
        if language == "console":
            wanted = rest.removeprefix("exit=") or "0"
            joined = re.sub(r"\\\n> *", " ", block["body"])
            for command in re.findall(r"^\$ (.*)$", joined, re.MULTILINE):
                lines += [f"echo {quoted('$ ' + command)} >&2", command]
                lines += [f'code=$?; [ $code = {wanted} ] || {{ echo "exit code $code" >&2; exit 99; }}']
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def files_of(text: str) -> Iterator[tuple[str, str]]:
    for block in FENCE.finditer(text):
        _, _, name = block["info"].partition(" ")
        if re.fullmatch(r"[\w-]+\.(?:txt|toml|yml)", name) and name not in ("config.toml", "glm-aria.toml"):
            yield name, block["body"]


@pytest.mark.skipif(shutil.which("aria2c") is None, reason="needs aria2c")
@pytest.mark.sampled(12)
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_the_commands_of_a_document_run(
    document: Path, hub: LoopbackHub, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    text = document.read_text("utf-8")
    port = free_port()
    phone = hub.repo("zai-org/AutoGLM-Phone-9B")
    shard = phone.commits[phone.head].files[SHARD]
    exchanged = {
        "https://huggingface.co": hub.url,
        "https://hf-mirror.com": hub.faces["mirror"].url,
        ":6800/": f":{port}/",
        "glm-aria serve &": f"glm-aria serve --listen 127.0.0.1:{port} &",
        "glm-aria serve --access-log": f"glm-aria serve --listen 127.0.0.1:{port} --access-log",
        ":8090": f":{port}",
        "--lan": f"--lan --peer-listen 127.0.0.1:{port}",
        "--linger": f"--peer-listen 127.0.0.1:{port} --force --linger",
        "port=6800": f"port={port}",
        "SHA256": str(shard.sha256),
        "@COMMIT": f"@{phone.head}",
        "/media/usb": str(tmp_path / "stick"),
    }
    if "oci://registry.example" in text:
        exchanged["registry.example"] = request.getfixturevalue("registry").host
    if "registry.lab" in text:
        exchanged |= {"registry.lab": "localhost", ":5000": f":{free_port()}"}

    def here(text: str) -> str:
        for old, new in exchanged.items():
            text = text.replace(old, new)
        return text

    script = here(script_of(text))
    home, folder = tmp_path / "home", tmp_path / "folder"
    (home / ".config" / "glm-aria").mkdir(parents=True)
    folder.mkdir()
    (tmp_path / "stick").mkdir()
    (home / "ComfyUI" / "models").mkdir(parents=True)
    (home / ".config" / "glm-aria" / "config.toml").write_text(
        f'[trust]\nroot = "{hub.url}"\n[[mirror]]\nname = "hf-mirror"\nurl = "{hub.faces["mirror"].url}"\n'
        f'[[mirror]]\nkind = "modelscope"\nurl = "{hub.faces["modelscope"].url}"\n'
    )
    for name, body in files_of(text):
        (folder / name).write_text(here(body), "utf-8")
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    path = os.pathsep.join([str(tmp_path / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {"PATH": path, "HOME": str(home), "XDG_RUNTIME_DIR": str(runtime), "LANG": "C.UTF-8", "NO_PROXY": "*"}
    try:
        with called(tmp_path / "bin" / "glm-aria", env):
            run = subprocess.run(
                ["bash", "-c", script], cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False
            )
    finally:
        secret = folder / "rpc.secret"
        if secret.exists():
            rpc = Rpc(Endpoint(f"http://127.0.0.1:{port}/jsonrpc", secret.read_text().strip()), timeout=3)
            with suppress(DaemonError):
                rpc._call("aria2.forceShutdown")
            rpc.close()
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
    assert "hf_your_token" not in run.stdout


def test_a_failing_command_is_seen() -> None:
    for text in (
        "```console\n$ false\n```\n",
        "```console exit=3\n$ true\n```\n",
        "```console\n$ true\n$ (exit 5)\n```\n",
    ):
        assert subprocess.run(["bash", "-c", script_of(text)], capture_output=True, check=False).returncode == 99


def test_every_document_shows_commands() -> None:
    assert {document.stem for document in DOCUMENTS} > ELSEWHERE
    for document in DOCUMENTS:
        text = document.read_text("utf-8")
        assert document.stem in ELSEWHERE or "\n$ glm-aria " in text or "\nfrom orchestrator import " in text, document


def check_docs() -> Any:
    """The script as a module: it has no suffix, so it is loaded by hand."""
    spec = spec_from_loader("check_docs", SourceFileLoader("check_docs", str(REPO / "scripts" / "check-docs")))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("check", "text"),
    [
        ("check_calls", "Run `glm-aria fly`."),
        ("check_calls", "Run `glm-aria daemon pause`."),
        ("check_calls", "```console\n$ HF_TOKEN=x glm-aria plan org/name --dry-run\n```"),
        ("check_calls", "```console\n$ path=$(glm-aria pull --no-such org/name)\n```"),
        ("check_calls", "The option `--no-such`."),
        ("check_calls", "Set `GLM_ARIA_COLOUR`."),
        ("check_exit_codes", "| Exit code | `code` |\n|---|---|\n| 0 | |\n| 65 | `usage` |\n"),
        ("check_settings_files", '```toml glm-aria.toml\n[aria2]\nrpc = "http://127.0.0.1:1/jsonrpc"\n```\n'),
        ("check_modules", "There is `core/nothing.py`."),
        ("check_warnings", "## Warnings\n\n| `no-such-warning` | x |\n"),
    ],
)
def test_check_docs_sees(check: str, text: str) -> None:
    assert list(getattr(check_docs(), check)(text))


def test_check_docs_sees_a_broken_link_and_a_lost_section(tmp_path: Path) -> None:
    module = check_docs()
    one, other = tmp_path / "a.md", tmp_path / "a.zh-CN.md"
    one.write_text("# A\n\n## B\n\n[here](#b) [there](a.zh-CN.md)\n")
    other.write_text("# A\n")
    assert not list(module.check_links(one, one.read_text()))
    assert list(module.check_links(one, "[x](no.md)"))
    assert list(module.check_links(one, "[x](a.md#c)"))
    assert list(module.check_translation(one, other))
    assert list(module.check_translation(one, tmp_path / "missing.md"))


def test_the_pages_of_errors_have_no_fault() -> None:
    assert not list(error_pages.check(error_pages.PAGES))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("trust.md", "nothing was fetched", "all is lost"),
        ("trust.md", "## Why", "## Whither"),
        ("trust.md", "more: glm-aria explain trust", "more: glm-aria explain gate"),
        ("trust.zh-CN.md", "hint: run it", "hint: walk it"),
        ("trust.zh-CN.md", None, None),
        ("no-such-code.md", None, "# no-such-code\n"),
    ],
)
def test_check_docs_sees_what_is_wrong_with_the_page_of_an_error(
    name: str, old: str | None, new: str | None, tmp_path: Path
) -> None:
    pages = Path(shutil.copytree(error_pages.PAGES, tmp_path / "errors"))
    if new is None:
        (pages / name).unlink()
    else:
        (pages / name).write_text(new if old is None else (pages / name).read_text("utf-8").replace(old, new))
    assert list(error_pages.check(pages))


def test_the_schema_refuses_what_the_reference_does_not_show() -> None:
    import json

    from jsonschema import Draft202012Validator

    schema = Draft202012Validator(json.loads((REPO / "docs" / "schema.json").read_text("utf-8")))
    module = check_docs()
    names = {"pull": "json-pull", "plan": "json-plan", "verify": "json-verify", "cache gc": "json-gc"}
    samples = {name: json.loads(module.FENCE.search(module.GENERATED[part]())["body"]) for name, part in names.items()}
    assert all(schema.is_valid(document) for document in samples.values())
    changes: dict[str, Callable[[Any], object]] = {
        "pull": lambda data: data["models"][0].pop("commit"),
        "plan": lambda data: data["models"][0]["files"][0].update(action="guess"),
        "verify": lambda data: data["files"][0].update(digest="sha256:short"),
        "cache gc": lambda data: data.update(bytes_freed="many"),
    }
    for command, change in changes.items():
        change(samples[command]["data"])
        assert not schema.is_valid(samples[command]), command
    assert not schema.is_valid(samples["pull"] | {"exit_code": 1})


def test_the_commands_of_contributing_find_what_they_name() -> None:
    text = (REPO / "CONTRIBUTING.md").read_text("utf-8")
    tests = re.findall(r"`scripts/test --quick (tests/\S+?)(?: -k (\w+))?`", text)
    assert any(word for _, word in tests)
    for path, word in tests:
        assert (REPO / path).exists(), path
        assert not word or re.search(rf"^def test_\w*{word}", (REPO / path).read_text("utf-8"), re.MULTILINE), word
    searches = re.findall(r"`git grep '(.+?)' (\w+)`", text)
    assert searches
    for words, folder in searches:
        assert any(words in path.read_text("utf-8") for path in (REPO / folder).rglob("*.py")), words
