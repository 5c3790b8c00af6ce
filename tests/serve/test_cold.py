"""Clients as processes, of a server that has nothing yet: each file is fetched once, whoever asks, and is right."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.hub.content import generate
from tests.hub.faults import Fault
from tests.hub.log import RequestLog
from tests.hub.loopback import LoopbackHub
from tests.hub.models import many_files, tiny_model
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.fixtures import wanted
from tests.machine.machine import Machine, content, until
from tests.serve.conftest import Users
from tests.serve.servers import Client, Server, hf, together

BIG = "big.safetensors"
FILES: dict[str, Any] = tiny_model(1, shard_size=1 << 20) | {BIG: generate(24 << 20, 7), "empty.txt": b""}
EARLY = "huggingface-cli/2.4.0; hf_hub/2.4.0; python/3.11.2"
"""The User-Agent of a client that may have bytes before their proof."""
PLAIN = "unknown/None; hf_hub/2.4.0; python/3.11.2"
"""That of one that may not, and that asks again."""


MOST = 1.3
"""Bytes that the hub may send, by the size. What it put into the kernel's buffers when a range is given to another
connection counts as sent, and is some MB of these 30; a second download would be twice the size."""


def size(repo: Repo) -> int:
    """The bytes of a repo."""
    return repo.commits[repo.head].size


def sent(hub: LoopbackHub) -> int:
    """The bytes of files that the hub's faces sent."""
    hub.log.settle()
    return sum(seen.bytes_sent for seen in hub.log.requests(method="GET") if seen.file is not None)


def by_hf(user: Client) -> dict[str, bytes]:
    done = user.hf("download", "org/m")
    assert done.returncode == 0, done.stdout
    assert user.hf("cache", "verify", "org/m").returncode == 0
    (folder,) = (user.cache / "models--org--m" / "snapshots").iterdir()
    return content(folder)


def by_snapshot_download(user: Client) -> dict[str, bytes]:
    done = user.python("import huggingface_hub as h; print(h.snapshot_download('org/m'))")
    assert done.returncode == 0, done.stdout
    return content(Path(done.stdout.strip().splitlines()[-1]))


def by_curl(user: Client) -> dict[str, bytes]:
    return {path: user.get(f"/org/m/resolve/main/{path}") for path in FILES}


def by_pull(user: Client) -> dict[str, bytes]:
    command = (sys.executable, "-m", "orchestrator.cli.main", "pull", "--root", user.url, "--no-mirrors", "org/m", "-q")
    (user.folder / "run").mkdir(mode=0o700)
    env = {"PYTHONPATH": str(Path(__file__).parents[2]), "XDG_RUNTIME_DIR": str(user.folder / "run"), "HF_TOKEN": ""}
    done = user.run(*command, **env)
    assert done.returncode == 0, done.stdout
    return content(Path(done.stdout.strip().splitlines()[-1]))


CLIENTS: list[Callable[[Client], dict[str, bytes]]] = [by_hf, by_snapshot_download, by_curl, by_pull]
"""`tests/clients/test_serve.py` has the others."""


@pytest.mark.parametrize("fetch", CLIENTS, ids=lambda fetch: fetch.__name__)
def test_a_client_of_an_empty_cache(
    fetch: Callable[[Client], dict[str, bytes]], hub: LoopbackHub, server: Server, users: Users, repo: Repo
) -> None:
    assert fetch(users(server)) == wanted(repo)
    assert sent(hub) <= MOST * size(repo)
    # Again, for another user: the hub sends nothing.
    hub.log.reset()
    assert fetch(users(server)) == wanted(repo)
    assert sent(hub) == 0


def test_the_cache_is_that_of_pull_and_of_hf(
    machine: Machine, hub: LoopbackHub, server: Server, users: Users, repo: Repo
) -> None:
    by_hf(users(server))
    server.stop()
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)
    checked = machine.hf("cache", "verify", "org/m", HF_ENDPOINT=hub.url)
    assert checked.returncode == 0, checked.stdout
    hub.log.reset()
    done = machine.pull("org/m", "--no-mirrors", env={"HF_TOKEN": None}).ended(0)
    assert {file["state"] for file in done.model["files"]} == {"present"}
    assert sent(hub) == 0
    assert [*machine.stage.iterdir()] == []


def test_several_at_once_cause_one_download(
    machine: Machine, hub: LoopbackHub, server: Server, users: Users, repo: Repo
) -> None:
    hub.faces["cdn"].shape = Shape(total_rate=20e6)
    ready = [users(server) for _ in range(3)]
    plain = [user.start("curl", "-sS", "--fail", "-o", "got", f"{user.url}/org/m/resolve/main/{BIG}") for user in ready]
    for done in together([users(server).start(*hf("download", "org/m")) for _ in range(2)] + plain):
        assert done.returncode == 0, done.stdout
    assert all((user.folder / "got").read_bytes() == wanted(repo)[BIG] for user in ready)
    assert sent(hub) <= MOST * size(repo)


