"""Every manifest is what its kind allows; an error that is planted in any kind is refused."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from copy import deepcopy
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from tests.kubernetes.manifests import (
    CHART,
    FOLDERS,
    HERE,
    ROOT,
    Manifest,
    charted,
    containers,
    errors_of,
    examples,
    files,
    kustomized,
    parsed,
    pods,
    render,
    rules_of_serve,
)

Place = tuple[str | int, ...]

FREE = {"annotations", "data", "labels", "limits", "matchLabels", "nodeSelector", "requests"}
"""Fields whose keys are the user's."""


@pytest.fixture(scope="module")
def everything() -> list[Manifest]:
    """All that the chart can make, and the examples."""
    return [*parsed(render(HERE / "everything.yaml")), *charted("base.yaml"), *charted("k3s-edge.yaml"), *examples()]


def test_no_manifest_has_an_error(everything: list[Manifest]) -> None:
    found = zip(everything, errors_of(everything), strict=True)
    assert {f"{one['kind']} {one['metadata']['name']}": errors for one, errors in found if errors} == {}


def test_an_unknown_field_is_refused_wherever_it_is_planted(everything: list[Manifest]) -> None:
    def planted(value: Any) -> Any:
        return {**value, "plantedField": "x"} if isinstance(value, dict) else None

    refused, accepted = tried(everything, planted)
    assert accepted == []
    assert refused == {one["kind"] for one in everything}


def test_a_value_of_another_type_is_refused_wherever_it_is_planted(everything: list[Manifest]) -> None:
    def planted(value: Any) -> Any:
        return {"planted": 1} if not isinstance(value, dict) else None

    refused, accepted = tried(everything, planted)
    assert accepted == []
    assert refused == {one["kind"] for one in everything}


def test_a_kind_that_there_is_not_is_refused(everything: list[Manifest]) -> None:
    wrong = [{**one, "kind": f"{one['kind']}s"} for one in everything]
    assert all("there is no" in errors[0] for errors in errors_of(wrong))


@pytest.mark.parametrize("name", FOLDERS)
def test_kustomize_makes_of_each_folder_what_the_chart_makes(name: str) -> None:
    folder = FOLDERS[name]
    expected = [manifest for manifest in charted(folder.values) if folder.has(manifest)]
    assert by_name(kustomized(ROOT / name)) == by_name(expected)


def test_the_folders_are_as_scripts_manifests_writes_them() -> None:
    for path, text in files().items():
        assert path.read_text() == text, f"run scripts/manifests: {path.relative_to(ROOT)} is not as the chart has it"
    assert {path for name in FOLDERS for path in (ROOT / name).iterdir()} == set(files())
    assert (CHART / "files" / "serve-rules.yaml").read_text() == rules_of_serve(), "run scripts/manifests"


def test_kustomize_refuses_an_unknown_field_of_its_own(tmp_path: Path) -> None:
    for name in FOLDERS:
        copytree(ROOT / name, tmp_path / name)
        with (tmp_path / name / "kustomization.yaml").open("a") as file:
            file.write("plantedField: x\n")
        with pytest.raises(AssertionError, match="plantedField"):
            kustomized(tmp_path / name)


def test_the_example_of_an_overlay_puts_its_own_in_place_of_what_the_base_has() -> None:
    made = kustomized(ROOT / "examples" / "overlay", is_overlay=True)
    assert not any(errors_of(made))
    assert {one["metadata"]["namespace"] for one in made} == {"models"}
    assert {one["image"] for one in containers(made)} == {"registry.example/glm-aria:1.0.0"}
    [desired] = [one["data"]["desired.toml"] for one in made if one["kind"] == "ConfigMap"]
    assert "AutoGLM" in desired
    [node] = [one for one in containers(made) if one["name"] == "node"]
    assert node["args"][-1] == "--label=zone=rack-7"


def test_all_pods_are_of_the_restricted_kind_but_for_the_folder_of_a_node(everything: list[Manifest]) -> None:
    for pod in pods(everything):
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}
        assert pod["automountServiceAccountToken"] is False
        for volume in pod["volumes"]:
            allowed = {"configMap", "emptyDir", "ephemeral", "persistentVolumeClaim", "secret"}
            assert volume.keys() <= {"name", *allowed} or volume["hostPath"]["path"].startswith(("/var/lib/", "/mnt/"))
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False
            assert own["readOnlyRootFilesystem"] is True
            assert own["capabilities"]["drop"] == ["ALL"]
            assert not any("hostPort" in port for port in container.get("ports", []))
            if container["name"] == "prepare":  # asked for by storage.prepare, and root with one capability
                assert own["capabilities"]["add"] == ["CHOWN"]
            else:
                assert not own.keys() & {"runAsUser", "runAsNonRoot", "privileged", "seccompProfile"}
                assert "add" not in own["capabilities"]


