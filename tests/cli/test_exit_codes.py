"""Every row of the table of exit codes, in this process and through a real one."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.cli.main import EPILOG, main
from orchestrator.errors import (
    GlmAriaError,
    IntegrityError,
    Interrupted,
    NotAllowedError,
    NotFoundError,
    UsageError,
    error_classes,
)
from orchestrator.events import Notice
from tests.cli.builders import done, failed, report, telling

REPO = Path(__file__).parents[2]
CLASSES = [error for error in error_classes() if error is not Interrupted]


@pytest.mark.parametrize("kind", CLASSES, ids=[kind.__name__ for kind in CLASSES])
@pytest.mark.parametrize("as_json", [False, True])
def test_an_error_becomes_its_exit_code(
    kind: type[GlmAriaError], as_json: bool, services: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    services.pull_answer = kind("it broke", hint="mend it", file="a.bin", source="hf-mirror")
    assert services.main(["pull", "org/name", *(["--json"] if as_json else [])]) == kind.exit_code
    out, err = capsys.readouterr()
    if as_json:
        (error,) = json.loads(out)["errors"]
        assert error == {
            "code": kind.code,
            "exit_code": kind.exit_code,
            "message": "it broke",
            "file": "a.bin",
            "mirror": "hf-mirror",
            "hint": "mend it",
            "details": [],
            "retryable": kind.retryable,
            "resumable": kind.resumable,
            "more": f"glm-aria explain {kind.code}",
        }
    else:
        assert out == ""
        more = "" if issubclass(kind, UsageError) else f"more: glm-aria explain {kind.code}\n"
        assert err.endswith(f"error: it broke\nhint: mend it\n{more}")


def test_the_help_lists_every_code() -> None:
    listed = set(map(int, re.findall(r"(?:^|\s{2,})(\d{1,3})  \w", EPILOG, re.MULTILINE)))
    assert listed == {error.exit_code for error in error_classes()} - {70} | {0, 70, 130, 143}


@pytest.mark.parametrize(
    ("models", "notices", "flags", "code", "status"),
    [
        ([done()], 0, [], 0, "success"),
        ([done()], 1, [], 0, "success"),
        ([done()], 1, ["--strict"], 100, "success"),
        ([done()], 0, ["--strict"], 0, "success"),
        ([failed(NotFoundError("x"))], 1, ["--strict"], 66, "error"),
        ([failed(NotFoundError("x")), failed(NotFoundError("y"))], 0, [], 66, "error"),
        ([failed(NotFoundError("x")), failed(IntegrityError("y"))], 0, [], 3, "error"),
        ([done(), failed(NotFoundError("x"))], 0, [], 3, "partial"),
    ],
)
def test_the_verdict_of_a_run(
    models: list[object],
    notices: int,
    flags: list[str],
    code: int,
    status: str,
    services: SimpleNamespace,
    capsys: pytest.CaptureFixture[str],
) -> None:
    services.pull_answer = telling(report(*models), *[Notice("slow", "slow mirror")] * notices)  # type: ignore[arg-type]
    assert services.main(["pull", "org/name", "--json", *flags]) == code
    document = json.loads(capsys.readouterr().out)
    assert (document["exit_code"], document["status"]) == (code, status)
    assert bool(document["errors"]) is (code != 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_ends_with_128_and_the_signal(
    number: int, services: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    services.pull_answer = report(failed(Interrupted(number)), interrupted=number)
    assert services.main(["pull", "org/name", "--json"]) == 128 + number
    document = json.loads(capsys.readouterr().out)
    assert document["status"] == "interrupted"
    assert [error["code"] for error in document["errors"]] == ["interrupted"]
    assert document["errors"][0]["resumable"]


def test_ctrl_c_before_anything_ran(services: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    services.pull_answer = KeyboardInterrupt()
    assert services.main(["pull", "org/name"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_bug_is_short_without_verbose_and_a_traceback_with_it(
    services: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    services.pull_answer = RuntimeError(
        "GET https://me:pw@cdn.example/f?X-Signature=canary \x1b[2J hf_canary0123456789"
    )
    assert services.main(["pull", "org/name"]) == 70
    short = capsys.readouterr().err
    assert "--verbose" in short
    assert "Traceback" not in short
    assert services.main(["pull", "-v", "org/name"]) == 70
    long = capsys.readouterr().err
    assert "Traceback" in long
    for text in (short, long):
        assert "canary" not in text
        assert "me:pw" not in text
        assert "\x1b" not in text


def test_a_denied_access_tells_of_the_token_that_was_kept_back(
    services: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://hf-mirror.com")
    monkeypatch.setenv("HF_TOKEN", "hf_canary0123456789")
    services.pull_answer = report(failed(NotAllowedError("gated")))
    assert services.main(["pull", "org/name"]) == 77
    err = capsys.readouterr().err
    assert "not sent to hf-mirror.com, which only environment HF_ENDPOINT names" in err
    assert "canary" not in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["pull"], "zai-org/AutoGLM-Phone-9B"),
        (["pul", "org/name"], "Did you mean 'pull'"),
        (["download", "org/name"], "Did you mean 'pull'"),
        (["gc"], "Did you mean 'cache gc'"),
        (["org/name"], "glm-aria pull org/name"),
        (["pull", "org/name", "--colour"], "--colour"),
        (["pull", "a/b/c"], "org/name"),
        (["pull", "https://example.com/f"], "--sha256"),
        (["pull", "org/name", "--sha256", "0" * 64], "https:// address"),
        (["pull", "https://example.com/f", "--sha256", "00"], "64 hexadecimal digits"),
        (["pull", "https://example.com/f", "https://example.com/g", "--sha256", "0" * 64], "one address"),
        (["pull", "https://example.com/f", "--include", "*", "--sha256", "0" * 64], "--include"),
        (["pull", "https://example.com/f", "--offline", "--sha256", "0" * 64], "--offline"),
        (["pull", "org/name", "--aria2-input", "x"], "--dry-run"),
        (["pull", "org/name", "--max-speed", "fast"], "20M"),
        (["pull", "org/name", "--connections", "999"], "from 1 to 256"),
        (["pull", "org/name", "--root", ""], "must not be empty"),
        (["pull", "-f", "nowhere.txt"], "nowhere.txt"),
        (["pull", "a/b", "c/d", "--local-dir", "x"], "would share the folder"),
        (["pull", "--resume", "3", "--resume-last"], "exclude each other"),
        (["plan", "org/name", "--dry-run"], "--dry-run"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_wrong_usage_ends_with_2_and_says_why(
    arguments: list[str], says: str, as_json: bool, services: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert services.main([*arguments, *(["--json"] if as_json else [])]) == 2
    out, err = capsys.readouterr()
    if as_json:
        document = json.loads(out)
        command = arguments[0] if arguments[0] in ("pull", "plan") else "glm-aria"
        assert (document["exit_code"], document["command"]) == (2, command)
        assert says in json.dumps(document["errors"], ensure_ascii=False)
    else:
        assert out == ""
        assert says in err
    assert services.calls == []


def test_a_wrong_file_is_bad_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "glm-aria.toml").write_text("[trust]\nrot = 1")
    assert main(["pull", "org/name"]) == 78
    assert "trust.root" in capsys.readouterr().err


# --- a real process -------------------------------------------------------------------------------------------------

PROGRAM = """
import sys
from types import SimpleNamespace
from orchestrator.errors import *
from orchestrator.events import *
from tests.cli.builders import *
def pull(request, emit, hook, asked):
    {body}
    return report(*(done() for _ in range(3)))