def test_modelscope_sends_what_it_has(make_hub: Any, machine: Machine, users: Users, repo: Repo) -> None:
    """The other catalog lists the same bytes, and answers before the root has sent them all."""
    hub = make_hub(repo)
    scope = hub.modelscope(aliases={"org/m": "org/m"})
    hub.faces["cdn"].shape = Shape(total_rate=1e6)
    server = Server.start(machine, "--mirror", f"modelscope+{scope.url}")
    assert users(server).get(f"/org/m/resolve/main/{BIG}") == wanted(repo)[BIG]
    assert hub.log.bytes_sent(face="modelscope-cdn", file=BIG) > len(FILES[BIG]) // 2
    server.stop()


def test_many_small_files(make_hub: Any, machine: Machine, users: Users) -> None:
    repo = Repo("model", "org/m", many_files(300))
    hub = make_hub(repo)
    server = Server.start(machine, "--no-mirrors")
    assert by_hf(users(server)) == wanted(repo)
    assert sent(hub) <= MOST * size(repo)
    server.stop()


def test_small_files_come_before_they_are_asked_for(make_hub: Any, machine: Machine, users: Users) -> None:
    repo = Repo("model", "org/m", many_files(100))
    hub = make_hub(repo)
    server = Server.start(machine, "--no-mirrors")
    paths = list(repo.commits[repo.head].files)
    user = users(server)

    def asked(log: RequestLog) -> set[str | None]:
        return {seen.file for seen in log.requests(method="GET", status=200)} & set(paths)

    for path in paths[:2]:
        user.get(f"/org/m/resolve/main/{path}")
    assert asked(hub.log) == set(paths[:2])
    user.get(f"/org/m/resolve/main/{paths[2]}")
    assert hub.log.wait_for(lambda log: asked(log) == set(paths[:19]))
    hub.fault(Fault("status", status=503), face="hub")
    for path in paths[:19]:
        assert user.get(f"/org/m/resolve/main/{path}") == wanted(repo)[path]
    server.stop()


def test_heads_and_listings_fetch_nothing(hub: LoopbackHub, server: Server, users: Users) -> None:
    user = users(server)
    for path in FILES:
        done = user.run("curl", "-sSI", f"{user.url}/org/m/resolve/main/{path}")
        assert "HTTP/1.1 200" in done.stdout
    user.get("/api/models/org/m/tree/main?recursive=true")
    assert sent(hub) == 0
    assert hub.log.requests(path="*/resolve*") == []


# -- while it arrives


def asking(user: Client, agent: str, *words: str) -> Any:
    """A curl that says it is somebody else."""
    url = f"{user.url}/org/m/resolve/main/{BIG}"
    return user.start("curl", "-sS", "--fail-with-body", "-N", "-A", agent, "-o", "got", *words, url)


def got(user: Client) -> int:
    """The bytes that a client has so far."""
    path = user.folder / "got"
    return path.stat().st_size if path.exists() else 0


def test_bytes_go_out_while_they_arrive(hub: LoopbackHub, server: Server, users: Users, repo: Repo) -> None:
    hub.faces["cdn"].shape = Shape(total_rate=4e6)
    safe, waiting = users(server), users(server)
    first, second = asking(safe, EARLY), asking(waiting, "curl/8")
    assert until(lambda: got(safe) > 2 << 20, 30)
    # The rest has not even been sent.
    assert hub.log.bytes_sent(file=BIG) < len(FILES[BIG])
    assert got(waiting) == 0
    hub.faces["cdn"].shape = Shape()
    assert [done.returncode for done in together([first, second])] == [0, 0]
    assert (safe.folder / "got").read_bytes() == (waiting.folder / "got").read_bytes() == wanted(repo)[BIG]


def test_never_early(machine: Machine, hub: LoopbackHub, users: Users) -> None:
    hub.faces["cdn"].shape = Shape(total_rate=4e6)
    server = Server.start(machine, "--no-mirrors", env={"GLM_ARIA_SERVE_EARLY": "never"})
    user = users(server)
    process = asking(user, EARLY)
    assert until(lambda: hub.log.bytes_sent(file=BIG) > 4 << 20, 30)
    assert got(user) == 0
    hub.faces["cdn"].shape = Shape()
    together([process])
    server.stop()


