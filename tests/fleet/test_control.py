"""What fails of the control while machines fetch together: nothing stops, and the origin sends little more."""

from __future__ import annotations

import signal
import time

import pytest

from tests.fleet.test_failures import SLACK, at
from tests.fleet.trial import REDIS_PORT, Trial

pytestmark = pytest.mark.sampled(1)


def over_redis(trial: Trial) -> None:
    """Two schedulers on one Redis, and the nodes know both."""
    place = f"redis://{trial.head.address}:{REDIS_PORT}"
    for port in (8091, 8093):
        trial.schedule(port, "--redis", place)
    trial.fleet = ",".join(f"{trial.head.address}:{port}" for port in (8091, 8093))


def test_a_scheduler_is_killed(trial: Trial) -> None:
    trial.redis()
    over_redis(trial)
    trial.start_all()
    trial.reaches(at(trial))
    trial.draw.choice(trial.beside[1:]).kill()
    trial.ends(egress=1 + SLACK, ratio=1.4)


def test_redis_stands_still(trial: Trial) -> None:
    server = trial.redis()
    over_redis(trial)
    trial.start_all()
    trial.reaches(at(trial))
    server.send(signal.SIGSTOP)
    time.sleep(5)  # what is tried, and not a wait for something
    server.send(signal.SIGCONT)
    trial.ends(egress=1 + SLACK)


def test_redis_is_lost_with_its_data(trial: Trial) -> None:
    server = trial.redis()
    over_redis(trial)
    trial.start_all()
    trial.reaches(at(trial))
    server.kill()
    trial.redis()
    trial.ends(egress=1.2)


def test_all_control_is_gone_for_good(trial: Trial) -> None:
    trial.redis()
    over_redis(trial)
    trial.start_all()
    trial.reaches(at(trial) / 2)
    for running in trial.beside:
        running.kill()
    ended = trial.ends(egress=1.2)
    told = [[each["code"] for each in one.document["warnings"]] for one in ended.values()]
    assert all(codes.count("fleet-without-scheduler") <= 1 for codes in told), "warned once"


def test_each_process_has_a_scheduler_over_redis(trial: Trial) -> None:
    trial.redis()
    trial.fleet = f"redis://{trial.head.address}:{REDIS_PORT}"
    trial.start_all()
    trial.reaches(at(trial))
    trial.kill(trial.draw.choice(trial.nodes))
    trial.ends(egress=1 + SLACK + 1 / len(trial.nodes), ratio=1.4)


def test_the_scheduler_of_a_memory_is_killed_and_another_begins(trial: Trial) -> None:
    first = trial.schedule(8091)
    trial.fleet = f"{trial.head.address}:8091"
    trial.start_all()
    trial.reaches(at(trial))
    first.kill()
    trial.schedule(8091)
    trial.ends(egress=1.2)