from orchestrator.cli.main import main
sys.exit(main(services=lambda settings: SimpleNamespace(pull=pull)))
"""


def process(body: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    channels: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(body=body), *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(Path.cwd()), "PYTHONPATH": str(REPO)},
        text=True,
        **(channels | options),
    )


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("pass", 0),
        ("raise NoSpaceError('full')", 79),
        ("raise ZeroDivisionError", 70),
        ("raise KeyboardInterrupt", 130),
    ],
)
def test_the_exit_code_of_the_process(body: str, code: int) -> None:
    run = process(body, "pull", "org/name", "-q")
    out, err = run.communicate(timeout=30)
    assert run.returncode == code, err
    assert "Traceback" not in err
    assert len(out.splitlines()) == (3 if code == 0 else 0)


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_reader_that_left_is_no_traceback(flags: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    run = process("pass", "pull", "org/name", "-q", *flags, stdout=writer)
    os.close(writer)
    _, err = run.communicate(timeout=30)
    assert (run.returncode, err) == (74, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_result_that_cannot_be_written_is_an_error(flags: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        run = process("pass", "pull", "org/name", "-q", *flags, stdout=full)
        _, err = run.communicate(timeout=30)
    assert run.returncode == 74
    assert "cannot write the result" in err
    assert "Traceback" not in err
