"""One point: run the command, break it there, look as readers do, run it again, look once more."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.readers import litter, wrong_things
from tests.crash.scenarios import Stage
from tests.crash.supervisor import TAKES_ROOM, Call, Injection, Supervisor
from tests.machine.fixtures import assert_unseen
from tests.machine.machine import Machine, Result

EXIT_CODES = {
    errno.ENOSPC: 79,
    errno.EDQUOT: 79,
    errno.EROFS: 73,
    errno.EACCES: 73,
    errno.EIO: 74,
    errno.EMFILE: 74,
}
_OPENS = ("open", "openat", "creat")
# aria2c writes a file in hundreds of equal pieces: so many of them, evenly spread, stand for all.
_SPREAD = 6


@dataclass
class Outcome:
    """What came of one point. It is fine when it happened and all lists are empty."""

    injection: Injection
    code: int | None = None
    wrong: list[str] = field(default_factory=list)
    """Visible to readers after the blow, or a canary token where it must not be."""
    silent: list[str] = field(default_factory=list)
    """An exit code or message that does not tell what happened, or 0 without the result."""
    unrecovered: list[str] = field(default_factory=list)
    """What the next run did not put right."""
    litter: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        lists = {"wrong": self.wrong, "silent": self.silent, "unrecovered": self.unrecovered, "litter": self.litter}
        head = f"{self.injection}: exit {self.code}"
        return [f"{head}: {name}: {text}" for name, found in lists.items() for text in found]


def record(stage: Stage, folder: Path) -> list[Call]:
    """All calls of a run that nobody disturbs."""
    machine = stage.machine(folder)
    supervisor = Supervisor(machine.folder)
    try:
        _run(stage, machine, supervisor).ended(0)
        assert (wrong_things(machine, stage, done=True), litter(machine)) == ([], [])
    finally:
        machine.stop()
        supervisor.close()
    shutil.rmtree(folder)
    return supervisor.seen()


def points(calls: Iterable[Call], kind: str, chance: random.Random, *, rare: bool) -> list[Injection]:
    """All that is worth trying with these calls: every call of Python, a spread of those of aria2c.

    `rare`: also with errors other than a full disk (ENOSPC) and a broken one (EIO).
    """
    made = []
    for call in _spread(calls):
        if kind == "kill":
            made.append(Injection(call, everyone=chance.random() < 0.5))
            continue
        takes_room = call.name in TAKES_ROOM
        numbers = [errno.EIO]
        if takes_room or call.name.startswith(("rename", "fsync")):
            numbers.append(errno.ENOSPC)
        if rare:
            numbers.append(chance.choice([errno.EROFS, errno.EACCES, *([errno.EDQUOT] if takes_room else [])]))
        if rare and call.name in _OPENS:
            numbers.append(errno.EMFILE)
        made += [Injection(call, number) for number in numbers]
        if takes_room:
            made.append(Injection(call, errno.ENOSPC, lasting=True))
    return made


def _spread(calls: Iterable[Call]) -> list[Call]:
    known = set(calls)
    counts = Counter((call.role, call.name, call.path) for call in known)
    kept = []
    for call in sorted(known):
        count = counts[call.role, call.name, call.path]
        if (
            call.role == "aria2c"
            and count > _SPREAD
            and call.nth not in {1 + index * (count - 1) // (_SPREAD - 1) for index in range(_SPREAD)}
        ):
            continue
        kept.append(call)
    return kept


def trial(stage: Stage, folder: Path, injection: Injection) -> Outcome:
    """Break the scenario's command once, on a machine in the new folder, which is removed when all was fine."""
    outcome = Outcome(injection)
    machine = stage.machine(folder)
    supervisor = Supervisor(machine.folder, injection)
    try:
        _strike(stage, machine, supervisor, outcome)
        if injection.happened:
            outcome.wrong += wrong_things(machine, stage, done=False)
            _again(stage, machine, outcome)
            _look_for_the_token(machine, outcome)
    finally:
        machine.stop()
        supervisor.close()
    if not outcome.faults:
        shutil.rmtree(folder)
    return outcome


def _strike(stage: Stage, machine: Machine, supervisor: Supervisor, outcome: Outcome) -> None:
    injection = outcome.injection
    try:
        result = _run(stage, machine, supervisor)
    except AssertionError as error:
        outcome.silent.append(f"hung: {error}")
        return
    outcome.code = result.code
    if not injection.happened:
        return
    if injection.number is None:
        if injection.at.role == "python" or injection.everyone:
            outcome.silent += [] if result.code == -signal.SIGKILL else ["the command was not killed"]
        elif result.code != 0:
            outcome.silent.append(f"did not get over a killed aria2c: {result.out[-600:]}")
        else:
            outcome.silent += wrong_things(machine, stage, done=True)
        return
    if not machine.aria2_ended():
        outcome.litter.append("an aria2c that outlived its run")
    if result.code == 0:
        outcome.silent += wrong_things(machine, stage, done=True)
    else:
        outcome.silent += _tells(result, injection, machine, stage)


def _tells(result: Result, injection: Injection, machine: Machine, stage: Stage) -> list[str]:
    """The exit code is of the right class, and an error says which file was concerned and why."""
    assert injection.number is not None
    right = {EXIT_CODES[injection.number]}
    if injection.at.role == "aria2c" and injection.number != errno.ENOSPC:
        right.add(74)  # aria2 tells a full disk from other errors, and no more
    if injection.at.role == "aria2c" and injection.at.name in _OPENS:
        right.add(73)  # nor why it could not create a file
    if result.code not in right | ({3} if stage.goes_on else set()):
        return [f"exit {result.code} instead of {right}: {result.out[-600:]} {result.err[-600:]}"]
    errors = result.document["errors"]
    names = [*stage.after, *(name for path in injection.paths for name in (path, Path(path).name))]
    for error in errors:
        text = error["message"] + str(error["file"])
        if error["exit_code"] in right and (str(machine.folder) in text or any(name in text for name in names)):
            return []
    return [f"no error names a file: {errors}"]


def _again(stage: Stage, machine: Machine, outcome: Outcome) -> None:
    result = machine.run(*stage.command)
    if result.code != 0:
        outcome.unrecovered.append(f"the next run: exit {result.code}: {result.out[-600:]} {result.err[-600:]}")
        return
    outcome.unrecovered += wrong_things(machine, stage, done=True)
    if not machine.aria2_ended():
        outcome.litter.append("an aria2c")
    outcome.litter += litter(machine)


def _look_for_the_token(machine: Machine, outcome: Outcome) -> None:
    try:
        assert_unseen(machine)
    except AssertionError as error:
        outcome.wrong.append(str(error))


def _run(stage: Stage, machine: Machine, supervisor: Supervisor) -> Result:
    """Run the command under the supervisor, which goes on for as long as an orphaned aria2c does."""
    running = machine.start(*stage.command, under=supervisor.under, fds=supervisor.fds)
    supervisor.watch()
    result = running.end(60)
    plan = supervisor.injection
    if plan is not None and plan.everyone:
        for pid in machine.aria2():
            os.kill(pid, signal.SIGKILL)
    return result


def sample(injections: Sequence[Injection], count: int | None, chance: random.Random) -> list[Injection]:
    """So many of them, chosen by chance, or all."""
    return list(injections) if count is None or count >= len(injections) else chance.sample(list(injections), count)
