"""What is noted of the options of a pull says them again, and what a resumed run cannot be told otherwise."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from orchestrator.cli.commands.pull import PullOptions, pull
from orchestrator.cli.resuming import Resumed, asked_run, resumed_run
from orchestrator.cli.typed import takes, texts_of
from orchestrator.core.refs import parse_ref
from orchestrator.errors import UsageError
from orchestrator.lists.request import Item
from orchestrator.runs.run_note import AskedRun, KnownRun, ModelStep, NotedItem, NotedModel, RunNote

OF_THE_ITEMS = {
    *("--file", "--revision", "--include", "--exclude", "--variant", "--local-dir"),
    *("--lock", "--locked", "--sha256"),
}
OF_THE_CALL = {
    *("--allow-outside", "--aria2-input", "--cache-dir", "--dry-run", "--resume", "--resume-last"),
    *("--json", "--progress", "--quiet", "--verbose"),
}
ASKED = AskedRun((Item(parse_ref("org/m")),))
FLAGS = {option.opts[-1]: option for option in pull.params if isinstance(option, click.Option)}


def words_of(flag: str, folder: Path) -> list[str]:
    """This option as people type it, with a value that nobody has by default."""
    option = FLAGS[flag]
    if option.is_flag:
        return [flag]
    if isinstance(option.type, click.Choice):
        return [flag, next(choice for choice in option.type.choices if choice != option.default)]
    if flag == "--config":
        (folder / "other.toml").touch()
    values = {"--config": "other.toml", "--notify": "desktop"}
    return [flag, values.get(flag, "1")]


def known(asked: AskedRun, step: ModelStep = ModelStep.LEFT) -> KnownRun:
    items = tuple(map(NotedItem.of, asked.items))
    models = tuple(NotedModel(item.ref, step) for item in items)
    return KnownRun(3, RunNote(1.0, "", 0, "", items, asked.options, asked.withheld, models), is_running=False)


def noted(*words: str) -> AskedRun:
    found: list[AskedRun] = []

    @click.command()
    @takes(PullOptions)
    def command(options: PullOptions) -> None:
        found.append(asked_run(options, ASKED.items, None))

    command.main([*words], standalone_mode=False)
    return found[0]


def resumed(asked: AskedRun, *words: str, step: ModelStep = ModelStep.LEFT) -> Resumed[PullOptions]:
    found: list[Resumed[PullOptions]] = []

    @click.command()
    @takes(PullOptions)
    def command(options: PullOptions) -> None:
        found.append(resumed_run(options, options.wanted.refs, known(asked, step)))

    command.main([*words], standalone_mode=False)
    return found[0]


@pytest.mark.parametrize("flag", sorted(FLAGS.keys() - OF_THE_ITEMS - OF_THE_CALL - {"--help", "--on-change"}))
def test_an_option_is_said_again_by_its_note(flag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _, *values = words = words_of(flag, tmp_path)
    asked = noted(*words)
    if FLAGS[flag].metavar in ("FILE", "KEY"):
        values = [str(tmp_path / value) for value in values]
        monkeypatch.chdir("/")
    assert texts_of(resumed(asked).options) == {flag: tuple(values)}


@pytest.mark.parametrize("flag", sorted(OF_THE_CALL - {"--resume", "--resume-last"}))
def test_what_is_of_this_call_alone_is_not_noted(flag: str, tmp_path: Path) -> None:
    assert noted(*words_of(flag, tmp_path)) == ASKED


@pytest.mark.parametrize("flag", sorted(OF_THE_ITEMS))
def test_a_resumed_run_has_its_own_models(flag: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=flag):
        resumed(ASKED, *words_of(flag, tmp_path))
    with pytest.raises(UsageError, match="org/x"):
        resumed(ASKED, "org/x")


def test_what_is_said_now_wins() -> None:
    asked = noted("--jobs", "2", "--max-speed", "9M")
    assert texts_of(resumed(asked, "--max-speed", "0").options) == {"--jobs": ("2",), "--max-speed": ("0",)}


def test_models_that_are_done_are_left_out_but_for_a_lock_file_that_wants_all() -> None:
    assert resumed(noted(), step=ModelStep.FAILED).items == ASKED.items
    assert resumed(noted(), step=ModelStep.DONE).items == ()
    assert resumed(noted("--lock", "lock.json"), step=ModelStep.DONE).items == ASKED.items


def test_a_value_that_may_be_a_secret_is_not_noted() -> None:
    for words in (
        ("--proxy", "http://me:s3cret@proxy"),
        ("--on-change", "curl s3cret"),
        ("--notify", "https://chat/s3cret"),
    ):
        asked = noted(*words)
        assert (asked.options, asked.withheld) == ((), words[:1])
        with pytest.raises(UsageError, match=words[0]):
            resumed(asked)
        assert resumed(asked, *words)


def test_a_noted_item_is_the_item_again() -> None:
    item = Item(parse_ref("org/m@v1"), ("a",), ("b",), Path("/x"), 3, None, ("c",), "Q4_K_M", "fp16", no_links=True)
    assert NotedItem.of(item).item == item
