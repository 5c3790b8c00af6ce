"""`glm-aria run`: a command of the user's behind a server that lives as long as it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import click

from orchestrator.cli import options as shared
from orchestrator.cli import terminal
from orchestrator.cli.groups import HeadedCommand
from orchestrator.cli.options import Level, SiteChoice
from orchestrator.cli.run import Run, services
from orchestrator.cli.typed import argument, takes


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of `run`."""

    command: Annotated[tuple[str, ...], argument("COMMAND [ARG]...", required=True, type=click.UNPROCESSED)]
    sites: SiteChoice
    cache_dir: Annotated[str | None, shared.CACHE_DIR]
    max_speed: Annotated[str | None, shared.MAX_SPEED]
    trust: Annotated[Level | None, shared.TRUST]
    offline: Annotated[bool, shared.rule("--offline", setting="offline", help="Ask no server: give what is cached.")]
    progress: Annotated[
        Literal["auto", "bar", "lines", "json", "none"],
        shared.output("--progress", default="auto",
                      help="How to show downloads on stderr. auto: a line every few seconds while there are any."),
    ]  # fmt: skip
    quiet: Annotated[bool, shared.output("-q", "--quiet", help="Show no progress, only warnings and errors.")]


@dataclass(frozen=True, slots=True)
class _Shown:
    progress: str
    quiet: bool
    as_json: bool = False


@click.command("run", cls=HeadedCommand, context_settings={"allow_interspersed_args": False})
@takes(RunOptions)
def run(options: RunOptions) -> int:
    """Run a command whose downloads from the Hub are fast and proven.

    While the command runs, a server on this machine answers it in place of the Hub: HF_ENDPOINT is set to an address
    that nobody else knows. What hf, transformers, vLLM or datasets ask for is fetched from all sources at once, like by
    pull, proven against the root's digest, and placed in the cache that they read. They wait for it at the cache's own
    locks, so a file lies on the disk once. Afterwards everything works without glm-aria, also offline.

    The command keeps the terminal, its standard streams and its environment, but for HF_ENDPOINT, HF_HUB_CACHE (the
    cache of the settings), HF_HUB_DISABLE_XET, MODELSCOPE_ENDPOINT (for modelscope 1.38 and later) and, behind a proxy,
    NO_PROXY. Gated repos are fetched with your token, as by pull; the one that the command sends goes nowhere. Uploads
    are not possible.

    The exit code is that of the command, 128 and the number of the signal that ended it, 127 if there is no such
    command, 126 if it cannot be started. Ctrl-C is for the command; after a second one it has 3 seconds.

    \b
    Examples:
      glm-aria run -- hf download org/name
      glm-aria run -- python train.py --epochs 3
      glm-aria run --max-speed 50M -- vllm serve org/name

    \b
      glm-aria run --mirror https://mirror.example -- hf download org/name
      glm-aria run --offline -- python eval.py
    """
    settings = shared.settings(options)
    # The command writes to the same terminal: a bar that is drawn again and again would be torn.
    calm = "none" if options.quiet else "lines"
    shown = _Shown(calm if options.progress == "auto" else options.progress, options.quiet)
    run = Run.watching(shown, settings, is_guest=True)
    with run.watched():
        code = services(settings).run(options.command, run.emit_lasting)
    for notice in run.notices:
        if notice not in run.watcher.shown:
            terminal.say_notice(notice)
    return code
