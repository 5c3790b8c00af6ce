"""What a node says, and says again after a change of schedulers."""

from orchestrator.core.files import Algorithm, Digest
from orchestrator.rpc.credentials import MOST_MESSAGE
from orchestrator.swarm.control.codec import request
from orchestrator.swarm.control.messages import BlobProgress, FailedWork, FromNode, Join, LeaseProgress, Progress
from orchestrator.swarm.control.words import Words

A, B = (Digest(Algorithm.SHA256, digit * 64) for digit in "ab")


def said(words: Words, seq: int, *, beats: bool = False) -> list[FromNode]:
    return [one for _, one in words.messages(seq, beats=beats)]


def test_a_word_is_said_once() -> None:
    words = Words()
    words.put("join", Join("t"))
    words.put(A, BlobProgress(A, b"\1"))
    assert list(words.messages(1, beats=False)) == [(1, Join("t")), (2, Progress((BlobProgress(A, b"\1"),)))]
    assert said(words, 3) == []
    words.put(A, BlobProgress(A, b"\1"))
    assert not words.has_more
    words.put(A, BlobProgress(A, b"\3"))
    assert said(words, 3) == [Progress((BlobProgress(A, b"\3"),))]
    words.repeat(A)
    words.repeat(B)
    assert said(words, 4) == [Progress((BlobProgress(A, b"\3"),))]


def test_a_beat_is_a_message_although_nothing_is_new() -> None:
    words = Words()
    lease = LeaseProgress("l", 1, 2)
    assert list(words.messages(9, (lease,), is_starving=True)) == [(9, Progress((), (lease,), True))]


def test_another_scheduler_is_told_what_it_does_not_know() -> None:
    words = Words()
    words.put(A, BlobProgress(A, b"\1"))
    assert len(said(words, 1)) == 1
    words.put(B, BlobProgress(B, b"\1"))
    assert len(said(words, 2)) == 1
    words.begin(1)
    assert said(words, 3) == [Progress((BlobProgress(B, b"\1"),))]
    words.begin(0)
    assert said(words, 4) == [Progress((BlobProgress(A, b"\1"), BlobProgress(B, b"\1")))]


def test_what_is_not_kept_is_forgotten_once_it_was_heard() -> None:
    words = Words()
    words.put("failed", FailedWork("l", "temporary"), is_kept=False)
    words.heard(100)
    assert said(words, 1) == [FailedWork("l", "temporary")]
    words.begin(0)
    assert said(words, 2) == [FailedWork("l", "temporary")]
    words.heard(2)
    words.begin(0)
    assert said(words, 3) == []


def test_many_blobs_and_large_ones_are_said_in_messages_that_fit() -> None:
    words = Words()
    digests = [Digest(Algorithm.SHA256, f"{number:064x}") for number in range(1000)]
    for number, digest in enumerate(digests):
        words.put(digest, BlobProgress(digest, bytes(20_000 if number % 100 == 0 else 10)))
    sent = list(words.messages(1))
    assert [seq for seq, _ in sent] == list(range(1, len(sent) + 1))
    assert max(request(*one).ByteSize() for one in sent) <= MOST_MESSAGE
    assert [blob.digest for _, one in sent if isinstance(one, Progress) for blob in one.blobs] == digests


def test_first_words_on_a_subject_do_not_replace_later_ones() -> None:
    words = Words()
    words.begin_with("task", Join("first"))
    words.put("task", Join("later"))
    words.begin_with("task", Join("first"))
    assert said(words, 1) == [Join("later")]


def test_what_is_to_be_said_again_is_not_taken_for_heard_before_it_was() -> None:
    words = Words()
    words.put("failed", FailedWork("l", "no-space"), is_kept=False)
    assert len(said(words, 7)) == 1
    words.begin(5)
    words.heard(8)
    assert said(words, 9) == [FailedWork("l", "no-space")]
    words.heard(9)
    words.begin(0)
    assert not words.has_more


def test_a_subject_that_is_forgotten_is_said_to_nobody() -> None:
    words = Words()
    words.put("join", Join("t"))
    words.put(A, BlobProgress(A, b"\1"))
    assert len(said(words, 1)) == 2
    words.forget("join")
    words.forget(B)
    words.begin(0)
    assert said(words, 3) == [Progress((BlobProgress(A, b"\1"),))]
