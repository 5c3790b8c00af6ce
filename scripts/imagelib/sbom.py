"""The bill of materials of an image: CycloneDX 1.6, of the packages of Debian and of Python that are in it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from importlib.metadata import Distribution
from typing import Any
from urllib.parse import quote

from scripts.imagelib.layout import moment
from scripts.imagelib.tree import DebianPackage


def bill(packages: Iterable[DebianPackage], wheels: Iterable[Distribution], image: str, epoch: int) -> bytes:
    """The document, for the image of that name; the same parts make the same one."""
    parts = sorted([*map(_of_debian, packages), *map(_of_python, wheels)], key=lambda one: str(one["purl"]))
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": moment(epoch),
            "component": {"type": "container", "bom-ref": "image", "name": "glm-aria", "version": image},
        },
        "components": parts,
        "dependencies": [{"ref": "image", "dependsOn": [one["bom-ref"] for one in parts]}],
    }
    name = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(document, sort_keys=True))
    return json.dumps({**document, "serialNumber": f"urn:uuid:{name}"}, indent=1, sort_keys=True).encode()


def _of_debian(package: DebianPackage) -> dict[str, Any]:
    purl = f"pkg:deb/debian/{package.name}@{quote(package.version, safe='.~-')}?arch={package.architecture}"
    return {"type": "library", "bom-ref": purl, "name": package.name, "version": package.version, "purl": purl}


def _of_python(wheel: Distribution) -> dict[str, Any]:
    name = wheel.metadata["Name"].lower().replace("_", "-")
    purl = f"pkg:pypi/{name}@{quote(wheel.version, safe='.-')}"
    found = {"type": "library", "bom-ref": purl, "name": name, "version": wheel.version, "purl": purl}
    (licence,) = wheel.metadata.get_all("License-Expression") or (None,)
    return {**found, "licenses": [{"expression": licence}]} if licence else found
