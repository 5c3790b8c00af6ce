"""Words of a node that schedulers are to know, so that after a change of schedulers only the rest is said again.

All is state: the newest word on a subject counts. So whatever was said, and possibly lost, may be said again.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from orchestrator.swarm.control.messages import BlobProgress, FromNode, LeaseProgress, Progress

_BLOBS = 128
"""Blobs in one message of progress, unless their sets of pieces are long."""
_BYTES = 48 << 10


@dataclass(slots=True)
class _Word:
    said: FromNode | BlobProgress
    seq: int = 0
    is_kept: bool = True


class Words:
    """All that this node has to say, by subject, each with the number of the message that had it; 0 for none yet."""

    def __init__(self) -> None:
        self._words: dict[Hashable, _Word] = {}
        self._unsaid: dict[Hashable, None] = {}

    def put(self, subject: Hashable, said: FromNode | BlobProgress, *, is_kept: bool = True) -> None:
        """Say this on the subject. What is not `is_kept` is forgotten once it was heard."""
        known = self._words.get(subject)
        if known is None or known.said != said:
            self._words[subject] = _Word(said, 0, is_kept)
            self._unsaid[subject] = None

    def begin_with(self, subject: Hashable, said: FromNode) -> None:
        """Say this on the subject unless something was said already."""
        if subject not in self._words:
            self.put(subject, said)

    def repeat(self, subject: Hashable) -> None:
        """Say again what was said on the subject, if anything was."""
        if subject in self._words:
            self._unsaid[subject] = None

    def forget(self, subject: Hashable) -> None:
        """Say nothing on the subject any more, also to who has not heard of it."""
        self._words.pop(subject, None)
        self._unsaid.pop(subject, None)

    @property
    def has_more(self) -> bool:
        """True when there is something to say."""
        return bool(self._unsaid)

    def begin(self, seen: int) -> None:
        """Another scheduler has the word, and knows what was said up to this number."""
        for subject, word in self._words.items():
            if word.seq > seen:
                word.seq = 0  # what is heard from now on says nothing of it
                self._unsaid[subject] = None

    def heard(self, seen: int) -> None:
        """All up to this number was heard."""
        for subject in [subject for subject, word in self._words.items() if not word.is_kept and 0 < word.seq <= seen]:
            del self._words[subject]
            self._unsaid.pop(subject, None)

    def messages(
        self, seq: int, leases: tuple[LeaseProgress, ...] = (), *, is_starving: bool = False, beats: bool = True
    ) -> Iterator[tuple[int, FromNode]]:
        """All that is to be said, numbered from `seq` on. With `beats` there is one message of progress at least."""
        blobs: list[tuple[Hashable, BlobProgress]] = []
        for subject in list(self._unsaid):
            word = self._words[subject]
            if isinstance(word.said, BlobProgress):
                blobs.append((subject, word.said))
                continue
            self._note(subject, seq)
            yield seq, word.said
            seq += 1
        while blobs or beats:
            part, blobs = _first(blobs)
            for subject, _ in part:
                self._note(subject, seq)
            yield seq, Progress(tuple(blob for _, blob in part), leases, is_starving)
            seq, beats, leases = seq + 1, False, ()

    def _note(self, subject: Hashable, seq: int) -> None:
        self._words[subject].seq = seq
        del self._unsaid[subject]


_Blobs = list[tuple[Hashable, BlobProgress]]


def _first(blobs: _Blobs) -> tuple[_Blobs, _Blobs]:
    """As many as fit into a message, and the others."""
    size = 0
    for index, (_, blob) in enumerate(blobs):
        size += len(blob.checked)
        if index and (index >= _BLOBS or size > _BYTES):
            return blobs[:index], blobs[index:]
    return blobs, []
