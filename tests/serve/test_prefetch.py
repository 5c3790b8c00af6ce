"""`glm-aria serve prefetch` and `evict` beside a server that runs."""

from __future__ import annotations

import signal
from typing import Any

from tests.hub.content import generate
from tests.hub.loopback import LoopbackHub
from tests.hub.models import tiny_model
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.machine import Machine, content, until
from tests.serve.conftest import Users
from tests.serve.servers import Server

BIG = "big.safetensors"
FILES: dict[str, Any] = tiny_model(1, shard_size=1 << 20) | {BIG: generate(8 << 20, 7), "empty.txt": b""}


def asked(hub: LoopbackHub) -> list[str]:
    """The files of which bytes were asked for."""
    return [seen.file for seen in hub.log.requests(method="GET") if seen.file is not None]


def test_a_model_that_was_prefetched_is_here_for_every_client(
    server: Server, machine: Machine, hub: LoopbackHub, users: Users
) -> None:
    done = machine.run("serve", "prefetch", "org/m", "--json").ended(0)
    (model,) = done.document["data"]["models"]
    assert model["bytes_done"] == model["bytes_total"] > 9 << 20
    assert model["files"] == model["files_done"]
    before = len(asked(hub))
    user = users(server)
    assert user.hf("download", "org/m").returncode == 0
    assert user.hf("cache", "verify", "org/m").returncode == 0
    machine.run("serve", "prefetch", "org/m").ended(0)
    assert len(asked(hub)) == before
    machine.run("serve", "evict", "org/m", "--json").ended(0)
    assert machine.run("serve", "evict", "org/m").code == 66


def test_only_some_files(server: Server, machine: Machine, hub: LoopbackHub) -> None:
    done = machine.run("serve", "prefetch", "org/m@main", "--include", "*.json", "--json").ended(0)
    assert done.document["data"]["models"][0]["files"] == sum(path.endswith(".json") for path in FILES)
    assert BIG not in asked(hub)


def test_a_selection_that_matches_nothing_is_told(server: Server, machine: Machine) -> None:
    for detach in ((), ("--detach",)):
        assert machine.run("serve", "prefetch", "org/m", "--include", "*.gguf", *detach).code == 66


def test_what_is_here_is_not_told_as_to_be_fetched(server: Server, machine: Machine) -> None:
    machine.run("serve", "prefetch", "org/m").ended(0)
    assert "to fetch" not in machine.run("serve", "prefetch", "org/m", "--progress", "lines").ended(0).err


def test_which_server_is_meant(server: Server, machine: Machine, hub: LoopbackHub) -> None:
    other = machine.run("serve", "prefetch", "org/m", "--cache-dir", str(machine.home / "other"))
    assert other.code == 2
    assert server.url in other.err
    second = Server.start(machine, "--no-mirrors")
    both = machine.run("serve", "prefetch", "org/m", "--cache-dir", str(machine.cache))
    assert both.code == 2
    assert server.url in both.err
    assert second.url in both.err
    second.stop()


def test_one_for_other_machines_is_ours_by_a_name_of_loopback_too(machine: Machine, hub: LoopbackHub) -> None:
    machine.run("token", "create", "laptop").ended(0)
    server = Server.start(machine, "--no-mirrors", "--listen", "0.0.0.0:0")
    port = server.url.rpartition(":")[2]
    for host in ("127.0.0.1", "localhost"):
        machine.run("serve", "prefetch", "org/m", "--server", f"http://{host}:{port}/").ended(0)
    server.stop()


def test_what_has_no_room_is_refused_before_a_byte(machine: Machine, hub: LoopbackHub) -> None:
    server = Server.start(machine, "--no-mirrors", "--max-size", "5M")
    refused = machine.run("serve", "prefetch", "org/m", "--json")
    assert refused.code == 79
    assert "serve.max_size" in str(refused.document["errors"])
    assert asked(hub) == []
    server.stop()


def test_ctrl_c_gives_the_wish_back_and_keeps_what_has_arrived(
    server: Server, machine: Machine, hub: LoopbackHub
) -> None:
    hub.faces["cdn"].shape = Shape(total_rate=3e6)
    running = machine.start("serve", "prefetch", "org/m", "--progress", "json", "--json")
    assert until(lambda: BIG in asked(hub))
    running.signal(signal.SIGINT)
    assert running.end(20).code == 130
    hub.faces["cdn"].shape = Shape()
    machine.run("serve", "prefetch", "org/m").ended(0)


def test_detached_it_goes_on_by_itself(server: Server, machine: Machine, hub: LoopbackHub, users: Users) -> None:
    machine.run("serve", "prefetch", "org/m", "--detach").ended(0)
    repo = machine.cache / "models--org--m"
    ref = repo / "refs" / "main"
    assert until(lambda: ref.exists() and content(repo / "snapshots" / ref.read_text()).keys() == FILES.keys())
    hub.stop_face("hub")
    assert users(server).hf("download", "org/m").returncode == 0


def test_what_is_no_model_and_a_server_that_is_not_there(server: Server, machine: Machine) -> None:
    assert machine.run("serve", "prefetch", "org/nothing").code == 66
    assert machine.run("serve", "prefetch", "..").code == 2
    assert machine.run("serve", "prefetch", "org/m", "--server", "http://127.0.0.1:9").code == 2
    gone = {"GLM_ARIA_SERVE_TOKEN": "x"}
    assert machine.run("serve", "prefetch", "org/m", "--server", "http://127.0.0.1:9", env=gone).code == 69
    wrong = machine.run("serve", "prefetch", "org/m", "--server", server.url, env=gone)
    assert wrong.code == 77
    server.stop()
    assert machine.run("serve", "prefetch", "org/m").code == 2


def test_a_quantisation_and_a_variant_by_name(server: Server, machine: Machine, hub: LoopbackHub) -> None:
    files = {f"m-{name}.gguf": name.encode() * 100 for name in ("Q4_K_M", "Q8_0")}
    weights = {"model.safetensors": b"w" * 90, "model.fp16.safetensors": b"h" * 45}
    hub.add(Repo("model", "org/q", files | weights))
    done = machine.run("serve", "prefetch", "org/q:q4_k_m", "--json").ended(0)
    assert done.document["data"]["models"][0]["bytes_total"] == 600
    wrong = machine.run("serve", "prefetch", "org/q:Q5_0")
    assert wrong.code == 66
    assert "it has Q4_K_M, Q8_0" in wrong.err
    words = ("org/q", "--variant", "fp16", "--include", "*.safetensors")
    done = machine.run("serve", "prefetch", *words, "--json").ended(0)
    assert done.document["data"]["models"][0]["bytes_total"] == 45
    assert set(asked(hub)) == {"m-Q4_K_M.gguf", "model.fp16.safetensors"}
