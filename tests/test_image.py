"""What scripts/image makes of packages: the whole image is made and run by scripts/image --try."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from scripts.imagelib.layout import Layout, layer_of
from scripts.imagelib.sbom import bill
from scripts.imagelib.tree import Entry, Tree, unpacked, with_parents, write

CONTROL = "Package: small\nVersion: 1:2.0+b1\nArchitecture: all\nMaintainer: nobody\nDescription: small\n"


@pytest.fixture
def deb(tmp_path: Path) -> Path:
    """A real package."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("there is no dpkg-deb")
    tree = tmp_path / "small"
    for name, text in {
        "DEBIAN/control": CONTROL,
        "usr/bin/small": "#!/bin/sh\n",
        "usr/share/doc/small/copyright": "free\n",
        "usr/share/doc/small/changelog.gz": "x",
        "usr/share/man/man1/small.1.gz": "x",
    }.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tree / "usr/bin/small").chmod(0o755)
    (tree / "usr/bin/other").symlink_to("small")
    made = tmp_path / "small.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, made], check=True, capture_output=True)
    return made


def test_a_package_gives_its_files_and_no_manual(deb: Path) -> None:
    package, tree = unpacked(deb)
    assert (package.name, package.version, package.architecture) == ("small", "1:2.0+b1", "all")
    files = {name for name, entry in tree.items() if entry.kind != tarfile.DIRTYPE}
    assert files == {"usr/bin/small", "usr/bin/other", "usr/share/doc/small/copyright"}
    assert (tree["usr/bin/small"].mode & 0o777, tree["usr/bin/other"].target) == (0o755, "small")


def test_a_bill_names_its_packages_and_is_the_same_each_time(deb: Path) -> None:
    package, _ = unpacked(deb)
    made = bill([package], [], "1.0", 0)
    assert made == bill([package], [], "1.0", 0)
    (part,) = json.loads(made)["components"]
    assert part["purl"] == "pkg:deb/debian/small@1%3A2.0%2Bb1?arch=all"


TREE: Tree = {"usr/bin/x": Entry.file(b"x", 0o755), "var/state": Entry.folder(0o750, 10001)}


def test_the_same_files_are_the_same_layer_of_one_moment() -> None:
    layer = layer_of(with_parents(TREE), 1_700_000_000)
    again = layer_of(dict(reversed(with_parents(TREE).items())), 1_700_000_000)
    assert layer == again
    plain = gzip.decompress(layer.packed)
    assert layer.diff_id == f"sha256:{hashlib.sha256(plain).hexdigest()}"
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        assert archive.getnames() == ["usr", "usr/bin", "usr/bin/x", "var", "var/state"]
        assert {member.mtime for member in archive} == {1_700_000_000}
        assert archive.getmember("var/state").uid == 10001


def test_a_layout_holds_what_its_digests_say(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layer = layer_of(with_parents(TREE), 0)
    config = {"os": "linux", "architecture": "amd64", "config": {"User": "10001"}}
    layout.finish([layout.image([layer], config, {})], "1.0", {})
    for blob in (tmp_path / "blobs" / "sha256").iterdir():
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    (manifest,) = layout.images()
    assert json.loads(layout.blob(manifest["config"]))["rootfs"]["diff_ids"] == [layer.diff_id]
    assert layout.blob(manifest["layers"][0]) == layer.packed


def test_files_are_written_as_they_are(tmp_path: Path) -> None:
    write(with_parents({**TREE, "usr/bin/y": Entry(tarfile.SYMTYPE, 0o777, target="x")}), tmp_path / "root")
    assert (tmp_path / "root/usr/bin/y").read_bytes() == b"x"
    assert (tmp_path / "root/usr/bin/x").stat().st_mode & 0o777 == 0o755


def test_only_an_image_is_replaced_by_another(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").write_text("dear")
    script = Path(__file__).parents[1] / "scripts" / "image"
    ended = subprocess.run(
        ["sh", script, "--arch", "none", "home"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode != 0
    assert f"{tmp_path}/home is there, and is no image" in ended.stderr
    assert (tmp_path / "home" / "letter").read_text() == "dear"
