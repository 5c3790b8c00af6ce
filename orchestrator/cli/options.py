"""The options that several commands share, in groups, and how they become settings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

from orchestrator.cli.named_config import CONFIG, named_config
from orchestrator.cli.typed import flags_of, option, settings_in
from orchestrator.core.trust import Signatory
from orchestrator.disk import places
from orchestrator.settings import Settings, load

what = partial(option, heading="What to fetch")
where = partial(option, heading="Where from, where to")
how = partial(option, heading="How fast, with which aria2")
peers = partial(option, heading="With other machines")
rule = partial(option, heading="Rules")
output = partial(option, heading="Output")

Level = Literal["root", "agree", "any", "commit"]

# Options that some commands have without the rest of their group.
CACHE_DIR = where("--cache-dir", setting="cache_dir", metavar="DIR", help="Cache folder; the same as HF_HUB_CACHE.")
VARIANT = what("--variant", metavar="NAME", help="Of the weights fetch only this variant, such as fp16.")
MAX_SPEED = how(
    "--max-speed",
    setting="max_speed",
    metavar="SIZE",
    help="Limit the total bandwidth, in bytes a second: 20M, 1.5G, 500KB; or by the time of the day: "
    "08:00-18:00=10M,else=0.",
)
TRUST = rule("--trust", setting="policy", help="Who must confirm commits and digests (default: agree).")
STRICT = rule("--strict", help="Exit with 100 if there were warnings.")
JSON = output("--json", help="Print one JSON document on stdout.")
ON_CHANGE = rule(
    "--on-change", metavar="CMD", help="Run this with sh -c each time a ref has moved to a complete snapshot."
)
NOTIFY = output(
    "--notify",
    setting="notify",
    metavar="WHERE",
    help="Send a notice of the end: desktop, or the http(s):// address of a webhook (repeatable); none: nobody.",
)
ALLOW_OUTSIDE = rule(
    "--allow-outside", help="Let a list write to folders outside its own, and include lists from there."
)


@dataclass(frozen=True, slots=True)
class Select:
    """The revision and the files of each model."""

    revision: Annotated[
        str | None,
        what("--revision", metavar="REV", help="Branch, tag, refs/pr/N or commit for each REF without one."),
    ]
    include: Annotated[
        tuple[str, ...],
        what("--include", metavar="GLOB", help="Fetch only files that match (repeatable). * also matches /."),
    ]
    exclude: Annotated[tuple[str, ...], what("--exclude", metavar="GLOB", help="Skip files that match (repeatable).")]
    variant: Annotated[str | None, VARIANT]
    cache_dir: Annotated[str | None, CACHE_DIR]


@dataclass(frozen=True, slots=True)
class SiteChoice:
    """The root, the mirrors, and the way to them."""

    config: Annotated[str | None, CONFIG]
    root: Annotated[
        str | None,
        where("--root", setting="root", metavar="URL",
              help="Site that names commits and digests. It may receive your token."),
    ]  # fmt: skip
    mirror: Annotated[
        tuple[str, ...],
        where("--mirror", setting="mirrors", metavar="[KIND+]URL",
              help="Fetch bytes from the root and this mirror, not from the mirrors of the settings (repeatable). "
              "KIND: huggingface (default), modelscope."),
    ]  # fmt: skip
    no_mirrors: Annotated[
        bool,
        where("--no-mirrors", setting="mirrors", means=(),
              help="Ignore the mirrors of the settings: use only the root and --mirror."),
    ]  # fmt: skip
    token_file: Annotated[
        str | None, where("--token-file", setting="token_file", metavar="FILE", help="Read the token from this file.")
    ]
    proxy: Annotated[
        str | None,
        where("--proxy", setting="proxy", metavar="URL",
              help="Use this HTTP proxy, or none, instead of HTTPS_PROXY."),
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class TransferOptions:
    """The rules of a transfer: speed, daemon, trust."""

    sites: SiteChoice
    max_speed: Annotated[str | None, MAX_SPEED]
    polite: Annotated[
        bool,
        how("--polite", setting="polite", is_flag=True,
            help="Take only what other programs leave of the line, and give way to them."),
    ]  # fmt: skip
    connections: Annotated[
        int | None,
        how("--connections", setting="connections_per_mirror", metavar="N",
            help="Most connections to one mirror for one file, 1 to 256 (default 256)."),
    ]  # fmt: skip
    jobs: Annotated[
        int | None,
        how("--jobs", setting="jobs", metavar="N", help="Fetch N files in parallel (default: as many as is useful)."),
    ]
    rpc: Annotated[
        str | None,
        how("--rpc", setting="rpc", metavar="URL",
            help="Use a running aria2, such as http://127.0.0.1:6800/jsonrpc."),
    ]  # fmt: skip
    rpc_secret_file: Annotated[
        str | None,
        how("--rpc-secret-file", setting="rpc_secret_file", metavar="FILE",
            help="Read the RPC secret of that aria2 from this file."),
    ]  # fmt: skip
    trust: Annotated[Level | None, TRUST]
    locked: Annotated[
        str | None,
        rule(
            "--locked",
            metavar="FILE",
            help="Fetch exactly the bytes that this lock file pins: all its models, or each REF.",
        ),
    ]
    allow_rollback: Annotated[bool, rule("--allow-rollback", help="Accept a commit older than the last one seen.")]
    portable: Annotated[
        bool, rule("--portable", setting="portable", help="Refuse file names that some operating system cannot hold.")
    ]
    safe_only: Annotated[
        bool, rule("--safe-only", help="Refuse models with pickle files, which can run code when loaded.")
    ]
    verify_signature: Annotated[
        str | None,
        rule(
            "--verify-signature",
            metavar="KEY",
            help="Refuse models of registries that the holder of this public key has not signed (a file, PEM).",
        ),
    ]

    @property
    def signatory(self) -> Signatory | None:
        """The key that must have signed each model."""
        if self.verify_signature is None:
            return None
        from orchestrator.app.signing import public_key_at

        return public_key_at(places.expanded(self.verify_signature))


@dataclass(frozen=True, slots=True)
class PeerOptions:
    """Other machines that fetch the same, and share it."""

    lan: Annotated[
        bool,
        peers("--lan", setting="fleet_lan", is_flag=True,
              help="Share with the machines of your fleet on this network that run the same."),
    ]  # fmt: skip
    peer: Annotated[
        tuple[str, ...],
        peers("--peer", setting="fleet_peers", metavar="HOST[:PORT]",
              help="Share with this machine (repeatable; port 8092 if none is given)."),
    ]  # fmt: skip
    fleet: Annotated[
        str | None,
        peers("--fleet", setting="fleet_control", metavar="WHERE",
              help="Share as schedulers say: HOST:PORT,... (the first HOST has one itself if none runs there), or "
              "redis://HOST."),
    ]  # fmt: skip
    peer_listen: Annotated[
        str | None,
        peers("--peer-listen", setting="fleet_listen", metavar="ADDRESS:PORT",
              help="Where other machines reach this one (default: port 8092 of all its IPv4 addresses)."),
    ]  # fmt: skip
    linger: Annotated[
        int | None,
        peers("--linger", setting="fleet_linger", metavar="SECONDS",
              help="When done, stay at most so long for machines that need what only this one has (default 300)."),
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Output:
    """The form of progress and result."""

    as_json: Annotated[bool, JSON]
    progress: Annotated[
        Literal["auto", "bar", "lines", "json", "none"],
        output("--progress", default="auto",
               help="How to show progress on stderr. auto: a bar on a terminal, otherwise a line every few seconds."),
    ]  # fmt: skip
    quiet: Annotated[bool, output("-q", "--quiet", help="Show no progress and no summary, only warnings and errors.")]
    verbose: Annotated[
        bool, output("-v", "--verbose", help="Show each file and its sources, and tracebacks of errors.")
    ]


@dataclass(frozen=True, slots=True)
class SiteOptions:
    """The options of `mirrors`: the sites, and the cache that remembers their speed."""

    sites: SiteChoice
    cache_dir: Annotated[str | None, CACHE_DIR]
    as_json: Annotated[bool, JSON]


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """The cache and the settings."""

    cache_dir: Annotated[str | None, CACHE_DIR]
    config: Annotated[str | None, CONFIG]
    as_json: Annotated[bool, JSON]


def settings(options: object = None) -> Settings:
    """The settings of this call of a command; options win over files and variables."""
    if options is None:
        return load(named=named_config())
    return load(settings_in(options), spelled=flags_of(options), named=named_config())
