"""Artifacts that are attached to a manifest: docker-registry 2.8 keeps no list of them, and others do."""

from __future__ import annotations

import json
from collections.abc import Callable

from orchestrator.core.files import Digest
from orchestrator.oci.attached import attach, attached
from orchestrator.oci.client import Client, referrers_tag
from orchestrator.oci.manifest import OCI_INDEX, OCI_MANIFEST, Descriptor
from tests.oci.manifests import entry, index, model_pack, sha256, text
from tests.oci.pushing import push_blob, push_files
from tests.servers.registry import Answered, RegistryServer, Seen, SmallServer

FILES = {"config.json": b"{}\n"}
KIND = "application/vnd.tests.note+json"
MakeClient = Callable[..., Client]


def pushed(client: Client) -> Descriptor:
    digest = push_files(client, "1.0.0", model_pack(FILES), FILES)
    return Descriptor(OCI_MANIFEST, digest, len(client.manifest(str(digest)).body))


def test_what_is_attached_is_found_again(server: RegistryServer, make_client: MakeClient) -> None:
    client = make_client(server.url, "team/attached")
    subject = pushed(client)
    assert list(attached(client, subject.digest, KIND)) == []
    first = attach(client, subject, b"one", KIND)
    attach(client, subject, b"other", "application/vnd.tests.other")
    attach(client, subject, b"two", KIND)
    assert attach(client, subject, b"one", KIND) == first
    assert list(attached(client, subject.digest, KIND)) == [b"one", b"two"]
    listed = client.referrers(subject.digest).manifests
    assert [entry.artifact_type for entry in listed] == [KIND, "application/vnd.tests.other", KIND]
    assert set(client.tags()) == {"1.0.0", referrers_tag(subject.digest)}
    # As any client of the specification reads it.
    told = json.loads(client.manifest(str(first)).body)
    assert (told["artifactType"], told["subject"]["digest"]) == (KIND, str(subject.digest))


def test_a_list_that_names_what_is_about_something_else_is_not_believed(
    server: RegistryServer, make_client: MakeClient
) -> None:
    client = make_client(server.url, "team/attached-elsewhere")
    elsewhere = attach(client, pushed(client), b"about 1.0.0", KIND)
    other = push_files(client, "2.0.0", model_pack({"x": b"x"}), {"x": b"x"})
    lie = entry(b"", OCI_MANIFEST, artifactType=KIND) | {"digest": str(elsewhere), "size": 3}
    client.put(referrers_tag(other), text(index(lie)), OCI_INDEX)
    assert len(client.referrers(other).manifests) == 1
    assert list(attached(client, other, KIND)) == []


def test_what_is_listed_and_not_there_is_left_out(server: RegistryServer, make_client: MakeClient) -> None:
    client = make_client(server.url, "team/attached-gone")
    subject = pushed(client)
    attach(client, subject, b"kept", KIND)
    gone = attach(client, subject, b"gone", KIND)
    client.delete(str(gone))
    assert list(attached(client, subject.digest, KIND)) == [b"kept"]
    push_blob(client, b"kept")
    server.blob(sha256(b"kept")).write_bytes(b"lied")
    assert list(attached(client, subject.digest, KIND)) == []


def test_no_more_than_some_are_looked_at(make_client: MakeClient) -> None:
    many = [entry(b"%d" % number, OCI_MANIFEST, artifactType=KIND) for number in range(5_000)]

    def answer(request: Seen) -> Answered:
        if "/referrers/" in request.path:
            return Answered(200, text(index(*many)), {"Content-Type": OCI_INDEX})
        return Answered(404)

    with SmallServer(answer) as server:
        assert list(attached(make_client(server.url), Digest.parse(sha256(b"x")), KIND)) == []
        assert len(server.seen) == 65


def test_where_the_registry_keeps_the_list_no_tag_is_made(make_client: MakeClient) -> None:
    known: list[dict[str, object]] = []
    digest = Digest.parse(sha256(b"subject"))

    def answer(request: Seen) -> Answered:
        if "/referrers/" in request.path:
            return Answered(200, text(index(*known)), {"Content-Type": OCI_INDEX})
        if request.method == "PUT" and "/manifests/" in request.path:
            reference = request.path.rpartition("/")[2]
            known.append(entry(b"", OCI_MANIFEST, artifactType=KIND) | {"digest": reference})
            return Answered(201)
        return Answered(200)

    with SmallServer(answer) as server:
        made = attach(make_client(server.url), Descriptor(OCI_MANIFEST, digest, 7), b"note", KIND)
        put = [seen.path for seen in server.seen if seen.method == "PUT"]
    assert put == [f"/v2/team/model/manifests/{made}"]


def test_the_tag_is_that_of_the_specification() -> None:
    assert referrers_tag(Digest.parse(f"sha256:{'a' * 64}")) == f"sha256-{'a' * 64}"
