"""The command lines in the manifests are ours: every option exists, and every desired state can be read."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from orchestrator.cli.main import cli
from orchestrator.desired.wish.document import parse_document
from tests.kubernetes.manifests import HERE, Manifest, charted, containers, examples, parsed, render

VARIABLES = {"NODE_NAME": "node-1", "POD_NAMESPACE": "models"}
SETTINGS = "/etc/glm-aria/settings/config.toml"


@pytest.fixture(scope="module")
def everything() -> list[Manifest]:
    """All that the chart can make, with and without what is optional, and the examples."""
    values = ("base.yaml", "fleet.yaml", "k3s-edge.yaml")
    return [*parsed(render(HERE / "everything.yaml")), *(one for name in values for one in charted(name)), *examples()]


def test_each_command_line_is_one_that_glm_aria_takes(everything: list[Manifest], tmp_path: Path) -> None:
    (tmp_path / "config.toml").touch()
    found = [
        [word.replace(SETTINGS, f"{tmp_path}/config.toml") for word in words] for words in command_lines(everything)
    ]
    assert any(f"--config={tmp_path}/config.toml" in words for words in found)
    assert {words[0] for words in found} >= {"node", "serve", "scheduler", "fleet", "pull", "run", "token"}
    for words in found:
        parse(words)


@pytest.mark.parametrize("planted", ["--planted=1", "--planted"])
def test_an_option_that_there_is_not_is_refused_in_each_of_them(everything: list[Manifest], planted: str) -> None:
    for words in command_lines(everything):
        at = 2 if words[0] in ("fleet", "token") else 1
        with pytest.raises(click.UsageError, match="planted"):
            parse([*words[:at], planted, *words[at:]])


def test_the_ports_of_command_lines_are_those_of_containers(everything: list[Manifest]) -> None:
    for one in containers(everything):
        listened = {int(port) for word in one.get("args", []) for port in re.findall(r"listen=0\.0\.0\.0:(\d+)", word)}
        assert listened <= {port["containerPort"] for port in one.get("ports", [])}


def test_each_desired_state_can_be_read(everything: list[Manifest]) -> None:
    texts = [one["data"]["desired.toml"] for one in everything if "desired.toml" in one.get("data", {})]
    assert texts
    for text in texts:
        assert parse_document("desired.toml", {"desired.toml": text}.__getitem__).models


def command_lines(manifests: list[Manifest]) -> Iterator[list[str]]:
    """The words after `glm-aria` of each container, with the variables that a kubelet puts there."""
    for one in containers(manifests):
        if one["command"] == ["glm-aria"]:
            words = [re.sub(r"\$\((\w+)\)", lambda match: VARIABLES[match[1]], word) for word in one["args"]]
            named = {variable["name"] for variable in one["env"]}
            used = {name for word in one["args"] for name in re.findall(r"\$\((\w+)\)", word)}
            assert used <= named, "a variable has to stand in env, or it is passed on as it is written"
            yield words
        elif one["command"][0] == "sh":
            for line in re.findall(r"\bglm-aria ([^|>&;)\n]+)", one["args"][0]):
                yield shlex.split(line)


def parse(words: list[str]) -> None:
    """Parse as glm-aria does. Raises click.UsageError."""
    command: click.Command | None = cli
    context = None
    name: str | None = "glm-aria"
    while command is not None:
        context = command.make_context(name, words, parent=context)
        words = [*context._protected_args, *context.args]
        if not isinstance(command, click.Group) or not words:
            return
        name, command, words = command.resolve_command(context, words)
