"""Build the site into a folder: English at its top, Chinese in zh/."""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from scripts.sitelib.stage import StrayLinkError, menu, stage

REPO = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
LANGUAGES = ("en", "zh")


def configuration(folder: Path, language: str) -> dict[str, object]:
    """What this language adds to mkdocs.yml; the pages are written below the folder."""
    told = tomllib.loads((HERE / "site.toml").read_text("utf-8"))
    words = told["words"]
    places = stage(REPO, folder / "pages", language, words[language])
    up = "../" * words[language]["top"].count("/")
    tops = [{"lang": to, "name": words[to]["name"], "link": up + words[to]["top"]} for to in LANGUAGES]
    return {
        "INHERIT": str(HERE / "mkdocs.yml"),
        "docs_dir": str(folder / "pages"),
        "site_description": words[language]["about"],
        "theme": {"language": language, "custom_dir": str(HERE / "theme")},
        "extra": {"alternate": True, "languages": tops},
        "nav": menu(told["part"], language, places),
    }


def build(target: Path) -> int:
    """Build both languages at once, strictly: a link that leads nowhere is an error."""
    with tempfile.TemporaryDirectory(prefix="glm-aria-site.") as folder:
        # The dictionary of Chinese words is kept between two builds in the folder for temporary files, beside others'.
        environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "TMPDIR": folder}
        running = []
        for language in LANGUAGES:
            work = Path(folder, language)
            work.mkdir()
            (work / "mkdocs.yml").write_text(json.dumps(configuration(work, language)), "utf-8")
            words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-f", str(work / "mkdocs.yml")]
            words += ["-d", str(work / "site")]
            running.append(subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True))
        said = [process.communicate()[1] for process in running]
        if failed := [text for process, text in zip(running, said, strict=True) if process.returncode]:
            print(*failed, sep="\n", file=sys.stderr)
            return 1
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(Path(folder, "en", "site"), target)
        shutil.copytree(Path(folder, "zh", "site"), target / "zh")
    return 0


def is_replaceable(target: Path) -> bool:
    """Whether all that the folder holds is a site that was built before."""
    return target.is_dir() and (not any(target.iterdir()) or (target / "zh" / "search").is_dir())


def serve(target: Path, port: int) -> None:
    """Show the site to this machine until Ctrl-C."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(target))
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        print(f"http://127.0.0.1:{server.server_port}/ and http://127.0.0.1:{server.server_port}/zh/", flush=True)
        server.serve_forever()


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/site", description=(__doc__ or "").strip())
    parser.add_argument("folder", nargs="?", type=Path, default=REPO / "dist" / "site", help="dist/site")
    parser.add_argument("--serve", action="store_true", help="then show it on loopback")
    parser.add_argument("--port", type=int, default=8000, help="of --serve; 0 is any (8000)")
    options = parser.parse_args()
    if options.folder.exists() and not is_replaceable(options.folder):
        print(f"{options.folder} holds something else than a site; name another folder", file=sys.stderr)
        return 1
    try:
        failed = build(options.folder)
    except StrayLinkError as error:
        print(error, file=sys.stderr)
        return 1
    if options.serve and not failed:
        try:
            serve(options.folder, options.port)
        except KeyboardInterrupt:
            return 130
    return failed


if __name__ == "__main__":
    sys.exit(main())
