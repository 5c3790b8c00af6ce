"""Makes a layout of what scripts/image has fetched: WORK/ARCH/debs and WORK/ARCH/site for each architecture."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from scripts.imagelib.build import Parts, build, labels, version_in
from scripts.imagelib.layout import Layout


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--arch", action="append", required=True)
    parser.add_argument("--revision", required=True)
    parser.add_argument("--epoch", type=int, required=True)
    parser.add_argument("target", type=Path)
    given = parser.parse_args()

    layout, images, began = Layout(given.target), [], time.monotonic()
    told: dict[str, str] = {}
    for architecture in given.arch:
        folder = given.work / architecture
        parts = Parts(architecture, folder / "debs", folder / "site")
        told = labels(version_in(parts.site), given.revision, given.epoch)
        built = build(parts, given.work, told, given.epoch)
        images.append(layout.image(built.layers, built.config, told))
        (given.target / f"sbom-{architecture}.cdx.json").write_bytes(built.bill)
        sizes = " + ".join(f"{len(layer.packed) / 1e6:.1f}" for layer in built.layers)
        print(f"{architecture}: {sizes} MB packed, made in {time.monotonic() - began:.0f} s")
    version = told["org.opencontainers.image.version"]
    # A tag has no `+`, which versions between releases have.
    print(f"oci:{given.target}:{version.replace('+', '-')}@{layout.finish(images, version.replace('+', '-'), told)}")


if __name__ == "__main__":
    main()
