"""The command `glm-aria`: its subcommands, and the one place where an error becomes a message and an exit code."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import click

from orchestrator import __version__
from orchestrator.cli import terminal
from orchestrator.cli.groups import Lazy, LazyGroup
from orchestrator.cli.named_config import CONFIG
from orchestrator.core.text import redacted
from orchestrator.errors import ConfigError, DiskIOError, GlmAriaError, Interrupted, UsageError
from orchestrator.system import streams
from orchestrator.system.failures import translate
from orchestrator.system.limits import scarce

if TYPE_CHECKING:
    from orchestrator.app.services import Services
    from orchestrator.cli.run import MakeServices
    from orchestrator.settings import Settings

PROGRAM = "glm-aria"
COMMANDS = {
    "pull": Lazy("pull", "Fetch models, verify every file, and place them in the Hugging Face cache."),
    "plan": Lazy("pull", "Show what pull would do, without doing it."),
    "search": Lazy("sites.search", "Search the Hub and ModelScope for models by name, with the size of each."),
    "watch": Lazy("watch", "Keep the cache equal to a list of models, or a set as its source desires it."),
    "run": Lazy("run", "Run a command whose downloads from the Hub are fast and proven."),
    "serve": Lazy("serve", "Serve the cache to clients of Hugging Face and ModelScope, and fetch what it lacks."),
    "node": Lazy("fleet.node", "Fetch what the schedulers of a fleet have for this machine, and share it."),
    "scheduler": Lazy("fleet.scheduler", "Plan which node of a fleet fetches what, and whom it asks for the rest."),
    "fleet": Lazy("fleet", "Command a fleet: machines that share one download."),
    "state": Lazy("desired.state", "Carry a set of models to a machine without a network; the hash that names it."),
    "registry": Lazy("registry", "Versions and aliases of models in a registry of your own."),
    "push": Lazy("registry.push", "Push a folder as a version of a model."),
    "token": Lazy("token", "Make, list and revoke the tokens of `serve`."),
    "mirrors": Lazy("sites.mirrors", "Show and measure the sources: speed, freshness, quarantine."),
    "doctor": Lazy("doctor", "Find what slows downloads down: measure everything, suggest changes."),
    "status": Lazy("runs.status", "Show pulls that go on or were stopped, and what is left of them."),
    "history": Lazy("runs.history", "Show past pulls, and the speed of each source."),
    "predict": Lazy("predict", "Forecast which models will be asked for, and show what the forecasts are worth."),
    "verify": Lazy("verify", "Hash the cached files again; find corrupt ones, and repair them."),
    "cache": Lazy("cache", "Inspect the cache, share it with folders, clean it up."),
    "export": Lazy("export", "Describe a model in the cache for BitTorrent or Metalink programs."),
    "lock": Lazy("lock", "Compare lock files, which pin the bytes of models."),
    "daemon": Lazy("daemon", "Start, stop or inspect a background aria2c."),
    "config": Lazy("config", "Show settings and where each one came from."),
    "render": Lazy("render", "Render a configuration template; without NAME, list them."),
    "env": Lazy("env", "Print shell variables that make hf, transformers and others use a mirror."),
    "explain": Lazy("help.explain", "Show what an error means, why it happens, and what to do."),
    "completion": Lazy("help.completion", "Print the completion script of a shell."),
}
GROUPS = ("fleet", "state", "registry", "token", "mirrors", "predict", "cache", "lock", "daemon", "config")
_VERBOSE = re.compile(r"--verbose|-[hqv]*v[hqv]*")

EPILOG = """\b
Examples:
  glm-aria pull zai-org/AutoGLM-Phone-9B
  glm-aria pull org/name@v1.0 --include '*.safetensors' --include '*.json'
  glm-aria plan org/name --json
  path=$(glm-aria pull -q org/name)

\b
Environment (flags win over it; it wins over files):
  GLM_ARIA_CACHE_DIR, GLM_ARIA_ROOT, GLM_ARIA_TRUST, GLM_ARIA_MIRRORS, ...
      the settings that `glm-aria config show` lists with their origins
  HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN, HF_TOKEN_PATH, HF_HUB_OFFLINE,
  HF_HUB_DISABLE_IMPLICIT_TOKEN, HF_HUB_DISABLE_SYMLINKS, XDG_CACHE_HOME
      as in huggingface_hub, including their older names
  HF_HUB_ETAG_TIMEOUT, HF_HUB_DOWNLOAD_TIMEOUT
      timeouts in seconds: to connect to the root, and for its next bytes
  HTTPS_PROXY, HTTP_PROXY, NO_PROXY
      proxies, unless --proxy or a setting names one

\b
Files:
  ./glm-aria.toml, then the one that `glm-aria config path` names;
  --config FILE, as if it were your own, instead of ./glm-aria.toml

