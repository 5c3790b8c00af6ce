"""The options of `pull` and `plan`, under their headings, and how they become settings."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import click

from orchestrator.cli.groups import CONFIG, Headed, named_config
from orchestrator.settings import Settings, load

Command = Callable[..., Any]

_what = partial(click.option, cls=Headed, heading="What to fetch")
_follow = partial(click.option, cls=Headed, heading="How to follow")
_which = partial(click.option, cls=Headed, heading="What to verify")
_read = partial(click.option, cls=Headed, heading="How")
_where = partial(click.option, cls=Headed, heading="Where from, where to")
_how = partial(click.option, cls=Headed, heading="How fast, with which aria2")
_rules = partial(click.option, cls=Headed, heading="Rules")
_output = partial(click.option, cls=Headed, heading="Output")

# Options that are settings: parameter name -> name of the setting. The rest belongs to the command.
SETTINGS = {
    "cache_dir": "cache_dir",
    "root": "root",
    "trust": "policy",
    "mirror": "mirrors",
    "token_file": "token_file",
    "proxy": "proxy",
    "connections": "connections_per_mirror",
    "jobs": "jobs",
    "max_speed": "max_speed",
    "rpc": "rpc",
    "rpc_secret_file": "rpc_secret_file",
    "offline": "offline",
    "portable": "portable",
}

CACHE_DIR = _where("--cache-dir", metavar="DIR", help="The cache, as HF_HUB_CACHE means it.")
STRICT = _rules("--strict", is_flag=True, help="Exit with 100 when there were warnings.")
_SITES = (
    CONFIG,
    _where("--root", metavar="URL", help="Where commits and digests come from. May be sent your token."),
    _where("--mirror", metavar="[KIND+]URL", multiple=True, help="Also fetch bytes from here, instead of from the "
           "mirrors of the settings; may be given again. KIND: huggingface (default), modelscope."),
    _where("--no-mirrors", is_flag=True, help="No mirrors of the settings: the root only, and what --mirror names."),
    _where("--token-file", metavar="FILE", help="A file that holds the token."),
    _where("--proxy", metavar="URL", help="HTTP proxy, or none, instead of what HTTPS_PROXY says."),
)  # fmt: skip
_JSON = _output("--json", "as_json", is_flag=True, help="One JSON document on stdout.")

_ON_CHANGE = _rules(
    "--on-change", metavar="CMD", help="Run this with sh -c once a model's ref has moved to a whole snapshot."
)
_LISTS = (
    _what("-f", "--file", "lists", metavar="LIST", multiple=True, help="Also take models from a list; - is stdin."),
)  # fmt: skip
_SELECT = (
    _what("--revision", metavar="REV", help="Branch, tag, refs/pr/N or commit, for each REF that names none."),
    _what("--include", metavar="GLOB", multiple=True, help="Only files that match; may be given again. * crosses /."),
    _what("--exclude", metavar="GLOB", multiple=True, help="Not the files that match; may be given again."),
    CACHE_DIR,
)  # fmt: skip
_LOCAL_DIR = _where("--local-dir", metavar="DIR", help="Also make a plain folder with the files of the model.")
_ALLOW_OUTSIDE = (
    _rules("--allow-outside", is_flag=True, help="Let a list write to, and include from, folders outside of its own."),
)
_TRANSFER = (
    *_SITES,
    _how("--max-speed", metavar="SIZE", help="Bytes per second at most, all together: 20M, 1.5G, 500KB."),
    _how("--connections", type=int, metavar="N", help="Connections to one mirror for one file, 1 to 64 (16)."),
    _how("--jobs", type=int, metavar="N", help="Files fetched at once; by default as many as is useful."),
    _how("--rpc", metavar="URL", help="Use an aria2 that runs already, such as http://127.0.0.1:6800/jsonrpc."),
    _how("--rpc-secret-file", metavar="FILE", help="A file that holds the secret of that aria2."),
    _rules("--trust", type=click.Choice(["root", "agree", "any", "commit"]),
           help="How far commits and digests must be proven; by default agree."),
    _rules("--locked", metavar="FILE", help="Fetch exactly what this lock file says: all of it, or each REF."),
    _rules("--allow-rollback", is_flag=True, help="Accept a commit that is older than the last one seen."),
    _rules("--portable", is_flag=True, help="Refuse names that some operating system cannot hold."),
    _rules("--safe-only", is_flag=True, help="Refuse models with pickle files, whose loading can run code."),
)  # fmt: skip
_PULL_RULES = (
    _rules("--offline", is_flag=True, help="Ask no server: succeed only if all is here."),
    _rules("--force", is_flag=True, help="Fetch and place again what is here, over your files in --local-dir, too."),
    STRICT,
)  # fmt: skip
_PULL = (*_LISTS, *_SELECT, _LOCAL_DIR, *_TRANSFER, *_PULL_RULES, *_ALLOW_OUTSIDE)
_WATCH = (
    _follow("--interval", metavar="TIME", default="5m", show_default=True,
            help="How often branches are asked whether they moved: 30s, 5m, 1h."),
    _follow("--once", is_flag=True, help="Make the cache equal to the list once, then end."),
    _follow("--pin", is_flag=True, help="Pin the models of the list, so that no cache gc removes them."),
    _follow("--unpin-removed", is_flag=True, help="With --pin: take these pins back when a model leaves the list."),
    _follow("--status", is_flag=True, help="Only tell how it goes: of this list, or of all lists of the cache."),
)  # fmt: skip
_VERIFY = (
    _which("--file", "globs", metavar="GLOB", multiple=True,
           help="Only files that match; may be given again. * crosses /."),
    _read("--fast", is_flag=True, help="Compare piece hashes where there are some: finds rot at the disk's speed."),
    _read("--repair", is_flag=True, help="Fetch the bytes that are rotten again, and prove the whole file."),
)  # fmt: skip
_IMPORT = (
    _what("--model", metavar="REF", help="Take only what this model wants, and ask the root what that is."),
    _what("--locked", metavar="FILE", help="Take only what the models of this lock file want; nobody is asked."),
    _rules("--trust", type=click.Choice(["root", "agree", "any", "commit"]),
           help="How far the listing of REF must be proven; by default agree."),
    _rules("--offline", is_flag=True, help="Ask no server: the listing of REF is known from a pull."),
    _rules("--hard", is_flag=True, help="Hard-link instead of copying where that is possible: DIR's files are then the "
           "cache's, and must not be edited any more."),
    _rules("--dry-run", is_flag=True, help="Show what would be taken, and do nothing."),
)  # fmt: skip
_PULL_ONLY = (
    _rules("--lock", metavar="FILE", help="Write down in FILE which bytes these models are; other models in it stay."),
    _what("--sha256", metavar="HEX", help="Digest of the file, when REF is the https:// address of a single one."),
    _ON_CHANGE,
    _rules("--dry-run", is_flag=True, help="Show what would be done, and do nothing."),
)
_PLAN = (
    _output(
        "--aria2-input", metavar="FILE", help="With a dry run: write an input file for aria2c -i, without secrets."
    ),
)
_COMMON = (
    _JSON,
    _output("--progress", type=click.Choice(["auto", "bar", "lines", "json", "none"]), default="auto",
            help="How to show progress on stderr. auto: a bar on a terminal, else a line every few seconds."),
    _output("-q", "--quiet", is_flag=True, help="No progress and no summary; warnings and errors stay."),
    _output("-v", "--verbose", is_flag=True, help="More: each file and its sources; tracebacks of errors."),
)  # fmt: skip


def pull_options(function: Command) -> Command:
    """All options of `pull`."""
    return _apply((*_PULL, *_PULL_ONLY, *_PLAN, *_COMMON), function)


def plan_options(function: Command) -> Command:
    """All options of `plan`: those of `pull`, without `--dry-run`, which it is, and single files."""
    return _apply((*_PULL, *_PLAN, *_COMMON), function)


def watch_options(function: Command) -> Command:
    """All options of `watch`."""
    return _apply((*_WATCH, *_SELECT, *_TRANSFER, *_ALLOW_OUTSIDE, _ON_CHANGE, STRICT, *_COMMON), function)


def mirror_options(function: Command) -> Command:
    """The options of `mirrors`: which sites, and where what is known of them lies."""
    return _apply((*_SITES, CACHE_DIR, _JSON), function)


def import_options(function: Command) -> Command:
    """All options of `cache import`."""
    return _apply((*_IMPORT, CACHE_DIR, *_SITES, *_COMMON), function)


def verify_options(function: Command) -> Command:
    """All options of `verify`."""
    return _apply((*_VERIFY, CACHE_DIR, *_SITES, STRICT, *_COMMON), function)


def _apply(options: tuple[Callable[[Command], Command], ...], function: Command) -> Command:
    # Decorators apply from the bottom up, and click shows the options in that order turned around.
    return reduce(lambda inner, option: option(inner), reversed(options), function)


def settings(parameters: dict[str, Any] | None = None) -> Settings:
    """The settings of this call of a command, whose parameters may say some."""
    return load(flags(parameters or {}), named=named_config())


def flags(parameters: dict[str, Any]) -> dict[str, object]:
    """The settings among a command's parameters; what was not given is left out."""
    found = {
        SETTINGS[name]: value
        for name, value in parameters.items()
        if name in SETTINGS and value is not None and value is not False and value != ()
    }
    if parameters.get("no_mirrors"):
        found.setdefault("mirrors", ())
    return found
