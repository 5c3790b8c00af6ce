"""Messages of nodes and schedulers through protobuf and back."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterable
from typing import get_args

import pytest

from orchestrator.core.files import Algorithm, Digest
from orchestrator.errors import ProtocolError
from orchestrator.rpc.credentials import MOST_MESSAGE
from orchestrator.swarm.control import codec, messages, status_codec
from orchestrator.swarm.control.messages import FromNode, FromScheduler
from orchestrator.swarm.control.stubs import fleet_pb2 as pb
from orchestrator.swarm.holdings import Peer
from orchestrator.swarm.view import MOST_IN_BUNDLE, NodeState

LARGE = Digest(Algorithm.SHA256, "ab" * 32)
SMALL = Digest(Algorithm.GIT_SHA1, "cd" * 20)

SAID: tuple[FromNode, ...] = (
    messages.Hello("n1", 7, "http://10.0.0.1:8090", "rack-1", True, True, ("lease-1",), "cache-1"),
    messages.Join("task-1"),
    messages.Progress(
        (messages.BlobProgress(LARGE, b"\x01\x80", True), messages.BlobProgress(SMALL, b"")),
        (messages.LeaseProgress("lease-1", 5, 6),),
        True,
    ),
    messages.HeldUnit("lease-1"),
    messages.FailedWork("lease-1", "rate-limited"),
    messages.WrongPiece(LARGE, 9, "n2"),
    messages.OriginBusy("huggingface", 30),
    messages.TaskReport("task-1", messages.NodePhase.FAILED, "no-space", 1, 2, 3, {"n2": 3}),
    messages.Bye(),
)
TOLD: tuple[FromScheduler, ...] = (
    messages.Welcome("s1", 500, 12),
    messages.TaskLock("task-1", "version = 1\n", -3, True, "its seal"),
    messages.TaskLock("task-2", "# é\n" * 50_000),
    messages.TaskCancelled("task-1"),
    messages.Assign("lease-1", LARGE, 4, 1 << 24, 1 << 25),
    messages.Assign("lease-2", bundle=(SMALL, LARGE)),
    messages.RevokedLease("lease-1"),
    messages.PeersToAsk((Peer("n2", "http://10.0.0.2:8090", "rack-2"),)),
    messages.Shunned(("n3",)),
    messages.DrainOrder(),
    messages.DrainOrder(may_leave=True),
)


def test_there_is_an_example_of_each_message() -> None:
    assert {type(one) for one in SAID} == set(get_args(FromNode))
    assert {type(one) for one in TOLD} == set(get_args(FromScheduler))


@pytest.mark.parametrize("said", SAID, ids=lambda one: type(one).__name__)
def test_what_a_node_says_is_read_as_it_was_said(said: FromNode) -> None:
    sent = pb.DownloadRequest.FromString(codec.request(41, said).SerializeToString())
    assert (sent.seq, codec.said(sent)) == (41, said)


@pytest.mark.parametrize("told", TOLD, ids=lambda one: type(one).__name__)
def test_what_a_scheduler_tells_is_read_as_it_was_told(told: FromScheduler) -> None:
    reader = codec.Told()
    sent = [one.SerializeToString() for one in codec.statuses(12, told)]
    assert max(map(len, sent)) <= MOST_MESSAGE
    found = [reader.read(pb.DownloadStatus.FromString(one)) for one in sent]
    assert found == [None] * (len(sent) - 1) + [told]


def test_a_bundle_of_the_most_blobs_is_one_message() -> None:
    (sent,) = codec.statuses(1 << 40, messages.Assign("l" * 64, bundle=(LARGE,) * MOST_IN_BUNDLE))
    assert sent.ByteSize() <= MOST_MESSAGE


@pytest.mark.parametrize(
    "found",
    [
        pb.DownloadRequest(seq=1),
        pb.DownloadRequest(hello=pb.Hello(epoch=1)),
        pb.DownloadRequest(wrong=pb.Wrong(digest="../etc/passwd")),
    ],
)
def test_a_message_without_a_meaning_is_an_error_of_the_protocol(found: pb.DownloadRequest) -> None:
    with pytest.raises(ProtocolError):
        codec.said(found)


@pytest.mark.parametrize("lock", ["", "x" * 200_000])
def test_a_submission_is_read_as_it_was_made(lock: str) -> None:
    asked = messages.Submission("key", "org/name", "zone=a*", 2, lock, "n1", True, "its seal")
    parts = list(codec.submissions(asked))
    assert max(one.ByteSize() for one in parts) <= MOST_MESSAGE
    assert submitted(parts) == asked


def test_a_submission_that_is_too_long_is_read_no_further() -> None:
    part = pb.SubmitTaskRequest(key="k", lock=b"x" * (1 << 20))
    left = iter([part] * 100)
    with pytest.raises(ProtocolError, match="32 MiB"):
        submitted(left)
    assert len(list(left)) == 100 - 33


def submitted(parts: Iterable[pb.SubmitTaskRequest]) -> messages.Submission:
    async def sent() -> AsyncIterator[pb.SubmitTaskRequest]:
        for part in parts:
            yield part

    return asyncio.run(codec.submission(sent()))


def test_a_task_of_many_nodes_is_told_in_parts() -> None:
    report = messages.TaskReport(
        "task-1", messages.NodePhase.FETCHING, "", 1, 2, 3, {f"peer-{n}" * 4: 1 << 40 for n in range(8)}
    )
    nodes = {f"node-{number}": report for number in range(1000)}
    status = messages.TaskStatus("task-1", "org/name", messages.TaskState.RUNNING, 10, 20, nodes, True, True)
    parts = list(status_codec.task_parts(status, nodes))
    assert max(one.ByteSize() for one in parts) <= MOST_MESSAGE
    read = [status_codec.told_task(one) for one in parts]
    assert {node: told for one in read for node, told in one.nodes.items()} == nodes
    assert dataclasses.replace(read[0], nodes=nodes) == status
    assert [one.has_more for one in parts] == [True] * (len(parts) - 1) + [False]


@pytest.mark.parametrize("state", NodeState)
def test_a_node_is_read_as_it_was_told(state: NodeState) -> None:
    status = messages.NodeStatus("n1", 7, 41, "http://10.0.0.1:8090", state, "rack-1", 0.5, 2, 3, 4)
    assert status_codec.told_node(status_codec.node(status)) == status
