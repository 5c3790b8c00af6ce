"""The real huggingface_hub, as library and as `hf`, against the loopback Hub."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo


def api(hub: LoopbackHub, token: str | bool = False) -> HfApi:
    return HfApi(endpoint=hub.url, token=token)


def test_snapshot_holds_every_file_by_plain_http(hub: LoopbackHub, tmp_path: Path) -> None:
    repo = hub.repo("org/tiny")
    snapshot = Path(snapshot_download("org/tiny", endpoint=hub.url, cache_dir=tmp_path, token=False))
    assert snapshot.name == repo.head
    for path, file in repo.commits[repo.head].files.items():
        assert (snapshot / path).read_bytes() == file.content.read(0, file.size)
        assert (snapshot / path).resolve().name == file.etag
    assert (tmp_path / "models--org--tiny" / "refs" / "main").read_text() == repo.head
    shards = hub.log.requests(face="cdn", file="*.safetensors")
    assert len(shards) == 3
    assert sum(shard.bytes_sent for shard in shards) == sum((snapshot / str(s.file)).stat().st_size for s in shards)


def test_model_info_tells_files_digests_and_access(hub: LoopbackHub) -> None:
    info = api(hub).model_info("org/tiny", files_metadata=True)
    repo = hub.repo("org/tiny")
    assert (info.sha, info.gated, info.private) == (repo.head, False, False)
    siblings = {sibling.rfilename: sibling for sibling in info.siblings or []}
    assert siblings.keys() == repo.commits[repo.head].files.keys()
    shard = repo.commits[repo.head].files["model-00001-of-00003.safetensors"]
    assert siblings[shard.path].lfs == {"sha256": shard.sha256, "size": shard.size, "pointer_size": len(shard.pointer)}
    assert api(hub).model_info("org/gated").gated == "manual"
    assert api(hub).model_info("gpt").sha == hub.repo("gpt").head


def test_refs_and_revisions(hub: LoopbackHub, tmp_path: Path) -> None:
    repo = hub.repo("org/tiny")
    refs = api(hub).list_repo_refs("org/tiny", include_pull_requests=True)
    assert {branch.name: branch.target_commit for branch in refs.branches} == {
        "main": repo.head,
        "dev": repo.refs["refs/tags/v1"],
    }
    assert [tag.name for tag in refs.tags] == ["v1"]
    assert [pull.ref for pull in refs.pull_requests or []] == ["refs/pr/1"]
    for revision, text in [
        ("refs/pr/1", "# from the pull request\n"),
        ("main", "# second\n"),
        (repo.refs["refs/tags/v1"], None),
    ]:
        got = hf_hub_download(
            "org/tiny", "README.md", revision=revision, endpoint=hub.url, cache_dir=tmp_path, token=False
        )
        assert text is None or Path(got).read_text() == text


def test_tree_pages_follow_an_absolute_link(hub: LoopbackHub) -> None:
    hub.log.reset()
    entries = list(api(hub).list_repo_tree("org/wide", recursive=True))
    assert len({entry.path for entry in entries}) == len(entries) == 2507
    pages = hub.log.requests(path="/api/models/org/wide/tree/*")
    assert [page.status for page in pages] == [200, 200, 200]
    assert len(list(api(hub).list_repo_tree("org/wide", "d3"))) == 357
    assert len(list(api(hub).list_repo_tree("org/wide"))) == 7


def test_expanded_tree_and_paths_info(hub: LoopbackHub) -> None:
    first = next(iter(api(hub).list_repo_tree("org/wide", "d0", expand=True)))
    assert first.last_commit is not None
    found = api(hub).get_paths_info("org/tiny", ["README.md", "sub", "absent"])
    assert [info.path for info in found] == ["README.md", "sub"]


def test_oids_are_those_of_git(hub: LoopbackHub, tmp_path: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    commit = hub.repo("gpt").commits[hub.repo("gpt").head]
    tiny = hub.repo("org/tiny").commits[hub.repo("org/tiny").head]
    for made in (commit, tiny):
        folder = tmp_path / made.oid
        for path, file in made.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(file.pointer if file.sha256 else file.content.read(0, file.size))
        (folder / ".gitattributes").unlink(missing_ok=True)
        subprocess.run(["git", "init", "-q", "."], cwd=folder, check=True)
        (folder / ".git" / "info" / "attributes").write_text("* -filter -text\n")
        if attributes := made.files.get(".gitattributes"):
            (folder / ".gitattributes").write_bytes(attributes.content.read(0, attributes.size))
        subprocess.run(["git", "add", "-A", "-f"], cwd=folder, check=True)
        tree = subprocess.run(["git", "write-tree"], cwd=folder, check=True, capture_output=True, text=True)
        assert tree.stdout.strip() == made.trees[""]


def test_gated_private_and_missing(hub: LoopbackHub, tmp_path: Path) -> None:
    with pytest.raises(GatedRepoError) as refused:
        api(hub).hf_hub_download("org/gated", "config.json", cache_dir=tmp_path)
    assert refused.value.response.status_code == 401
    with pytest.raises(GatedRepoError) as refused:
        api(hub, "hf_out").hf_hub_download("org/gated", "config.json", cache_dir=tmp_path)
    assert refused.value.response.status_code == 403
    got = api(hub, "hf_in").hf_hub_download("org/gated", "w.safetensors", cache_dir=tmp_path)
    assert Path(got).read_bytes() == b"w" * 1000

    for token, status in ((False, 401), ("hf_out", 404)):
        for name in ("org/private", "org/absent"):
            with pytest.raises(RepositoryNotFoundError) as missing:
                api(hub, token).model_info(name)
            assert missing.value.response.status_code == status
    assert api(hub, "hf_in").model_info("org/private").private
    with pytest.raises(HfHubHTTPError, match="Invalid credentials") as invalid:
        api(hub, "hf_wrong").model_info("org/tiny")
    assert not isinstance(invalid.value, RepositoryNotFoundError)
    assert api(hub, "hf_in").whoami()["name"] == "loopback-user"


def test_token_reaches_the_hub_and_never_the_cdn(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.log.reset()
    api(hub, "hf_in").snapshot_download("org/gated", cache_dir=tmp_path)
    assert hub.log.tokens(face="hub") == {"hf_in"}
    assert hub.log.requests(face="cdn")
    assert hub.log.tokens(face="cdn") == set()


def test_revision_and_entry_not_found(hub: LoopbackHub, tmp_path: Path) -> None:
    with pytest.raises(RevisionNotFoundError):
        api(hub).model_info("org/tiny", revision="nope")
    with pytest.raises(RevisionNotFoundError):
        api(hub).hf_hub_download("org/tiny", "README.md", revision="nope", cache_dir=tmp_path)
    with pytest.raises(EntryNotFoundError):
        api(hub).hf_hub_download("org/tiny", "nope.txt", cache_dir=tmp_path)
    assert list((tmp_path / "models--org--tiny" / ".no_exist").rglob("nope.txt"))
    with pytest.raises(RemoteEntryNotFoundError):
        list(api(hub).list_repo_tree("org/tiny", "nope"))


def test_renamed_repository_is_followed(hub: LoopbackHub, tmp_path: Path) -> None:
    assert api(hub).model_info("old/tiny").id == "org/tiny"
    got = api(hub).hf_hub_download("old/tiny", "README.md", cache_dir=tmp_path)
    assert Path(got).read_text() == "# second\n"


def test_a_dataset_is_downloaded(hub: LoopbackHub, tmp_path: Path) -> None:
    folder = api(hub).snapshot_download("org/data", repo_type="dataset", cache_dir=tmp_path)
    assert (Path(folder) / "train.parquet").read_bytes() == b"p" * 5000
    with pytest.raises(RepositoryNotFoundError):
        api(hub).model_info("org/data")


def test_quota_is_told_and_then_429(tmp_path: Path) -> None:
    with LoopbackHub([Repo("model", "org/m", {"config.json": b"{}"})]) as hub:
        hub.rate_limit(api=2)
        for _ in range(2):
            api(hub).model_info("org/m")
        with pytest.raises(HfHubHTTPError, match="you have reached your 'api' rate limit") as limited:
            api(hub).model_info("org/m")
        assert limited.value.response.status_code == 429
        hub.advance(300)
        api(hub).model_info("org/m")
        hub.rate_limit(None)
        assert [api(hub).model_info("org/m").id for _ in range(3)] == ["org/m"] * 3


def test_the_hf_command_downloads_a_model(hub: LoopbackHub, tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("hf")
    if not command.exists():
        pytest.skip("the hf command is not installed beside this Python")
    environment = {**os.environ, **hub.env(tmp_path / "home")}
    environment.pop("HF_TOKEN", None)
    done = subprocess.run(
        [command, "download", "org/tiny", "--local-dir", tmp_path / "out"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    commit = hub.repo("org/tiny").commits[hub.repo("org/tiny").head]
    for path, file in commit.files.items():
        expected = hashlib.sha256(file.content.read(0, file.size)).digest()
        assert hashlib.sha256((tmp_path / "out" / path).read_bytes()).digest() == expected


def test_transformers_and_safetensors_read_the_model(hub: LoopbackHub, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    safetensors = pytest.importorskip("safetensors")
    snapshot = Path(snapshot_download("org/tiny", endpoint=hub.url, cache_dir=tmp_path, token=False))
    config = transformers.AutoConfig.from_pretrained(snapshot)
    tokenizer = transformers.AutoTokenizer.from_pretrained(snapshot)
    assert config.model_type == "llama"
    assert tokenizer.decode(tokenizer("the model proved")["input_ids"]) == "the model proved"
    names = set()
    for shard in snapshot.glob("*.safetensors"):
        with safetensors.safe_open(shard, framework="np") as opened:
            names |= set(opened.keys())
    assert len(names) == 3 + 9 * config.num_hidden_layers


def test_searches_are_what_the_client_reads(hub: LoopbackHub) -> None:
    hub.add(Repo("model", "org/tiny-other", {"a-Q4_0.gguf": b"g"}, downloads=9, likes=2, task="text-generation"))
    found = list(api(hub).list_models(search="TINY", sort="downloads"))
    assert [(one.id, one.downloads, one.pipeline_tag) for one in found][:1] == [
        ("org/tiny-other", 9, "text-generation")
    ]
    assert {"org/tiny", "org/tiny-other"} <= {one.id for one in found}
    expanded = list(api(hub).list_models(search="tiny", expand=["safetensors", "gated", "lastModified", "siblings"]))
    tiny = next(one for one in expanded if one.id == "org/tiny")
    assert tiny.safetensors is not None
    assert list(tiny.safetensors.parameters) == ["BF16"]
    assert (tiny.gated, tiny.downloads) == (False, None), "what was not asked for is not told"
    assert {one.rfilename for one in tiny.siblings or ()} == set(hub.repo("org/tiny").commits[tiny_head(hub)].files)
    assert [one.id for one in api(hub).list_models(filter="gguf", search="tiny", limit=3)] == ["org/tiny-other"]
    with pytest.raises(HfHubHTTPError, match="usedStorage"):
        list(api(hub).list_models(expand=["usedStorage"]))


def tiny_head(hub: LoopbackHub) -> str:
    return hub.repo("org/tiny").head


def test_searches_come_in_pages_and_hide_what_is_private(hub: LoopbackHub) -> None:
    every = {one.id for one in api(hub).list_models()}
    assert every == {one.id for one in api(hub).list_models(limit=2)} | every
    assert len(list(api(hub).list_models(limit=2))) == 2
    private = {repo.name for repo in hub.shelf.repos.values() if repo.private}
    assert private
    assert not every & private
    with pytest.raises(HfHubHTTPError, match="401"):
        list(api(hub, "hf_wrong").list_models())