def test_pods_with_a_claim_instead_of_a_folder_have_no_exception() -> None:
    made = parsed(render(HERE / "everything.yaml"))
    assert not any("hostPath" in volume for pod in pods(made) for volume in pod["volumes"])
    assert {one["name"] for one in containers(made)} == {"node", "serve", "scheduler", "token"}


def test_a_folder_of_the_node_is_mounted_read_only_by_who_reads_it() -> None:
    for pod in pods(examples()):
        shared = {volume["name"] for volume in pod["volumes"] if "hostPath" in volume}
        mounts = [mount for one in containers_of(pod) for mount in one["volumeMounts"] if mount["name"] in shared]
        assert all(mount.get("readOnly") for mount in mounts)


def test_names_of_ports_claims_and_selectors_lead_somewhere(everything: list[Manifest]) -> None:
    made = parsed(render(HERE / "everything.yaml"))
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in made if "template" in one.get("spec", {})]
    ports = {port["name"] for one in containers(made) for port in one.get("ports", [])}
    names = {(one["kind"], one["metadata"]["name"]) for one in made}
    for one in made:
        spec = one.get("spec", {})
        chosen = spec.get("podSelector", spec.get("selector"))
        if chosen and one["kind"] != "ServiceMonitor":
            chosen = chosen.get("matchLabels", chosen)
            assert any(chosen.items() <= one_of.items() for one_of in labels), one["metadata"]["name"]
        if one["kind"] == "Service":
            assert {port["targetPort"] for port in spec["ports"]} <= ports
        if one["kind"] == "ScaledObject":
            assert ("Deployment", spec["scaleTargetRef"]["name"]) in names
    for pod in pods(made):
        assert ("ServiceAccount", pod["serviceAccountName"]) in names
        mounted = {mount["name"] for one in containers_of(pod) for mount in one["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}
        for volume in pod["volumes"]:
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in names
            if "persistentVolumeClaim" in volume:
                assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in names


def test_what_a_pod_may_reach_is_bounded_by_the_values() -> None:
    def open_rules(path: Path) -> list[Manifest]:
        policies = [one for one in parsed(render(path)) if one["kind"] == "NetworkPolicy"]
        return [rule for one in policies for rule in one["spec"]["egress"] if "to" not in rule]

    assert open_rules(HERE / "everything.yaml") == []
    assert open_rules(CHART / "values" / "base.yaml"), "names have addresses that nobody knows beforehand"


def tried(manifests: list[Manifest], plant: Callable[[Any], Any]) -> tuple[set[str], list[Hashable]]:
    """The kinds in which an error was refused, and where one was not. `plant` makes the error of a value, or None."""
    planted: dict[Hashable, Manifest] = {}
    for manifest in manifests:
        for place, value in places(manifest):
            wrong = plant(value)
            if wrong is not None and not (isinstance(value, dict) and is_free(manifest, place)):
                where = (manifest["kind"], *(key for key in place if isinstance(key, str)))
                planted.setdefault(where, put(manifest, place, wrong))
    found = dict(zip(planted, errors_of(list(planted.values())), strict=True))
    kinds = {planted[where]["kind"] for where, errors in found.items() if errors}
    return kinds, [where for where, errors in found.items() if not errors]


def places(value: Any, at: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Each value in a manifest but its kind and version, with the keys that lead there."""
    if at not in (("kind",), ("apiVersion",)):
        yield at, value
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*at, key))


def is_free(manifest: Manifest, place: Place) -> bool:
    """Tell whether the keys of a mapping are the user's."""
    is_trigger = manifest["kind"] == "ScaledObject" and len(place) > 1 and place[-1] == "metadata"
    is_selector = manifest["kind"] == "Service" and place == ("spec", "selector")
    return bool(place) and (place[-1] in FREE or is_trigger or is_selector)


def put(manifest: Manifest, place: Place, value: Any) -> Manifest:
    """The manifest with another value there."""
    changed = deepcopy(manifest)
    if not place:
        return dict(value)
    inner: Any = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return changed


def by_name(manifests: list[Manifest]) -> dict[tuple[str, str], Manifest]:
    """The manifests by their kinds and names, which are all different."""
    named = {(one["kind"], one["metadata"]["name"]): one for one in manifests}
    assert len(named) == len(manifests)
    return named


def containers_of(pod: Manifest) -> list[Manifest]:
    """All containers of a pod."""
    return [*pod.get("initContainers", []), *pod["containers"]]
