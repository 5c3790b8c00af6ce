"""`glm-aria serve --follow LIST`: the models of the list are in the cache, and stay, while the server runs."""

from __future__ import annotations

from pathlib import Path

from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.machine.machine import Machine, content, until
from tests.serve.conftest import Users
from tests.serve.servers import Server

FILES = {"config.json": b"{}", "a.safetensors": b"a" * 1000, "b.bin": b"b" * 500}
OTHER = {"config.json": b'{"other": 1}'}


def has(machine: Machine, name: str, files: dict[str, bytes]) -> bool:
    """Whether the branch of a model is in the cache with these files."""
    repo = machine.cache / f"models--{name.replace('/', '--')}"
    ref = repo / "refs" / "main"
    return ref.exists() and content(repo / "snapshots" / ref.read_text()) == files


def test_a_list_is_kept_and_read_again_when_it_changes(
    machine: Machine, hub: LoopbackHub, users: Users, tmp_path: Path
) -> None:
    hub.add(Repo("model", "org/other", OTHER))
    models = tmp_path / "models.txt"
    models.write_text("org/m exclude=*.bin\n")
    server = Server.start(machine, "--no-mirrors", "--follow", str(models))
    wanted = {path: data for path, data in FILES.items() if not path.endswith(".bin")}
    assert until(lambda: has(machine, "org/m", wanted))
    assert machine.run("serve", "evict", "org/m").code == 80
    models.write_text("org/m exclude=*.bin\norg/other\n")
    assert until(lambda: has(machine, "org/other", OTHER), 30)
    hub.stop_face("hub")
    assert users(server).get("/org/m/resolve/main/a.safetensors") == FILES["a.safetensors"]
    server.stop()


def test_a_list_that_is_wrong_or_asks_for_folders_is_refused(
    machine: Machine, hub: LoopbackHub, tmp_path: Path
) -> None:
    models = tmp_path / "models.txt"
    for text in ("", "../x\n", "org/m local-dir=here\n"):
        models.write_text(text)
        done = machine.run("serve", "--root", machine.root, "--listen", "127.0.0.1:0", "--follow", str(models))
        assert done.code == 2, text
    assert hub.log.requests(method="GET", path="*/resolve*") == []


def test_a_list_names_a_quantisation(machine: Machine, hub: LoopbackHub, tmp_path: Path) -> None:
    files = {"m-Q4_K_M.gguf": b"4" * 100, "m-Q8_0.gguf": b"8" * 200, "config.json": b"{}"}
    hub.add(Repo("model", "org/q", files))
    models = tmp_path / "models.txt"
    models.write_text("org/q:Q4_K_M include=*.json\n")
    server = Server.start(machine, "--no-mirrors", "--follow", str(models))
    wanted = {path: data for path, data in files.items() if "Q8" not in path}
    assert until(lambda: has(machine, "org/q", wanted))
    server.stop()
