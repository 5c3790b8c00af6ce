"""Writes the folders for kustomize anew, as the chart has them; scripts/manifests calls it."""

from __future__ import annotations

from tests.kubernetes.manifests import CHART, FOLDERS, ROOT, files, rules_of_serve


def write() -> None:
    """Write what the chart says, and remove what it no longer has."""
    (CHART / "files" / "serve-rules.yaml").write_text(rules_of_serve())
    texts = files()
    for name in FOLDERS:
        for old in (ROOT / name).glob("*.yaml"):
            if old not in texts:
                old.unlink()
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    write()