def test_a_client_is_kept_waiting(hub: LoopbackHub, server: Server, users: Users, repo: Repo) -> None:
    """Interim answers come more often than its timeout, until the file is proven."""
    hub.faces["cdn"].shape = Shape(total_rate=2.5e6)
    user, other = users(server), users(server)
    url = f"{user.url}/org/m/resolve/main/{BIG}"
    impatient = other.start("aria2c", "-q", "--timeout=7", "--max-tries=1", "-o", "got", url)
    told, aria2 = together([asking(user, PLAIN, "-v"), impatient])
    assert (told.returncode, aria2.returncode) == (0, 0), told.stdout + aria2.stdout
    assert told.stdout.count("HTTP/1.1 100 Continue") >= 1
    assert (user.folder / "got").read_bytes() == (other.folder / "got").read_bytes() == wanted(repo)[BIG]


def test_who_cannot_be_kept_waiting_is_told_when_to_ask_again(hub: LoopbackHub, server: Server, users: Users) -> None:
    """HTTP/1.0, as nginx speaks it to a server behind it, has no interim answers."""
    hub.faces["cdn"].shape = Shape(total_rate=1e6)
    user = users(server)
    (done,) = together([asking(user, PLAIN, "-D", "head", "--http1.0")])
    assert done.returncode == 22
    head = (user.folder / "head").read_text().lower()
    assert " 429" in head.splitlines()[0]
    assert "retry-after:" in head
    assert "ratelimit:" in head


def test_the_rest_of_a_file_that_arrives(hub: LoopbackHub, server: Server, users: Users, repo: Repo) -> None:
    hub.faces["cdn"].shape = Shape(total_rate=6e6)
    one, other = users(server), users(server)
    first = asking(one, EARLY)
    assert until(lambda: got(one) > 2 << 20, 30)
    second = asking(other, EARLY, "-r", f"{1 << 20}-")
    assert until(lambda: got(other) > 1 << 20, 30)
    hub.faces["cdn"].shape = Shape()
    together([first, second])
    assert (other.folder / "got").read_bytes() == wanted(repo)[BIG][1 << 20 :]


def test_a_server_that_is_stopped_goes_on_where_it_was(
    machine: Machine, hub: LoopbackHub, server: Server, users: Users, repo: Repo
) -> None:
    hub.faces["cdn"].shape = Shape(total_rate=0.8e6)
    user = users(server)
    process = asking(user, EARLY)
    assert until(lambda: hub.log.bytes_sent(file=BIG) > 4 << 20, 30)
    server.stop()
    (done,) = together([process])
    assert done.returncode != 0
    hub.faces["cdn"].shape = Shape()
    again = Server.start(machine, "--no-mirrors")
    assert users(again).get(f"/org/m/resolve/main/{BIG}") == wanted(repo)[BIG]
    assert hub.log.bytes_sent(file=BIG) <= MOST * len(FILES[BIG])
    again.stop()


def test_a_server_that_was_killed_makes_clients_start_over(
    machine: Machine, hub: LoopbackHub, server: Server, users: Users, repo: Repo
) -> None:
    """It cannot know that what the client has is what it will fetch."""
    hub.faces["cdn"].shape = Shape(total_rate=4e6)
    user = users(server)
    process = asking(user, EARLY)
    assert until(lambda: got(user) > 4 << 20, 30)
    port = server.url.rpartition(":")[2]
    server.kill()
    together([process])
    hub.faces["cdn"].shape = Shape()
    again = Server.start(machine, "--no-mirrors", "--listen", f"127.0.0.1:{port}")
    (rest,) = together([asking(user, EARLY, "-r", f"{got(user)}-", "-D", "head")])
    assert rest.returncode == 0
    assert " 200 " in (user.folder / "head").read_text().splitlines()[0]
    assert (user.folder / "got").read_bytes() == wanted(repo)[BIG]
    # Others, who have nothing unproven, may continue what they have.
    assert users(again).get(f"/org/m/resolve/main/{BIG}", "-r", "1000-") == wanted(repo)[BIG][1000:]
    again.stop()


def test_clients_that_leave(machine: Machine, hub: LoopbackHub, server: Server, users: Users, repo: Repo) -> None:
    """The file goes on for those who stay, and nothing is said about those who left."""
    hub.faces["cdn"].shape = Shape(total_rate=6e6)
    leaving, staying = users(server), users(server)
    first, second = asking(leaving, EARLY), asking(staying, "curl/8")
    assert until(lambda: got(leaving) > 1 << 20, 30)
    first.kill()
    together([first])
    hub.faces["cdn"].shape = Shape()
    assert together([second])[0].returncode == 0
    assert (staying.folder / "got").read_bytes() == wanted(repo)[BIG]
    done = server.stop()
    assert "Traceback" not in done.err
    assert "socket.send" not in done.err
