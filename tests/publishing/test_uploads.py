"""A blob is brought to a target that breaks at each of its edges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from orchestrator.core.files import Digest
from orchestrator.errors import (
    ConflictError,
    GlmAriaError,
    IntegrityError,
    Interrupted,
    NotAllowedError,
    NotFoundError,
    ProtocolError,
    SourcesDownError,
    TemporaryError,
)
from orchestrator.oci.client import Upload
from orchestrator.oci.manifest import digest_of
from orchestrator.publishing.uploads import ATTEMPTS, BlobUploads, Brought, Content, OnBytes
from orchestrator.system.signals import Stop

DATA = b"0123456789abcdef"
CONTENT = Content(digest_of(DATA), len(DATA), "model.safetensors", DATA)


class Impatient(Stop):
    """Waits for nothing."""

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


@dataclass
class Target:
    """A target that forgets an upload that failed, if it `drops`, and fails as `plan` has it for its steps in turn."""

    plan: dict[str, list[GlmAriaError | None]] = field(default_factory=dict)
    drops: bool = False
    size: int = 0
    is_there: bool = False
    calls: list[str] = field(default_factory=list)

    def _step(self, name: str) -> None:
        self.calls.append(name)
        if self.plan.get(name) and (error := self.plan[name].pop(0)) is not None:
            self.size = 0 if self.drops else self.size
            raise error

    def done(self, digest: Digest) -> int | None:
        self._step("done")
        return None if self.is_there else self.size

    def take_over(self, digest: Digest) -> str | None:
        self._step("take_over")
        return None

    def put(self, digest: Digest, data: bytes) -> None:
        self._step("put")
        assert data == DATA
        self.is_there = True

    def open(self, digest: Digest) -> Upload:
        self._step("open")
        return Upload("u", self.size)

    def send(self, digest: Digest, upload: Upload, chunk: bytes) -> Upload:
        self._step("send")
        self.size = upload.done + len(chunk)
        return Upload("u", self.size)

    def finish(self, digest: Digest, upload: Upload) -> None:
        self._step("finish")
        assert upload.done == len(DATA)
        self.is_there = True


def uploads(target: Target, on_bytes: OnBytes = lambda *_: None, chunk: int = 4) -> BlobUploads:
    return BlobUploads(target, chunk=chunk, stop=Impatient(), on_bytes=on_bytes)


def always(error: GlmAriaError) -> list[GlmAriaError | None]:
    return [error] * 1000


@pytest.fixture
def told() -> Iterator[list[int]]:
    """How many bytes were told to be there, which are those of the blob in the end."""
    counts: list[int] = []
    yield counts
    assert counts[-1] == len(DATA)


@pytest.mark.parametrize("drops", [False, True])
@pytest.mark.parametrize("step", ["take_over", "open", "send", "finish"])
def test_a_step_that_breaks_is_taken_again(step: str, told: list[int], *, drops: bool) -> None:
    down = SourcesDownError("down")
    target = Target({step: [down, down, None, down], "done": [down]}, drops)
    brought = uploads(target, lambda _, done, __: told.append(done)).bring(CONTENT)
    assert target.is_there
    assert brought.sent >= len(DATA)
    assert target.calls.count("finish") <= 4


@pytest.mark.parametrize("drops", [False, True])
@pytest.mark.parametrize("step", ["take_over", "open", "send", "finish"])
def test_what_stays_broken_ends_the_push(step: str, *, drops: bool) -> None:
    """A target that drops what it has gets the same bytes again; they are no progress."""
    target = Target({step: always(TemporaryError("HTTP 503"))}, drops)
    with pytest.raises(TemporaryError, match="503"):
        uploads(target).bring(CONTENT)
    assert target.calls.count(step) == ATTEMPTS


def test_bytes_that_the_target_never_had_begin_the_count_anew() -> None:
    broken: list[GlmAriaError | None] = [*[SourcesDownError("down")] * (ATTEMPTS - 1), None]
    target = Target({"send": broken * 4})
    assert uploads(target).bring(CONTENT) == Brought(len(DATA))


def test_a_blob_of_one_chunk_is_sent_at_once(told: list[int]) -> None:
    target = Target()
    brought = uploads(target, lambda _, done, __: told.append(done), chunk=len(DATA)).bring(CONTENT)
    assert (brought, target.calls) == (Brought(len(DATA)), ["take_over", "put"])


@pytest.mark.parametrize("error", [SourcesDownError("down"), NotFoundError("no upload"), ProtocolError("HTTP 400")])
def test_what_cannot_be_sent_at_once_is_sent_by_chunks(error: GlmAriaError, told: list[int]) -> None:
    target = Target({"put": [error]})
    uploads(target, lambda _, done, __: told.append(done), chunk=len(DATA)).bring(CONTENT)
    assert target.calls == ["take_over", "put", "done", "take_over", "open", "send", "finish"]


def test_a_blob_of_which_an_upload_has_bytes_goes_on_with_that() -> None:
    target = Target(size=8)
    assert uploads(target, chunk=len(DATA)).bring(CONTENT, 8) == Brought(len(DATA) - 8)
    assert "put" not in target.calls


def test_an_answer_that_was_lost_sends_nothing_again() -> None:
    class Lossy(Target):
        def finish(self, digest: Digest, upload: Upload) -> None:
            super().finish(digest, upload)
            if self.calls.count("finish") == 1:
                raise SourcesDownError("the answer was lost")

    target = Lossy()
    assert uploads(target).bring(CONTENT) == Brought(len(DATA))
    assert target.calls.count("send") == 4


def test_a_blob_that_another_push_sends_is_waited_for() -> None:
    """The other one has sent half of it, and has it whole after a while."""

    class Shared(Target):
        def send(self, digest: Digest, upload: Upload, chunk: bytes) -> Upload:
            self.calls.append("send")
            self.size += len(chunk)
            self.is_there = self.size == len(DATA)
            raise ConflictError(f"another push sends {digest}", details=(str(upload.done),))

    assert uploads(Shared(size=8)).bring(CONTENT) == Brought(0)


def test_a_push_that_stands_still_elsewhere_is_told_by_the_name_of_the_file() -> None:
    target = Target({"send": always(ConflictError("another push sends sha256:0"))})
    with pytest.raises(TemporaryError, match=r"model\.safetensors") as caught:
        uploads(target).bring(CONTENT)
    assert caught.value.exit_code == 75


def test_bytes_that_are_refused_are_sent_once_more_and_not_again() -> None:
    target = Target({"finish": always(ConflictError("these are other bytes"))}, drops=True)
    with pytest.raises(IntegrityError, match="other bytes"):
        uploads(target).bring(CONTENT)
    assert target.calls.count("send") == 2 * 4


def test_a_refusal_is_final() -> None:
    target = Target({"open": [NotAllowedError("no")]})
    with pytest.raises(NotAllowedError):
        uploads(target).bring(CONTENT)
    assert target.calls == ["take_over", "open"]


def test_a_stop_ends_it_between_two_tries() -> None:
    target, stop = Target({"open": always(SourcesDownError("down"))}), Impatient()
    stop.set()
    with pytest.raises(Interrupted):
        BlobUploads(target, chunk=4, stop=stop, on_bytes=lambda *_: None).bring(CONTENT)
