"""The manifests in deploy/kubernetes: rendered from the chart, written for kustomize, and validated."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml  # type: ignore[import-untyped]

from orchestrator.cli.main import main
from tests.clients.installs import made, node_modules, run

Manifest = dict[str, Any]

HERE = Path(__file__).parent
ROOT = HERE.parents[1] / "deploy" / "kubernetes"
CHART = ROOT / "chart"
EXAMPLES = tuple(sorted(path for path in (ROOT / "examples").rglob("*.yaml") if path.name != "kustomization.yaml"))
_GOPATH = Path("/usr/share/gocode")
_SOURCE = re.compile(r"^---\n# Source: (\S+)\n", re.MULTILINE)
_MADE = "# Made by scripts/manifests from the chart. Patch it in an overlay of your own.\n"


class Folder(NamedTuple):
    """A folder for kustomize: what of the chart is in it, with which values."""

    values: str
    kinds: frozenset[str] = frozenset()
    """Nothing but these; none: all."""

    def has(self, manifest: Manifest) -> bool:
        """Tell whether a manifest belongs there."""
        return not self.kinds or manifest["kind"] in self.kinds


FOLDERS = {
    "base": Folder("base.yaml"),
    "fleet": Folder("fleet.yaml"),
    "monitoring": Folder("monitoring.yaml", frozenset({"ServiceMonitor", "PrometheusRule"})),
    "scaling": Folder("scaling.yaml", frozenset({"ScaledObject"})),
}


def need(tool: str, package: str) -> None:
    """Skip a test where a program is missing that scripts/test installs."""
    if shutil.which(tool) is None:
        pytest.skip(f"there is no {tool}: install {package}")


@functools.cache
def renderer() -> Path:
    """The program that renders charts, built once for a user."""
    need("go", "golang-go")
    if not (_GOPATH / "src/github.com/Masterminds/sprig").is_dir() or not (_GOPATH / "src/sigs.k8s.io/yaml").is_dir():
        pytest.skip(
            "there is no sprig for Go: install golang-github-masterminds-sprig-dev and golang-k8s-sigs-yaml-dev"
        )
    source = HERE / "render" / "main.go"
    version = subprocess.run(["go", "version"], capture_output=True, check=True, timeout=60).stdout

    def install(folder: Path) -> None:
        folder.mkdir()
        # Without cgo it needs no compiler of C.
        ours = {"GO111MODULE": "off", "GOPATH": str(_GOPATH), "GOFLAGS": "", "CGO_ENABLED": "0"}
        env = {**os.environ, **ours, "GOCACHE": str(folder / "cache")}
        run("go", "build", "-o", str(folder / "render"), str(source), env=env)
        shutil.rmtree(folder / "cache")

    return made("render", source.read_bytes() + version, install) / "render"


def render(*values: Path, name: str = "glm-aria", namespace: str = "models", chart: Path = CHART) -> str:
    """The text of all templates of the chart. Raises AssertionError with what the chart says."""
    command = [str(renderer()), str(chart), name, namespace, *map(str, values)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def parsed(text: str) -> list[Manifest]:
    """The manifests in a text."""
    return [manifest for manifest in yaml.safe_load_all(text) if manifest is not None]


@functools.cache
def charted(values: str) -> list[Manifest]:
    """The manifests of the chart with a file of its folder of values."""
    return parsed(render(CHART / "values" / values))


def kustomized(folder: Path, *, is_overlay: bool = False) -> list[Manifest]:
    """What kustomize makes of a folder. An overlay needs a newer one than kubectl 1.20 has."""
    need("kubectl", "kubernetes-client")
    if is_overlay and "kustomizeVersion" not in _version_of_kubectl():
        pytest.skip("this kubectl does not say which kustomize it has; that of 1.20 is too old for an overlay")
    done = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return parsed(done.stdout)


def _version_of_kubectl() -> str:
    command = ["kubectl", "version", "--client", "--output=json"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def errors_of(manifests: Sequence[Manifest]) -> list[list[str]]:
    """What is wrong with each manifest, by the schema of its kind. Unknown fields are wrong."""
    need("npm", "npm")
    modules = node_modules(HERE / "models")
    command = ["node", str(HERE / "models" / "validate.mjs"), str(modules)]
    text = json.dumps(manifests)
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found: list[list[str]] = json.loads(done.stdout)
    return found


def examples() -> list[Manifest]:
    """The manifests of all examples."""
    return [manifest for path in EXAMPLES for manifest in parsed(path.read_text())]


def containers(manifests: Iterable[Manifest]) -> Iterable[Manifest]:
    """Each container, and each that runs before one."""
    for pod in pods(manifests):
        yield from pod.get("initContainers", [])
        yield from pod["containers"]


def pods(manifests: Iterable[Manifest]) -> Iterable[Manifest]:
    """The spec of each pod."""
    for manifest in manifests:
        if manifest["kind"] in ("DaemonSet", "Deployment"):
            yield manifest["spec"]["template"]["spec"]


def files() -> Mapping[Path, str]:
    """What the chart says of the folders for kustomize: paths and texts."""
    made_files: dict[Path, str] = {}
    for name, folder in FOLDERS.items():
        names = []
        for source, text in _sources(render(CHART / "values" / folder.values)):
            kept = [one for one in _manifests(text) if folder.has(yaml.safe_load(one))]
            if kept:
                names.append(source)
                made_files[ROOT / name / source] = _MADE + "---\n".join(kept)
        listed = "".join(f"  - {one}\n" for one in sorted(names))
        made_files[ROOT / name / "kustomization.yaml"] = (
            f"{_MADE}apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n{listed}"
        )
    return made_files


def rules_of_serve() -> str:
    """The groups of templates/prometheus-alerts.yml, as the chart has them in a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "alerts.yml"
        assert main(["render", "prometheus-alerts.yml", "--set", "job=glm-aria-serve", "-o", str(path)]) == 0
        lines = path.read_text().partition("groups:\n")[2].splitlines()
    return "".join(f"{line[2:]}\n" for line in lines)


def _sources(text: str) -> Iterable[tuple[str, str]]:
    parts = _SOURCE.split(text)
    return zip(parts[1::2], parts[2::2], strict=True)


def _manifests(text: str) -> Iterable[str]:
    for one in re.split(r"^---\n", text, flags=re.MULTILINE):
        lines = [line for line in one.splitlines() if line.strip()]
        if lines:
            yield "\n".join(lines) + "\n"