\b
Exit codes:
    0  done                               75  temporary: run it again
    2  wrong usage                        76  a server broke the protocol
    3  partial: some models failed        77  not allowed: gated, bad token
   65  no source had the right bytes      78  bad configuration
   66  repo, revision or file not found   79  no space left
   69  every source is down               80  unsafe name or policy
   70  a bug in this program              81  cannot be verified, or went back
   71  aria2 is missing or dead          100  warnings, with --strict
   73  cannot create output              130  stopped by Ctrl-C, resumable
   74  disk or pipe error                143  stopped by SIGTERM, resumable
  126  run: cannot start the command     127  run: no such command
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """Facts that the report of any error needs, even of parsing: read from the bare arguments."""

    command: str
    wants_json: bool
    is_verbose: bool

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Asked:
        """Look at what stands before a `--`."""
        words = list(arguments)
        words = words[: words.index("--")] if "--" in words else words
        at = next((index for index, word in enumerate(words) if word in COMMANDS), None)
        command = PROGRAM if at is None else words[at]
        if command == "pull" and "--dry-run" in words:
            command = "plan"
        elif command in GROUPS and at is not None and not (words[at + 1 :] or ["-"])[0].startswith("-"):
            command = f"{command} {words[at + 1]}"
        return cls(command, "--json" in words, any(_VERBOSE.fullmatch(word) for word in words))


@click.group(
    PROGRAM,
    cls=LazyGroup,
    lazy=COMMANDS,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name=PROGRAM)
@CONFIG.decorator("config", str)
def cli(config: str | None) -> None:
    """Fetch large models with aria2 from several mirrors at once, verify every byte, and place the files where Hugging
    Face software looks for them.

    Commits and digests come from one root that you trust (huggingface.co); if it is down, from as many other sites as
    --trust demands. Mirrors only serve bytes: a file whose digest does not match is never placed. An interrupted
    download resumes where it stopped.
    """


def _services(settings: Settings) -> Services:
    from orchestrator.app.services import Services

    return Services(settings)


def main(arguments: Sequence[str] | None = None, *, services: MakeServices = _services) -> int:
    """Run the command line; return the exit code. `services` makes what the commands call."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    asked = Asked.of(words)
    streams.fill_missing()
    streams.let_names_through()
    try:
        code = _run(words, asked, services)
    except terminal.ReaderLeftError:
        code = DiskIOError.exit_code
    _close_stdout()
    return code


def program() -> NoReturn:
    """The entry point of `glm-aria`: run `main` in Python's UTF-8 mode, then end the process.

    It waits for no thread: all work is joined by then, and what is left still asks a server, perhaps one that is down,
    for what nobody needs any more.
    """
    streams.spell_all_names()
    code = main()
    with suppress(OSError):
        sys.stderr.flush()
    os._exit(code)


def _run(words: list[str], asked: Asked, services: MakeServices) -> int:
    try:
        outcome = cli.main(words, prog_name=PROGRAM, standalone_mode=False, obj=services)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return UsageError.exit_code
    except click.ClickException as error:
        return _usage(error, asked)
    except (click.Abort, KeyboardInterrupt):
        return _fail(Interrupted(2), asked)
    except GlmAriaError as error:
        return _fail(error, asked)
    except terminal.ReaderLeftError:
        raise
    except SystemExit as error:
        # What click makes of a reader that left while it wrote a help text, and rich of one that left a table.
        return DiskIOError.exit_code if error.code == 1 else int(error.code or 0)
    except Exception as error:  # noqa: BLE001 - the last place: a bug must end in a message and in 70
        return _bug(error, asked)
    return outcome if isinstance(outcome, int) else 0


def _usage(error: click.ClickException, asked: Asked) -> int:
    context = error.ctx if isinstance(error, click.UsageError) else None
    message = error.format_message()
    hint = f"{context.command_path if context else PROGRAM} --help"
    if not asked.wants_json and context:
        terminal.say(context.get_usage())
    return _fail(UsageError(message, hint=hint), asked)


def _fail(error: GlmAriaError, asked: Asked) -> int:
    if asked.wants_json:
        from orchestrator.documents import failure

        try:
            terminal.document(failure(asked.command, error))
        except DiskIOError as unwritten:
            terminal.say_errors(unwritten)
    else:
        terminal.say_errors(error)
    if asked.is_verbose and error.__cause__ is not None:
        _say_traceback(error)
    return error.exit_code


def _bug(error: Exception, asked: Asked) -> int:
    if lack := scarce(error):
        return _fail(lack, asked)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        return _fail(DiskIOError(f"{error.strerror}: {error.filename or 'while writing the result'}"), asked)
    if isinstance(error, PermissionError) and error.filename:
        # Even a look at a path may be forbidden: that of a user's in a folder that is closed to this one.
        return _fail(translate(error, "reach", error.filename), asked)
    if isinstance(error, UnicodeEncodeError) and not streams.is_universal():
        encoding = sys.getfilesystemencoding()
        hint = "run glm-aria as a program of its own, or start Python with PYTHONUTF8=1"
        return _fail(
            ConfigError(f"this Python writes file names in {encoding}, which cannot hold all", hint=hint), asked
        )
    code = _fail(
        GlmAriaError(
            f"a bug in {PROGRAM}: {type(error).__name__}: {error}",
            hint="the same command with --verbose shows where; please report it with that text",
        ),
        asked,
    )
    if asked.is_verbose:
        _say_traceback(error)
    return code


def _say_traceback(error: BaseException) -> None:
    import traceback

    for block in traceback.format_exception(error):
        for line in block.splitlines():
            terminal.say(redacted(line))


def _close_stdout() -> None:
    """Keep the interpreter from failing at its end over output whose failure is already reported."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    program()
