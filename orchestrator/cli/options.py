"""The options that several commands share, in groups, and how they become settings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

from orchestrator.cli.named_config import CONFIG, named_config
from orchestrator.cli.typed import option, settings_in
from orchestrator.settings import Settings, load

what = partial(option, heading="What to fetch")
where = partial(option, heading="Where from, where to")
how = partial(option, heading="How fast, with which aria2")
rule = partial(option, heading="Rules")
output = partial(option, heading="Output")

Level = Literal["root", "agree", "any", "commit"]

# Options that some commands have without the rest of their group.
CACHE_DIR = where("--cache-dir", setting="cache_dir", metavar="DIR", help="The cache, as HF_HUB_CACHE means it.")
STRICT = rule("--strict", help="Exit with 100 when there were warnings.")
JSON = output("--json", help="One JSON document on stdout.")
ON_CHANGE = rule(
    "--on-change", metavar="CMD", help="Run this with sh -c once a model's ref has moved to a whole snapshot."
)
ALLOW_OUTSIDE = rule("--allow-outside", help="Let a list write to, and include from, folders outside of its own.")


@dataclass(frozen=True, slots=True)
class Select:
    """Which revision and files of each model."""

    revision: Annotated[
        str | None,
        what("--revision", metavar="REV", help="Branch, tag, refs/pr/N or commit, for each REF that names none."),
    ]
    include: Annotated[
        tuple[str, ...],
        what("--include", metavar="GLOB", help="Only files that match; may be given again. * crosses /."),
    ]
    exclude: Annotated[
        tuple[str, ...], what("--exclude", metavar="GLOB", help="Not the files that match; may be given again.")
    ]
    cache_dir: Annotated[str | None, CACHE_DIR]


@dataclass(frozen=True, slots=True)
class SiteChoice:
    """Whom to ask."""

    config: Annotated[str | None, CONFIG]
    root: Annotated[
        str | None,
        where("--root", setting="root", metavar="URL",
              help="Where commits and digests come from. May be sent your token."),
    ]  # fmt: skip
    mirror: Annotated[
        tuple[str, ...],
        where("--mirror", setting="mirrors", metavar="[KIND+]URL",
              help="Also fetch bytes from here, instead of from the mirrors of the settings; may be given again. "
              "KIND: huggingface (default), modelscope."),
    ]  # fmt: skip
    no_mirrors: Annotated[
        bool,
        where("--no-mirrors", setting="mirrors", means=(),
              help="No mirrors of the settings: the root only, and what --mirror names."),
    ]  # fmt: skip
    token_file: Annotated[
        str | None, where("--token-file", setting="token_file", metavar="FILE", help="A file that holds the token.")
    ]
    proxy: Annotated[
        str | None,
        where("--proxy", setting="proxy", metavar="URL",
              help="HTTP proxy, or none, instead of what HTTPS_PROXY says."),
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class TransferOptions:
    """How to fetch, and what to believe."""

    sites: SiteChoice
    max_speed: Annotated[
        str | None,
        how("--max-speed", setting="max_speed", metavar="SIZE",
            help="Bytes per second at most, all together: 20M, 1.5G, 500KB."),
    ]  # fmt: skip
    connections: Annotated[
        int | None,
        how("--connections", setting="connections_per_mirror", metavar="N",
            help="Connections to one mirror for one file, 1 to 64 (16)."),
    ]  # fmt: skip
    jobs: Annotated[
        int | None,
        how("--jobs", setting="jobs", metavar="N", help="Files fetched at once; by default as many as is useful."),
    ]
    rpc: Annotated[
        str | None,
        how("--rpc", setting="rpc", metavar="URL",
            help="Use an aria2 that runs already, such as http://127.0.0.1:6800/jsonrpc."),
    ]  # fmt: skip
    rpc_secret_file: Annotated[
        str | None,
        how("--rpc-secret-file", setting="rpc_secret_file", metavar="FILE",
            help="A file that holds the secret of that aria2."),
    ]  # fmt: skip
    trust: Annotated[
        Level | None,
        rule("--trust", setting="policy", help="How far commits and digests must be proven; by default agree."),
    ]
    locked: Annotated[
        str | None,
        rule("--locked", metavar="FILE", help="Fetch exactly what this lock file says: all of it, or each REF."),
    ]
    allow_rollback: Annotated[
        bool, rule("--allow-rollback", help="Accept a commit that is older than the last one seen.")
    ]
    portable: Annotated[
        bool, rule("--portable", setting="portable", help="Refuse names that some operating system cannot hold.")
    ]
    safe_only: Annotated[bool, rule("--safe-only", help="Refuse models with pickle files, whose loading can run code.")]


@dataclass(frozen=True, slots=True)
class Output:
    """How to show progress and the result."""

    as_json: Annotated[bool, JSON]
    progress: Annotated[
        Literal["auto", "bar", "lines", "json", "none"],
        output("--progress", default="auto",
               help="How to show progress on stderr. auto: a bar on a terminal, else a line every few seconds."),
    ]  # fmt: skip
    quiet: Annotated[bool, output("-q", "--quiet", help="No progress and no summary; warnings and errors stay.")]
    verbose: Annotated[bool, output("-v", "--verbose", help="More: each file and its sources; tracebacks of errors.")]


@dataclass(frozen=True, slots=True)
class SiteOptions:
    """The options of `mirrors`: which sites, and where what is known of them lies."""

    sites: SiteChoice
    cache_dir: Annotated[str | None, CACHE_DIR]
    as_json: Annotated[bool, JSON]


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """Which cache, by which settings."""

    cache_dir: Annotated[str | None, CACHE_DIR]
    config: Annotated[str | None, CONFIG]
    as_json: Annotated[bool, JSON]


def settings(options: object = None) -> Settings:
    """The settings of this call of a command, whose options may say some."""
    return load(settings_in(options) if options is not None else {}, named=named_config())
