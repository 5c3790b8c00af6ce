"""Makes an image: one layer of Debian, one of Python packages, and what a container runs."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

from scripts.imagelib.layout import Json, Layer, layer_of, moment
from scripts.imagelib.sbom import bill
from scripts.imagelib.tree import UNNEEDED, DebianPackage, Entry, Tree, merged, of_folder, unpacked, with_parents, write

USER, HOME = 10001, "/var/lib/glm-aria"
PYTHON = "python3.13"
_SITE = f"usr/local/lib/{PYTHON}/dist-packages"
_START = "#!/usr/bin/python3 -I\nimport sys\n\nfrom orchestrator.cli.main import program\n\nsys.exit(program())\n"
_LOADERS = {
    "amd64": ("x86_64", "usr/lib64/ld-linux-x86-64.so.2"),
    "arm64": ("aarch64", "usr/lib/ld-linux-aarch64.so.1"),
}
_CERTIFICATES = "usr/share/ca-certificates/mozilla/"


@dataclass(frozen=True, slots=True)
class Parts:
    """What an image of an architecture is made of: a folder of packages, and one of installed wheels."""

    architecture: str
    debs: Path
    site: Path


@dataclass(frozen=True, slots=True)
class Built:
    """An image: its layers and its bill of materials."""

    layers: list[Layer]
    bill: bytes
    config: Json


def labels(version: str, revision: str, epoch: int) -> dict[str, str]:
    """The annotations that image-spec has names for."""
    told = {
        "created": moment(epoch),
        "title": "glm-aria",
        "description": "Fetch large models with aria2, and prove every byte",
        "licenses": "Apache-2.0",
        "version": version,
        "revision": revision,
    }
    return {f"org.opencontainers.image.{name}": text for name, text in told.items()}


def build(parts: Parts, work: Path, told: dict[str, str], epoch: int) -> Built:
    """Make the layers. What is compiled for Python is compiled by that of the image, where this machine can run it."""
    packages, trees = [], []
    for deb in sorted(parts.debs.glob("*.deb")):
        package, tree = unpacked(deb)
        if package.name not in UNNEEDED:
            packages.append(package)
            trees.append(tree)
    base = merged(trees)
    base |= _own_files(base, packages)
    site = {**of_folder(parts.site, _SITE), "usr/bin/glm-aria": Entry.file(_START.encode(), 0o755)}
    root = work / f"root-{parts.architecture}"
    write(with_parents({**base, **site}), root)
    compiled = _compiled(root, parts.architecture)
    for tree, folder in ((base, "usr/lib/"), (site, _SITE)):
        tree.update({name: entry for name, entry in compiled.items() if name.startswith(folder)})
    shutil.rmtree(root)
    state = {HOME.strip("/"): Entry.folder(0o750, USER)}
    wheels = list(distributions(path=[str(parts.site)]))
    return Built(
        [layer_of(with_parents(base), epoch), layer_of({**_alone(site, base), **state}, epoch)],
        bill(packages, wheels, told["org.opencontainers.image.version"], epoch),
        _config(parts.architecture, told, epoch),
    )


def _alone(site: Tree, base: Tree) -> Tree:
    """The files of the upper layer; folders that the lower one has are not said again."""
    below = with_parents(base)
    return {name: entry for name, entry in with_parents(site).items() if name in site or name not in below}


def _own_files(base: Tree, packages: Sequence[DebianPackage]) -> Tree:
    """What scripts of packages would make."""
    bundle = b"".join(entry.content for name, entry in sorted(base.items()) if name.startswith(_CERTIFICATES))
    users = f"root:x:0:0::/root:/sbin/nologin\nglm-aria:x:{USER}:{USER}::{HOME}:/sbin/nologin\n"
    users += "nobody:x:65534:65534::/nonexistent:/sbin/nologin\n"
    groups = f"root:x:0:\nglm-aria:x:{USER}:\nnogroup:x:65534:\n"
    return {
        "etc/passwd": Entry.file(users.encode()),
        "etc/group": Entry.file(groups.encode()),
        # An engine puts its own in their place.
        "etc/hosts": Entry.file(b"127.0.0.1 localhost\n::1 localhost\n"),
        "etc/resolv.conf": Entry.file(b""),
        "etc/nsswitch.conf": Entry.file(b"hosts: files dns\n"),
        "etc/ssl/certs/ca-certificates.crt": Entry.file(bundle),
        "tmp": Entry.folder(0o1777),
        "root": Entry.folder(0o700),
        # As images without dpkg have it, for programs that look for packages with known faults.
        **{f"var/lib/dpkg/status.d/{one.name}": Entry.file(one.control) for one in packages},
    }


def _compiled(root: Path, architecture: str) -> Tree:
    """The byte code of all modules: a container with a read-only root would compile them at each start."""
    machine, loader = _LOADERS[architecture]
    if platform.machine() == machine:
        libraries = root / "usr/lib" / f"{machine}-linux-gnu"
        words: list[str | Path] = [root / loader, "--library-path", libraries, root / "usr/bin" / PYTHON]
        env = {"PYTHONHOME": str(root / "usr")}
    else:
        words, env = [PYTHON], {}
        try:
            subprocess.run([*words, "--version"], capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            print(f"without {PYTHON} nothing is compiled for {architecture}: it starts later", file=sys.stderr)
            return {}
    folders = [root / "usr/lib" / PYTHON, root / "usr/lib/python3/dist-packages", root / _SITE]
    options = ["-q", "-f", "--invalidation-mode", "unchecked-hash", "-s", str(root), "-p", "/"]
    there = [folder for folder in folders if folder.is_dir()]
    # Templates of packages that are no modules do not compile, and need not.
    subprocess.run(
        [*words, "-m", "compileall", *options, *there], env={**os.environ, **env, "PYTHONHASHSEED": "0"}, check=False
    )
    made: Tree = {}
    for path in root.rglob("__pycache__/*.pyc"):
        made[str(path.relative_to(root))] = Entry.file(path.read_bytes())
        made[str(path.parent.relative_to(root))] = Entry.folder()
    return made


def _config(architecture: str, told: dict[str, str], epoch: int) -> Json:
    env = {
        "PATH": "/usr/local/bin:/usr/bin",
        "HOME": HOME,
        "HF_HOME": HOME,
        "LANG": "C.UTF-8",
        "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
    }
    return {
        "created": moment(epoch),
        "architecture": architecture,
        "os": "linux",
        "config": {
            "User": f"{USER}:{USER}",
            "Env": [f"{name}={value}" for name, value in env.items()],
            "Entrypoint": ["/usr/bin/glm-aria"],
            "WorkingDir": HOME,
            "Volumes": {HOME: {}},
            "StopSignal": "SIGTERM",
            "Labels": told,
        },
        "history": [
            {"created": moment(epoch), "created_by": "packages of Debian"},
            {"created": moment(epoch), "created_by": "glm-aria and packages of Python"},
        ],
    }


def version_in(site: Path) -> str:
    """The version of glm-aria among installed wheels."""
    (own,) = (one for one in distributions(path=[str(site)]) if _name(one) == "glm-aria")
    return own.version


def _name(one: Distribution) -> str:
    return str(one.metadata["Name"])
