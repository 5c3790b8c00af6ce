"""The notes of a cache: a file for each run in `runs` of the state folder, mode 0600, by its number.

Runs of this user alone: the state folder is theirs. A file that others could have written is passed over, and one that
cannot be read counts as absent: a list is then pulled again by its name.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from orchestrator.disk.access import refuse_strangers
from orchestrator.disk.locks import state_lock
from orchestrator.disk.state_file import UNREADABLE, load_state, write_state
from orchestrator.errors import NotFoundError, TemporaryError
from orchestrator.platform.host import host_name
from orchestrator.runs.run_note import AskedRun, KnownRun, ModelStep, NotedItem, NotedModel, RunNote
from orchestrator.system import processes
from orchestrator.system.failures import on_disk

MOST = 50
"""So many runs that ended before their time are remembered; the oldest go first."""
PATIENCE = 60.0
"""Seconds for which the run of another host is believed to go on since it was noted last."""
_NAME = re.compile(r"([1-9][0-9]{0,8})\.json")


class RunStore:
    """The notes in one state folder. Errors per `system.failures`."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / "runs"
        self._stage = state_dir / "stage"

    def known(self) -> tuple[KnownRun, ...]:
        """The runs that go on, and those of which something is left, the oldest first. Never raises."""
        return tuple(run for run in self._all() if run.is_running or run.models_left)

    def resumable(self, number: int | None, cache_dir: Path) -> KnownRun:
        """The run of this number that was stopped; without a number the newest.

        Raises NotFoundError when there is none, TemporaryError for one that goes on. `cache_dir` is for the message.
        """
        known = self.known()
        if number is None:
            stopped = [run for run in known if not run.is_running]
            if not stopped:
                for run in known:
                    _refuse_running(run)
                raise NotFoundError(
                    f"nothing to resume: no pull into {cache_dir} was stopped before its end",
                    hint="glm-aria status shows what goes on; for another cache: --cache-dir DIR",
                )
            return max(stopped, key=lambda run: (run.note.since, run.number))
        found = next((run for run in known if run.number == number), None)
        if found is None:
            raise NotFoundError(f"there is no run {number} of a pull into {cache_dir}", hint="glm-aria status")
        _refuse_running(found)
        return found

    def begin(self, asked: AskedRun, now: float) -> tuple[int, RunNote]:
        """Note a run that begins, or is taken up again; its number and the note.

        Raises TemporaryError when the run to be taken up goes on by now, NotFoundError when it is gone.
        """
        with on_disk("write", self._folder):
            self._folder.mkdir(mode=0o700, exist_ok=True)
            with state_lock(self._folder / "lock"):
                known = self._all()
                number, note = self._resumed(asked, known, now) if asked.number else _fresh(asked, known, now)
                self.save(number, asdict(note))
                stopped = [run for run in known if not run.is_running and run.number != number]
                too_many = len(known) + 1 - MOST
                for at, run in enumerate(stopped):
                    if at < too_many or not run.models_left:
                        self.remove(run.number)
        return number, note

    def supersede(self, number: int, items: Sequence[NotedItem]) -> None:
        """Drop the notes of stopped runs that asked for nothing but what run `number` asks for."""
        for run in self._all():
            if run.number != number and not run.is_running and set(run.note.items) <= set(items):
                self.remove(run.number)

    def save(self, number: int, note: dict[str, Any]) -> None:
        """Replace the note of a run: a `RunNote` as JSON holds it."""
        write_state(self._path(number), self._stage, note, durable=False)

    def remove(self, number: int) -> None:
        """Drop the note of a run; fine when there is none."""
        with on_disk("remove", self._path(number)):
            self._path(number).unlink(missing_ok=True)

    def forget(self, number: int, cache_dir: Path) -> None:
        """Drop the note of a run that was stopped; bytes that arrived stay. Raises as `resumable`."""
        self.remove(self.resumable(number, cache_dir).number)

    def _resumed(self, asked: AskedRun, known: tuple[KnownRun, ...], now: float) -> tuple[int, RunNote]:
        found = next((run for run in known if run.number == asked.number), None)
        if found is None:
            raise NotFoundError(f"run {asked.number} was ended or forgotten meanwhile", hint="glm-aria status")
        _refuse_running(found)
        host, pid, started = processes.me()
        return found.number, replace(
            found.note,
            since=now,
            host=host,
            pid=pid,
            started=started,
            options=asked.options,
            withheld=asked.withheld,
            models=tuple(
                model if model.step is ModelStep.DONE else NotedModel(model.ref, size=model.size, left=model.left)
                for model in found.note.models
            ),
            at=now,
        )

    def _all(self) -> tuple[KnownRun, ...]:
        return tuple(sorted(self._read(), key=lambda run: run.number))

    def _read(self) -> Iterator[KnownRun]:
        try:
            names = os.listdir(self._folder)  # noqa: PTH208 - names are all that is wanted
        except OSError:
            return
        for name in names:
            if found := _NAME.fullmatch(name):
                number = int(found[1])
                with contextlib.suppress(*UNREADABLE):
                    yield KnownRun(number, note := _parsed(self._path(number)), self._is_running(number, note))

    def _is_running(self, number: int, note: RunNote) -> bool:
        """True while its process runs. Of another host only the age of the note tells."""
        if not note.pid:
            return False
        if note.host == host_name():
            return processes.lives(note.pid, note.started)
        return processes.age(self._path(number)) < PATIENCE

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.json"


def _fresh(asked: AskedRun, known: tuple[KnownRun, ...], now: float) -> tuple[int, RunNote]:
    host, pid, started = processes.me()
    items = tuple(map(NotedItem.of, asked.items))
    models = tuple(NotedModel(item.ref) for item in items)
    note = RunNote(now, host, pid, started, items, asked.options, asked.withheld, models, at=now)
    return max((run.number for run in known), default=0) + 1, note


def _refuse_running(run: KnownRun) -> None:
    if run.is_running:
        raise TemporaryError(
            f"run {run.number} goes on: process {run.note.pid} on {run.note.host}", hint="glm-aria status --watch"
        )


def _parsed(path: Path) -> RunNote:
    from orchestrator.documents import decode

    note = decode(RunNote, load_state(path, judge=refuse_strangers))
    if not note.is_sane:
        raise ValueError("no run has such numbers")
    return note
