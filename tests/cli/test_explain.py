"""`glm-aria explain`: the page of each error, in both languages, from the package itself."""

import json

import pytest
from click.shell_completion import ShellComplete

from orchestrator import manual
from orchestrator.cli.commands.help.explain import language_of
from orchestrator.cli.main import cli, main


@pytest.fixture(autouse=True)
def in_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("code", manual.codes())
def test_each_code_has_a_page_without_what_a_terminal_cannot_follow(
    code: str, language: manual.Language, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", code, "--lang", language]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"# {code}\n\n")
    assert out.count("\n## ") == 2
    assert "](" not in out
    assert "<!--" not in out


def test_without_a_code_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["CODE", "EXIT", "MEANING"]
    assert [row.split()[0] for row in rows] == list(manual.codes())


def test_an_exit_code_means_all_its_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "69", "143", "proxy", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert [page["code"] for page in data["pages"]] == ["sources-down", "proxy", "proxy-refused", "interrupted"]
    assert data["pages"][-1]["exit_codes"] == [130, 143]


def test_a_code_may_be_in_capitals(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "No-Space"]) == 0
    assert capsys.readouterr().out.startswith("# no-space\n")


def test_a_word_that_is_no_code_is_answered_with_the_one_that_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "nospace"]) == 2
    assert "'no-space'" in capsys.readouterr().err


def test_a_page_that_the_installation_lacks_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(manual, "_FOLDERS", ())
    assert main(["explain", "gate"]) == 66
    assert "gate.md" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "de_DE.UTF-8", "LC_MESSAGES": "zh_TW"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": ""}, "zh"),
    ],
)
def test_the_language_is_that_of_messages(environ: dict[str, str], language: str) -> None:
    assert language_of(environ) == language


def test_a_shell_completes_codes() -> None:
    found = ShellComplete(cli, {}, "glm-aria", "_GLM_ARIA_COMPLETE").get_completions(["explain"], "pro")
    assert {item.value for item in found} == {"proxy", "proxy-refused", "protocol"}


def test_errors_of_several_kinds_name_their_pages_once(capsys: pytest.CaptureFixture[str]) -> None:
    from orchestrator.cli import terminal
    from orchestrator.errors import Interrupted, NoSpaceError, NotFoundError, UsageError

    terminal.say_errors(NotFoundError("a"), NoSpaceError("b"), NotFoundError("c"), UsageError("d"), Interrupted(2))
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("more: ")] == ["more: glm-aria explain not-found no-space"]
