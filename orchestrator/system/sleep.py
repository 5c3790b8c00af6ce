"""Sleep of the machine: afterwards its connections are gone, though nobody told it so."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.platform.clocks import seconds_asleep

_LEAST_SECONDS = 5.0


class Sleep:
    """Notices that the machine slept for more than a moment since it was asked last."""

    def __init__(self, asleep: Callable[[], float] = seconds_asleep) -> None:
        self._asleep = asleep
        self._seen = asleep()

    def is_over(self) -> bool:
        """True once after each sleep."""
        before, self._seen = self._seen, self._asleep()
        return self._seen - before > _LEAST_SECONDS
