"""`glm-aria fleet key`: the secret that all machines of a fleet have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import click

from orchestrator.cli import options as shared
from orchestrator.cli import terminal
from orchestrator.cli.named_config import CONFIG
from orchestrator.cli.typed import option, takes
from orchestrator.core.text import printable


@dataclass(frozen=True, slots=True)
class KeyOptions:
    """The options of `fleet key`."""

    force: Annotated[bool, option("--force", help="Replace the key that is there.")]
    show_path: Annotated[bool, option("--show-path", help="Only print where the key is, or would be.")]
    config: Annotated[str | None, CONFIG]


@click.command()
@takes(KeyOptions)
def key(options: KeyOptions) -> int:
    """Make the key of a fleet, in a file that you alone may read; print its path.

    Copy the file to every machine of the fleet, or give its text to them as GLM_ARIA_FLEET_KEY. The key itself is never
    shown, and never sent: machines prove to each other that they have it.

    To change it, put the new key on a line of its own below the old one, on every machine; then move it to the top, on
    every machine; then remove the old one. The first line is used, and all are believed, so that machines understand
    each other all the time. Programs that run have the keys that they began with: restart `serve` after each step.
    """
    from orchestrator.app.peers.keys import copying, key_file, make_key

    settings = shared.settings(options)
    if options.show_path:
        terminal.result(str(key_file(settings)))
        return 0
    file = make_key(settings, replace=options.force)
    terminal.result(str(file))
    terminal.say(printable(f"copy it to every machine of the fleet: {copying(file)}"))
    if settings.fleet_key is not None:
        terminal.say("GLM_ARIA_FLEET_KEY is set here, and wins over the file")
    return 0
