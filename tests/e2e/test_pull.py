"""A model is pulled by the command and judged by the software that will read it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import snapshot_download

from orchestrator.transfer.limits import TransferLimits
from tests.hub.content import make_file
from tests.hub.models import many_files, tiny_model
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.hub.wire import Reply, Request
from tests.machine.fixtures import MakeHub, sent, wanted
from tests.machine.machine import Machine, content


def test_a_pull_is_what_hf_would_have_made(machine: Machine, make_hub: MakeHub, tiny: Repo) -> None:
    hub = make_hub(tiny)
    done = machine.pull("org/tiny").ended(0)
    assert done.model["commit"] == tiny.head
    assert done.model["trust"] == {"level": "root", "source": hub.url, "confirmed_by": []}
    assert {file["state"] for file in done.model["files"]} == {"fetched"}
    assert done.model["bytes_fetched"] == done.model["bytes_total"]
    assert done.document["warnings"] == []
    assert machine.token in hub.log.tokens(face="hub")

    found = snapshot_download("org/tiny", cache_dir=machine.cache, local_files_only=True)
    assert found == done.model["snapshot"]
    assert content(machine.snapshot("model/org/tiny", tiny.head)) == wanted(tiny)

    listed = machine.hf("cache", "ls")
    assert listed.returncode == 0, listed.stderr
    assert "model/org/tiny" in listed.stdout
    assert "warning" not in (listed.stdout + listed.stderr).lower()
    verified = machine.hf("cache", "verify", "org/tiny", HF_ENDPOINT=hub.url)
    assert verified.returncode == 0, verified.stdout + verified.stderr

    hub.log.reset()
    again = machine.hf("download", "org/tiny", HF_ENDPOINT=hub.url)
    assert again.returncode == 0, again.stderr
    assert sent(hub) == []
    assert hub.log.bytes_sent(face="cdn") == 0


def test_transformers_loads_it_offline(machine: Machine, make_hub: MakeHub, tiny: Repo) -> None:
    make_hub(tiny)
    machine.pull("org/tiny").ended(0)
    script = (
        "from transformers import AutoConfig, AutoTokenizer\n"
        "config = AutoConfig.from_pretrained('org/tiny')\n"
        "ids = AutoTokenizer.from_pretrained('org/tiny')('the model is proved')['input_ids']\n"
        "print(config.model_type, config.hidden_size, len(ids))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        env={**machine.env, "HF_HUB_OFFLINE": "1", "HF_TOKEN": ""},
        cwd=machine.work,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["llama", "256", "4"]


def test_a_second_pull_asks_little_and_moves_nothing(machine: Machine, make_hub: MakeHub, tiny: Repo) -> None:
    hub = make_hub(tiny)
    first = machine.pull("org/tiny").ended(0)
    hub.log.reset()
    second = machine.pull("org/tiny").ended(0)
    assert len(hub.log.requests()) <= 2
    assert sent(hub) == []
    assert {file["state"] for file in second.model["files"]} == {"present"}
    assert second.model["bytes_fetched"] == 0
    assert second.model["bytes_reused"] == first.model["bytes_total"]
    assert second.model["snapshot"] == first.model["snapshot"]


def test_a_new_commit_fetches_only_what_changed(machine: Machine, make_hub: MakeHub, tiny: Repo) -> None:
    hub = make_hub(tiny)
    machine.pull("org/tiny").ended(0)
    before = tiny.head
    tiny.commit({"README.md": b"# second\n"})
    hub.log.reset()
    machine.pull("org/tiny").ended(0)
    assert sent(hub) == ["README.md"]
    assert content(machine.snapshot("model/org/tiny", tiny.head)) == wanted(tiny)
    assert content(machine.snapshot("model/org/tiny", before))["README.md"] != b"# second\n"


def test_what_is_printed_for_people(machine: Machine, make_hub: MakeHub, tiny: Repo) -> None:
    hub = make_hub(tiny)
    done = machine.run("pull", "--root", hub.url, "org/tiny").ended(0)
    assert done.out == f"{machine.snapshot('model/org/tiny', tiny.head)}\n"
    assert tiny.head in done.err
    assert "\x1b" not in done.out + done.err


def test_many_small_files(machine: Machine, make_hub: MakeHub) -> None:
    repo = Repo("model", "org/many", many_files(2000, smallest=100, largest=2000))
    hub = make_hub(repo)
    done = machine.pull("org/many").ended(0)
    assert len(done.model["files"]) == 2000
    assert content(machine.snapshot("model/org/many", repo.head)) == wanted(repo)
    assert len(hub.log.requests(path="/api/models/*")) <= 4
    assert list(machine.stage.iterdir()) == []
    asked = hub.log.requests(face="hub", path="/org/many/resolve/*")
    # One for each courier at most, where the first answer is late.
    most = TransferLimits().per_source
    assert len(asked) <= most, "each small file is one request; the redirects of a few foretell those of the rest"
    assert len(hub.log.requests(method="GET", path="/api/resolve-cache/*", status=200)) >= 1992


def test_small_files_from_a_hub_that_serves_them_only_after_its_redirect(machine: Machine, make_hub: MakeHub) -> None:
    """Two files get through the trial; then the addresses that it foretells are refused."""
    files = {f"{folder}{number:03}.json": b"%d" % number for folder in ("part-", "sub/part-") for number in range(150)}
    repo = Repo("model", "org/many", files | {"config.json": b"{}"})
    hub = make_hub(repo)
    redirected = set[str]()

    def change(request: Request, reply: Reply) -> Reply:
        path = reply.file or ""
        if "/resolve-cache/" not in request.path:
            redirected.add(path)
        elif request.method == "GET" and path not in redirected:
            return Reply(404, file=path)
        return reply

    hub.rewrite(change)
    done = machine.pull("org/many").ended(0)
    assert done.warnings == []
    assert content(machine.snapshot("model/org/many", repo.head)) == wanted(repo)
    assert hub.log.requests(status=404), "something was foretold"
    assert hub.log.requests(method="GET", path="/org/many/resolve/*/config.json"), "what the Hub counts downloads by"


def test_three_shards_come_from_the_cdn_over_many_connections(machine: Machine, make_hub: MakeHub) -> None:
    repo = Repo("model", "org/m", tiny_model(2, shards=3, shard_size=12 << 20))
    # A far site: a near one begins with two connections (decision 13), which may be enough for all of these.
    hub = make_hub(repo, shape=Shape(latency_s=0.02), cdn_shape=Shape(latency_s=0.02, total_rate=32 << 20))
    done = machine.pull("org/m").ended(0)
    assert len(repo.commits[repo.head].files) == len(done.model["files"])
    shards = [file for file in done.model["files"] if file["path"].endswith(".safetensors")]
    assert len(shards) == 3
    for shard in shards:
        blob = machine.cache / "models--org--m" / "blobs" / shard["digest"].removeprefix("sha256:")
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
        assert hub.log.connections(face="cdn", file=shard["path"]) > 4
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)


def test_three_questions_over_one_connection_come_before_the_first_byte(machine: Machine, make_hub: MakeHub) -> None:
    """With the handshakes of TCP and TLS these are five round trips of the root, whatever it is asked later."""
    hub = make_hub(Repo("model", "org/one", {"model.safetensors": bytes(4 << 20)}))
    machine.pull("org/one", "--no-mirrors").ended(0)
    first = min(request.start for request in hub.log.requests(face="cdn"))
    before = [request for request in hub.log.requests(face="hub") if request.start < first]
    asked = ["revision", "tree", "resolve"]
    assert [word for request in before for word in asked if f"/{word}/" in request.path] == asked
    assert len(before) == len(asked)
    assert len({request.connection for request in before}) == 1


def test_hardly_more_is_sent_than_the_file(machine: Machine, make_hub: MakeHub, tmp_path: Path) -> None:
    size = 48 << 20
    repo = Repo("model", "org/big", {"big.safetensors": make_file(tmp_path / "big", size, 5)})
    hub = make_hub(repo, cdn_shape=Shape(total_rate=48 << 20))
    machine.pull("org/big").ended(0)
    hub.log.settle()
    assert hub.log.bytes_sent(face="cdn") <= 1.25 * size


@pytest.mark.parametrize("kind", ["dataset", "space"])
def test_datasets_and_spaces(machine: Machine, make_hub: MakeHub, kind: str) -> None:
    repo = Repo(kind, "org/other", {"a/train.parquet": b"p" * 5000, "README.md": b"data\n"})  # type: ignore[arg-type]
    make_hub(repo)
    done = machine.pull(f"{kind}s/org/other").ended(0)
    found = snapshot_download("org/other", repo_type=kind, cache_dir=machine.cache, local_files_only=True)
    assert found == done.model["snapshot"]
    assert content(machine.snapshot(f"{kind}/org/other", repo.head)) == wanted(repo)


@pytest.mark.parametrize("revision", ["refs/pr/1", "v1", "dev/branch"])
def test_a_revision_may_be_a_branch_tag_commit_or_pull_request(
    machine: Machine, make_hub: MakeHub, tiny: Repo, revision: str
) -> None:
    tiny.tag("v1")
    tiny.branch("dev/branch")
    tiny.commit({"README.md": b"# later\n"})
    tiny.pull_request(1, {"README.md": b"# proposed\n"})
    make_hub(tiny)
    commit = tiny.resolve(revision)
    assert commit is not None
    done = machine.pull(f"org/tiny@{revision}").ended(0)
    assert done.model["commit"] == commit.oid
    found = snapshot_download("org/tiny", revision=revision, cache_dir=machine.cache, local_files_only=True)
    assert found == done.model["snapshot"]
    assert content(machine.snapshot("model/org/tiny", commit.oid)) == wanted(tiny, revision)


def test_a_commit_needs_no_ref(machine: Machine, make_hub: MakeHub, tiny: Repo) -> None:
    first = tiny.head
    tiny.commit({"README.md": b"# later\n"})
    make_hub(tiny)
    done = machine.pull("org/tiny", "--revision", first).ended(0)
    assert done.model["commit"] == first
    assert snapshot_download("org/tiny", revision=first, cache_dir=machine.cache, local_files_only=True)
    assert not (machine.cache / "models--org--tiny" / "refs").exists()


def test_a_renamed_repo_is_found_and_told(machine: Machine, make_hub: MakeHub) -> None:
    repo = Repo("model", "org/new", {"config.json": b"{}"}, renamed_from=("org/old",))
    make_hub(repo)
    done = machine.pull("org/old").ended(0)
    assert done.warnings == ["renamed"]
    assert snapshot_download("org/old", cache_dir=machine.cache, local_files_only=True) == done.model["snapshot"]


def test_include_and_exclude_leave_what_hf_would_fetch_later(machine: Machine, make_hub: MakeHub, tiny: Repo) -> None:
    hub = make_hub(tiny)
    done = machine.pull("org/tiny", "--include", "*.json", "--exclude", "tokenizer*").ended(0)
    names = {file["path"] for file in done.model["files"]}
    assert names == {n for n in tiny.commits[tiny.head].files if n.endswith(".json") and not n.startswith("tokenizer")}
    assert set(sent(hub)) == names
    chosen: dict[str, Any] = {"allow_patterns": ["*.json"], "ignore_patterns": ["tokenizer*"]}
    assert snapshot_download("org/tiny", cache_dir=machine.cache, local_files_only=True, **chosen)
    # hf knows from the listing that the rest is missing, and says so instead of passing off a part as the whole.
    missing = machine.hf("download", "org/tiny")
    assert missing.returncode != 0
    hub.log.reset()
    rest = machine.hf("download", "org/tiny", HF_ENDPOINT=hub.url)
    assert rest.returncode == 0, rest.stderr
    assert content(machine.snapshot("model/org/tiny", tiny.head)) == wanted(tiny)
    assert not names & set(sent(hub)), "hf fetched a file again that was there"


def test_a_local_dir_is_what_hf_would_have_made(machine: Machine, make_hub: MakeHub, tiny: Repo) -> None:
    hub = make_hub(tiny)
    plain = machine.work / "plain"
    done = machine.pull("org/tiny", "--local-dir", "plain").ended(0)
    assert done.model["local_dir"] == str(plain)
    assert content(plain) == wanted(tiny)
    assert not [path for path in plain.rglob("*") if path.is_symlink()]
    hub.log.reset()
    again = machine.hf("download", "org/tiny", "--local-dir", "plain", HF_ENDPOINT=hub.url)
    assert again.returncode == 0, again.stderr
    assert sent(hub) == []
    assert content(plain) == wanted(tiny)


def test_offline_after_a_pull(machine: Machine, make_hub: MakeHub, tiny: Repo) -> None:
    hub = make_hub(tiny)
    machine.pull("--offline", "org/tiny").ended(66)
    assert not machine.cache.exists() or not any(machine.cache.iterdir())
    machine.pull("org/tiny").ended(0)
    hub.log.reset()
    done = machine.pull("--offline", "org/tiny").ended(0)
    assert done.model["snapshot"] == str(machine.snapshot("model/org/tiny", tiny.head))
    done = machine.pull("org/tiny", env={"HF_HUB_OFFLINE": "1"}).ended(0)
    assert hub.log.requests() == []


def test_force_fetches_again(machine: Machine, make_hub: MakeHub, tiny: Repo) -> None:
    hub = make_hub(tiny)
    machine.pull("org/tiny").ended(0)
    hub.log.reset()
    done = machine.pull("org/tiny", "--force").ended(0)
    assert {file["state"] for file in done.model["files"]} == {"fetched"}
    assert set(sent(hub)) == set(tiny.commits[tiny.head].files)
    assert content(machine.snapshot("model/org/tiny", tiny.head)) == wanted(tiny)


def test_hf_endpoint_becomes_the_root_but_is_not_sent_the_token(
    machine: Machine, make_hub: MakeHub, tiny: Repo
) -> None:
    hub = make_hub(tiny)
    done = machine.run("pull", "--json", "org/tiny", env={"HF_ENDPOINT": hub.url}).ended(0)
    assert done.model["trust"]["source"] == hub.url
    assert hub.log.tokens() == set()


def test_cache_dir_means_what_hf_hub_cache_means(machine: Machine, make_hub: MakeHub, tiny: Repo) -> None:
    make_hub(tiny)
    elsewhere = machine.folder / "elsewhere"
    done = machine.pull("org/tiny", "--cache-dir", str(elsewhere)).ended(0)
    assert snapshot_download("org/tiny", cache_dir=elsewhere, local_files_only=True) == done.model["snapshot"]
    assert not machine.hf_home.exists()


def test_files_behind_a_ref_as_hf_download_has_them(machine: Machine, make_hub: MakeHub) -> None:
    files = {"config.json": b"{}", "onnx/config.json": b"[]", "a[1].txt": b"1", "a1.txt": b"2", "w.bin": b"w" * 1000}
    repo = Repo("model", "org/some", files)
    hub = make_hub(repo)
    machine.root = hub.url
    done = machine.pull("org/some", "config.json").ended(0)
    assert [file["path"] for file in done.model["files"]] == ["config.json"]
    assert done.warnings == []
    assert "only 'config.json'" in done.err
    both = machine.pull("org/some", "onnx/config.json", "config.json").ended(0)
    assert sorted(file["path"] for file in both.model["files"]) == ["config.json", "onnx/config.json"]
    assert both.warnings == ["file-or-model"]
    gone = machine.pull("org/some", "confg.json", "config.json").ended(66)
    assert "did you mean 'config.json'" in gone.error["hint"]
    far = machine.pull("org/some", "zzzzzzzz").ended(66)
    assert far.error["hint"].endswith(": glm-aria plan org/some@main"), "it is to be pasted: nothing stands behind it"
    assert "hf://zzzzzzzz" in far.error["hint"]
    assert gone.error["file"] == "confg.json"
    planned = machine.plan("org/some", "w.bin").ended(0).document["data"]["models"][0]
    assert [file["path"] for file in planned["files"]] == ["w.bin"]
    machine.pull("org/some", "*.bin", "--progress", "json").ended(0)
    with_bracket = machine.pull("org/some", "a[[]1].txt").ended(0)
    assert [file["path"] for file in with_bracket.model["files"]] == ["a[1].txt"]
