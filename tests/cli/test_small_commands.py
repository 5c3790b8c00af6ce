"""config, render, completion, help, version, and what starting costs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from orchestrator import __version__, templating
from orchestrator.cli.main import COMMANDS, Asked, cli, main
from orchestrator.settings import Settings

REPO = Path(__file__).parents[2]


@pytest.fixture
def in_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_canary0123456789")
    monkeypatch.setenv("GLM_ARIA_PROXY", "http://me:canary@proxy:1")
    monkeypatch.setenv("HF_ENDPOINT", "https://hf-mirror.com")
    (tmp_path / "glm-aria.toml").write_text("[transfer]\nmax_speed = '20MB'\n")


@pytest.mark.usefixtures("in_use")
def test_config_show_names_the_origin_of_each_value(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["config", "show"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert "root = https://hf-mirror.com  (environment HF_ENDPOINT)" in lines
    assert "token = ***  (environment HF_TOKEN)" in lines
    assert f"max_speed = 20.0 MB/s  (file {tmp_path}/glm-aria.toml:transfer.max_speed)" in lines
    assert "offline = no  (default)" in lines
    assert "canary" not in out + err
    assert "note: your token is not sent to hf-mirror.com" in err


@pytest.mark.usefixtures("in_use")
def test_config_show_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--json"]) == 0
    out = capsys.readouterr().out
    document = json.loads(out)
    assert (document["schema"], document["command"], document["exit_code"]) == ("glm-aria/1", "config show", 0)
    settings = document["data"]["settings"]
    assert settings["token"] == {"value": "***", "origin": "environment HF_TOKEN"}
    assert settings["proxy"]["value"] == "***"
    assert set(settings) == set(Settings.__dataclass_fields__) - {"origins", "warnings", "token_withheld"}
    assert "canary" not in out


def test_config_path_names_files_that_are_not_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "x"))
    assert main(["config", "path"]) == 0
    out, err = capsys.readouterr()
    assert out.rstrip().endswith("glm-aria/config.toml")
    assert err.count("not there: ") == 2


def test_render_lists_prints_and_writes_templates(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["render"]) == 0
    assert tuple(capsys.readouterr().out.split()) == templating.names()
    assert main(["render", "aria2.conf"]) == 0
    text = capsys.readouterr().out
    assert text == templating.render("aria2.conf")
    assert main(["render", "aria2.conf", "-o", "out.conf"]) == 0
    assert (tmp_path / "out.conf").read_text() == text


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nonsense"], 66, "one of: "),
        (["daemon.conf"], 66, "one of: "),
        (["env.sh"], 66, "one of: "),
        (["nginx-relay.conf", "--set", "port"], 2, "NAME=VALUE"),
        (["aria2.conf", "-o", "no/such/folder"], 73, "cannot be written"),
    ],
)
def test_render_refuses_what_it_does_not_know(
    arguments: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["render", *arguments]) == code
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("model", ["mine", "./mine"])
def test_a_folder_before_the_model_is_told_which_comes_first(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    cache = ("--cache-dir", str(tmp_path / "cache"))
    main(["cache", "link", model, "org/name", *cache])
    assert "comes before" not in capsys.readouterr().err
    Path("mine").mkdir()
    assert main(["cache", "link", model, "org/name", *cache]) in (2, 66)
    assert f"hint: MODEL comes before DIR: glm-aria cache link org/name {model}\n" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_script_of_a_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    out = capsys.readouterr().out
    assert "_GLM_ARIA_COMPLETE" in out
    assert out.splitlines()[-1].startswith("# To install: ")


def test_a_shell_gets_completions() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "orchestrator"],
        env=os.environ
        | {"_GLM_ARIA_COMPLETE": "bash_complete", "COMP_WORDS": "glm-aria pull --max", "COMP_CWORD": "2"},
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert run.stdout == "plain,--max-speed\n"


@pytest.mark.parametrize("name", list(COMMANDS))
def test_a_summary_is_that_of_its_command(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.get_short_help_str(200) == COMMANDS[name].summary


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    for flag in ("-h", "--help"):
        assert main([flag]) == 0
        assert "Exit codes:" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert __version__ in capsys.readouterr().out
    assert main([]) == 2


def test_help_fits_eighty_columns() -> None:
    for arguments in ([], ["pull"], ["plan"], ["config"], ["render"], ["completion"]):
        shown = CliRunner().invoke(cli, [*arguments, "--help"], prog_name="glm-aria", terminal_width=80)
        long = [line for line in shown.output.splitlines() if len(line) > 90]
        assert not long


HEAVY = ("rich", "jinja2", "aria2p", "filelock", "requests", "tomllib", "huggingface_hub")


def test_a_pull_with_nothing_to_do_loads_little() -> None:
    """All that the command line itself loads; what it calls, which has its own needs, is replaced."""
    program = f"""
import sys
from types import SimpleNamespace
from orchestrator.pulling.report import PullReport
from orchestrator.cli.main import main
fake = SimpleNamespace(pull=lambda request, emit, hook, asked: PullReport(()))
assert main(["pull", "org/name"], services=lambda settings: fake) == 0
print([name for name in {HEAVY} if name in sys.modules])
"""
    # Without what measures coverage, which loads more than it measures.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=env | {"PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert run.stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ("pull a/b", "pull"),
        ("pull --dry-run a/b", "plan"),
        ("pull a/b -- --dry-run", "pull"),
        ("config show --json", "config show"),
        ("config --json", "config"),
        ("daemon status", "daemon status"),
        ("daemon", "daemon"),
        ("nonsense", "glm-aria"),
        ("", "glm-aria"),
    ],
)
def test_the_name_of_the_command_in_an_error(arguments: str, command: str) -> None:
    assert Asked.of(arguments.split()).command == command
