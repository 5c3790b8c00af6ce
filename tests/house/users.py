"""Users of a house: each comes with a client and a home of its own, stays for a while, and may be killed.

A user who was killed, or whose client failed, may come again into the same home: what lies there then is what resuming
clients go on with. Whoever ends with exit code 0 must have the right files. Whoever fails although nothing went wrong
while it ran is wrong as well.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.clients.client import Client, Download, Running
from tests.clients.judge import Verdict, content_of, judge
from tests.clients.table import CLIENTS
from tests.hub.repos import Repo

CHEAP = ("curl", "wget", "wget-resume", "aria2c")
DEAR = ("hf", "snapshot_download", "HfFileSystem", "glm-aria", "hf-local-dir")
"""Programs of Python: each start costs a second of a core."""
_ROWS = {row.name: row for row in CLIENTS if row.name in CHEAP + DEAR}
_MOST = 5
"""Clients at once."""
_PATIENCE_S = 240.0


@dataclass(frozen=True, slots=True)
class Visit:
    """A client that runs. `calm` is the number of troubles that there had been when it came."""

    running: Running
    calm: int | None


@dataclass
class Users:
    """Those who are there, the homes of those who may come again, and what became of all."""

    folder: Path
    draw: Random
    visits: list[Visit] = field(default_factory=list)
    homes: list[tuple[Client, Repo, str, Path]] = field(default_factory=list)
    count: Counter[str] = field(default_factory=Counter)
    _number: int = 0

    def come(self, url: str, repo: Repo, revision: str, calm: int | None) -> str:
        """Start a client: of a new user, or of one who comes again; say which."""
        if self.homes and self.draw.random() < 0.4:
            client, repo, revision, home = self.homes.pop(self.draw.randrange(len(self.homes)))
        else:
            names = CHEAP if self.draw.random() < 0.75 else DEAR
            client = _ROWS[self.draw.choice(names)]
            self._number += 1
            home = self.folder / f"user-{self._number}"
        self.visits.append(Visit(client.start(Download(url, repo, home, revision)), calm))
        return f"{client} for {repo.name}@{revision[:8]} in {home.name}"

    def visit(self, name: str, url: str, repo: Repo, revision: str, calm: int | None) -> None:
        """Start a client of this name, of a new user."""
        self._number += 1
        download = Download(url, repo, self.folder / f"user-{self._number}", revision)
        self.visits.append(Visit(_ROWS[name].start(download), calm))

    @property
    def is_full(self) -> bool:
        """True when somebody has to leave before another one comes."""
        return len(self.visits) >= _MOST

    def leave(self, calm: int | None) -> str:
        """Wait until the one who came first has ended, and judge."""
        return self._end(self.visits.pop(0), calm)

    def all_leave(self, calm: int | None) -> list[str]:
        """Wait for all."""
        return [self.leave(calm) for _ in range(len(self.visits))]

    def kill(self) -> str:
        """Kill one of them, as a power cut would."""
        visit = self.visits.pop(self.draw.randrange(len(self.visits)))
        outcome = visit.running.kill()
        self.count["killed"] += outcome.returncode != 0
        self._keep(visit)
        return f"{visit.running.client} in {visit.running.download.home.name}"

    def close(self) -> None:
        """Kill all that are left of a test that failed."""
        for visit in self.visits:
            visit.running.kill()

    def _end(self, visit: Visit, calm: int | None) -> str:
        running = visit.running
        client, download = running.client, running.download
        outcome = running.end(_PATIENCE_S)
        verdict = judge(client, outcome, content_of(download.commit))
        self.count[verdict] += 1
        told = f"{client} in {download.home.name} -> {outcome.returncode}"
        if verdict is Verdict.FAILED:
            was_calm = calm is not None and visit.calm == calm
            assert not was_calm, f"{told}, and nothing had gone wrong\n{outcome.output}"
            self._keep(visit)
        else:
            shutil.rmtree(download.home)
        return told

    def _keep(self, visit: Visit) -> None:
        client, download = visit.running.client, visit.running.download
        self.homes.append((client, download.repo, download.revision, download.home))
        while len(self.homes) > 8:
            *_, home = self.homes.pop(0)
            shutil.rmtree(home)
