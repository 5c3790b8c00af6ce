"""Values are checked before anything is rendered, and what does not fit together is refused with what to set."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from jsonschema import Draft7Validator

from tests.kubernetes.manifests import CHART, HERE, ROOT, parsed, render

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())
DESIRED = {"node": {"desired": '[[model]]\nref = "org/name@v1"\n'}}


def errors(values: dict[str, Any]) -> list[str]:
    """What Helm would say of these values."""
    return [error.message for error in Draft7Validator(SCHEMA).iter_errors(merged(DEFAULTS, values))]


@pytest.mark.parametrize("path", [CHART / "values.yaml", HERE / "everything.yaml", *(CHART / "values").glob("*.yaml")])
def test_our_own_values_fit_the_schema(path: Path) -> None:
    Draft7Validator.check_schema(SCHEMA)
    assert errors(yaml.safe_load(path.read_text())) == []


def test_values_in_the_examples_fit_the_schema() -> None:
    texts = [
        one["data"]["values.yaml"]
        for path in (ROOT / "examples").rglob("*.yaml")
        for one in parsed(path.read_text())
        if "values.yaml" in one.get("data", {})
    ]
    assert texts
    assert [errors(yaml.safe_load(text)) for text in texts] == [[] for _ in texts]


def test_an_unknown_value_is_refused_wherever_it_is_planted() -> None:
    free = {"affinity", "claimTemplate", "clients", "labels", "limits", "nodeSelector", "requests"}
    tried = [
        place for place in mappings(DEFAULTS) if not free & set(place) and place[:2] != ("networkPolicy", "monitoring")
    ]
    for place in tried:
        wrong = deepcopy(DEFAULTS)
        inner = wrong
        for key in place:
            inner = inner[key]
        inner["plantedField"] = 1
        assert list(Draft7Validator(SCHEMA).iter_errors(wrong)), place


@pytest.mark.parametrize(
    "values",
    [
        {"image": {"repository": "glm-aria:1.0"}},
        {"image": {"digest": "sha256:1"}},
        {"node": {"follow": ["http://models.example/list"]}},
        {"node": {"set": "Site 1"}},
        {"node": {"window": "22-6"}},
        {"node": {"disk": "much"}},
        {"node": {"labels": {"gpu": True}}},
        {"node": {"storage": {"hostPath": "models"}}},
        {"serve": {"auth": "off"}},
        {"serve": {"storage": {"size": "200GB"}}},
        {"scheduler": {"replicas": 0}},
        {"user": 0},
        {"networkPolicy": {"clients": []}},
    ],
)
def test_values_that_are_wrong_are_refused(values: dict[str, Any]) -> None:
    assert errors(values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "node.desired"),
        ({**DESIRED, "scheduler": {"enabled": True, "replicas": 2}}, "scheduler.redisSecret"),
        ({**DESIRED, "scheduler": {"enabled": True}, "scaling": {"enabled": True}}, "scheduler.redisSecret"),
        ({**DESIRED, "scaling": {"enabled": True}}, "scheduler.enabled"),
    ],
)
def test_what_does_not_fit_together_is_refused_with_what_to_set(
    values: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump(values))
    assert errors(values) == []
    with pytest.raises(AssertionError, match=words):
        render(path)


def test_names_are_those_of_the_release(tmp_path: Path) -> None:
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump(DESIRED))
    names = {one["metadata"]["name"] for one in parsed(render(path, name="edge"))}
    assert names == {"edge-glm-aria-desired", "edge-glm-aria-node", "edge-glm-aria-serve"}


def test_text_of_the_user_stays_as_it_is(tmp_path: Path) -> None:
    desired = '# "quoted" {{ .Values.user }}: $x\n[[model]]\n  ref = "org/name@v1"\n\n[budget]\n  disk = "1TB"\n'
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump({"node": {"desired": desired, "labels": {"a": "1", "b": 'q"u,o te'}}}))
    made = parsed(render(path))
    assert [one["data"]["desired.toml"] for one in made if one["kind"] == "ConfigMap"] == [desired]
    [node] = [one for one in made if one["kind"] == "DaemonSet"]
    assert '--label=b=q"u,o te' in node["spec"]["template"]["spec"]["containers"][0]["args"]


def mappings(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The keys that lead to each mapping."""
    if isinstance(value, dict):
        yield at
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from mappings(child, (*at, key))


def merged(into: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Values over the defaults, as Helm lays them."""
    return {
        key: merged(into[key], values[key])
        if isinstance(into.get(key), dict) and isinstance(values.get(key), dict)
        else deepcopy(values.get(key, into.get(key)))
        for key in {**into, **values}
    }
