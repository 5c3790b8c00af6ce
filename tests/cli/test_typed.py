"""The options of commands as typed values."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_type_hints

import click
import pytest
from click.testing import CliRunner

from orchestrator.cli import options
from orchestrator.cli.commands import pull, watch
from orchestrator.cli.main import main
from orchestrator.cli.options import SiteOptions
from orchestrator.cli.typed import argument, option, settings_in, takes
from orchestrator.settings import Settings


@dataclass(frozen=True, slots=True)
class Group:
    near: Annotated[tuple[str, ...], option("--near", setting="mirrors")]
    nowhere: Annotated[bool, option("--nowhere", setting="mirrors", means=())]
    jobs: Annotated[int | None, option("--jobs", setting="jobs")]


@dataclass(frozen=True, slots=True)
class Some:
    refs: Annotated[tuple[str, ...], argument("REF...")]
    group: Group
    way: Annotated[Literal["a", "b"] | None, option("--way")]
    last: Annotated[int, option("-n", "--last", default=20, type=click.IntRange(1))]
    yes: Annotated[bool, option("--yes", help="Do it.")]


def run(*words: str) -> tuple[Some | None, str]:
    got: list[Some] = []

    @click.command()
    @takes(Some)
    def command(given: Some) -> None:
        got.append(given)

    result = CliRunner().invoke(command, words)
    return (got[0] if got else None, result.output)


def test_nothing_given() -> None:
    assert run()[0] == Some((), Group((), False, None), None, 20, False)


def test_all_given() -> None:
    given, _ = run("x", "y", "--near", "1", "--near", "2", "--nowhere", "--jobs", "0", "--way", "b", "-n", "3", "--yes")
    assert given == Some(("x", "y"), Group(("1", "2"), True, 0), "b", 3, True)


@pytest.mark.parametrize("words", [("--way", "c"), ("--jobs", "many"), ("-n", "0"), ("--last",), ("--what",)])
def test_what_the_types_do_not_allow(words: tuple[str, ...]) -> None:
    given, output = run(*words)
    assert given is None
    assert "Error" in output


def test_a_word_that_was_meant_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "link", "org/m", "--layout", "lmstudio"]) == 2
    assert "Did you mean 'lm-studio'?" in capsys.readouterr().err


def test_a_word_that_may_be_given_again_is_one_of_those_that_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "create", "x", "--role", "pullers"]) == 2
    assert "Did you mean 'puller'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        ((), {}),
        (("--jobs", "0"), {"jobs": 0}),
        (("--nowhere",), {"mirrors": ()}),
        (("--near", "1", "--nowhere"), {"mirrors": ("1",)}),
        (("--yes", "x"), {}),
    ],
)
def test_settings_among_the_options(words: tuple[str, ...], settings: dict[str, object]) -> None:
    given, _ = run(*words)
    assert settings_in(given) == settings


def test_a_wrong_value_names_the_flag_that_was_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fleet", "ls", "--scheduler", "127.0.0.1:99999"]) == 2
    assert "flag --scheduler:" in capsys.readouterr().err
    assert main(["node", "--scheduler", "h", "--listen", "nowhere"]) == 2
    assert "flag --listen:" in capsys.readouterr().err


def leaves(kind: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, hint in get_type_hints(kind).items():
        found |= leaves(hint) if dataclasses.is_dataclass(hint) else {name: hint}
    return found


@pytest.mark.parametrize("kind", [pull.PullOptions, pull.PlanOptions, watch.WatchOptions, SiteOptions])
def test_no_two_options_of_a_command_have_one_name(kind: type) -> None:
    def count(kind: Any) -> int:
        hints = get_type_hints(kind).values()
        return sum(count(hint) if dataclasses.is_dataclass(hint) else 1 for hint in hints)

    assert len(leaves(kind)) == count(kind)


def test_each_setting_that_an_option_says_exists() -> None:
    sites = options.SiteChoice("c", "https://r", ("m",), True, "t", "p")
    chosen = options.TransferOptions(sites, "1M", True, 2, 3, "rpc", "secret", "any", None, False, True, False, None)
    assert settings_in(chosen) == {
        "root": "https://r",
        "mirrors": ("m",),
        "token_file": "t",
        "proxy": "p",
        "max_speed": "1M",
        "polite": True,
        "connections_per_mirror": 2,
        "jobs": 3,
        "rpc": "rpc",
        "rpc_secret_file": "secret",
        "policy": "any",
        "portable": True,
    }


@pytest.mark.parametrize("command", [pull.pull, pull.plan, watch.watch], ids=lambda command: command.name)
def test_help_names_the_default_of_the_setting(command: click.Command) -> None:
    shown = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    usual = next(field.default for field in dataclasses.fields(Settings) if field.name == "connections_per_mirror")
    assert f"for one file, 1 to 256 (default {usual})." in shown
