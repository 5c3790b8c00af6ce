"""Global options that downloads inherit from a daemon of others: one row for each option of aria2.

aria2 gives every download a copy of its global options. An option of a single download replaces most of them, so those
that would change what we ask for, or add something to a request, are set for each download (`SET`). Some cannot be
replaced: aria2 *adds* a download's `header` to the global one, hooks run for every download of the daemon, and a client
certificate is shown for all of them. A daemon that has one of those is not used (`REFUSED`), or used with a warning
(`WARNED`), by the harm that it does. All others are `HARMLESS` to a plain download over HTTP, whatever they are set to.

A test holds the rows against `aria2c --help=#all`. Read from aria2's `OptionHandlerFactory.cc` and `HttpRequest.cc`,
and tried with aria2 1.36.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SET: Mapping[str, str] = {
    # Added to a request. Where a download has a `Cookie` header, aria2 does not look into the cookies that it knows,
    # from `load-cookies` or from what others fetched (`HttpRequest::createRequest`).
    "header": "Cookie:",
    "referer": "",
    "http-user": "",
    "http-passwd": "",
    "http-auth-challenge": "false",
    "ftp-user": "",
    "ftp-passwd": "",
    "http-no-cache": "false",
    # Another request than the one that we mean.
    "conditional-get": "false",
    "enable-http-keep-alive": "true",
    "enable-http-pipelining": "false",
    "http-accept-gzip": "false",
    "parameterized-uri": "false",
    "select-file": "",
    "use-head": "false",
    "metalink-base-uri": "",
    "metalink-language": "",
    "metalink-location": "",
    "metalink-os": "",
    "metalink-preferred-protocol": "none",
    "metalink-version": "",
    # No bytes, or not on our disk, or a control file that is not ours.
    "allow-piece-length-change": "false",
    "always-resume": "true",
    "check-integrity": "false",
    "continue": "false",
    "dry-run": "false",
    "enable-mmap": "false",
    "hash-check-only": "false",
    "pause": "false",
    "pause-metadata": "false",
    "remote-time": "false",
    "remove-control-file": "false",
    # Whether and when to try again is decided here.
    "lowest-speed-limit": "0",
    "max-file-not-found": "0",
    "max-resume-failure-tries": "0",
    # Our addresses may be signed, and a session file keeps what it saves.
    "force-save": "false",
    "save-not-found": "false",
}

REFUSED: Mapping[str, str] = {
    "header": "is sent with every request, to every mirror and CDN, and may hold a token",
    "certificate": "shows a certificate of yours to every server that asks for one",
    "on-download-start": "runs for each range of a file, and may move or delete it",
    "on-download-pause": "runs for each range of a file, and may move or delete it",
    "on-download-stop": "runs for each range of a file, and may move or delete it",
    "on-download-complete": "runs for each range of a file, and may move or delete it",
    "on-download-error": "runs for each range of a file, and may move or delete it",
}

WARNED: Mapping[str, str] = {
    "check-certificate": "lets others on the way read the requested addresses; the files are verified anyway",
    "log": "gets the requested addresses, and those of a gated model stay valid for a while",
    "save-session": "may get the requested addresses, and those of a gated model stay valid for a while",
}

# Given for each download elsewhere: by `download_options`, and by `way_options` where the settings name a proxy.
_OURS = (
    "allow-overwrite auto-file-renaming connect-timeout dir file-allocation follow-metalink follow-torrent"
    " max-connection-per-server max-tries min-split-size no-netrc out piece-length retry-wait"
    " rpc-save-upload-metadata split timeout user-agent"
)
# Where they say how the machine reaches the network, they are its user's to say; a login goes to the proxy only.
_NETWORK = (
    "all-proxy all-proxy-passwd all-proxy-user async-dns async-dns-server ca-certificate disable-ipv6 dscp"
    " enable-async-dns6 ftp-pasv ftp-proxy ftp-proxy-passwd ftp-proxy-user ftp-reuse-connection ftp-type http-proxy"
    " http-proxy-passwd http-proxy-user https-proxy https-proxy-passwd https-proxy-user interface min-tls-version"
    " multiple-interface no-proxy proxy-method socket-recv-buffer-size"
)
# They hold downloads up, which the transfer tells.
_LIMITS = (
    "max-concurrent-downloads max-download-limit max-overall-download-limit max-overall-upload-limit max-upload-limit"
    " optimize-concurrent-downloads"
)
# Without `header` and certificate, or of the whole daemon: its life, its output, its RPC, its lists and files.
_DAEMON = (
    "auto-save-interval conf-path console-log-level daemon deferred-input disk-cache download-result enable-color"
    " enable-rpc event-poll force-sequential help human-readable input-file keep-unfinished-download-result"
    " load-cookies log-level max-download-result max-mmap-limit netrc-path no-conf no-file-allocation-limit private-key"
    " quiet rlimit-nofile rpc-allow-origin-all rpc-certificate rpc-listen-all rpc-listen-port rpc-max-request-size"
    " rpc-passwd rpc-private-key rpc-secret rpc-secure rpc-user save-cookies save-session-interval server-stat-if"
    " server-stat-of server-stat-timeout show-console-readout show-files stderr stop stop-with-process"
    " summary-interval truncate-console-readout version"
)
# Of the order of pieces and addresses, or of what we do not use: checksums and names are not inherited (tried).
_CHOICE = (
    "checksum content-disposition-default-utf8 gid index-out metalink-enable-unique-protocol metalink-file"
    " no-want-digest-header realtime-chunk-checksum reuse-uri ssh-host-key-md stream-piece-selector uri-selector"
)
# Torrents; nothing that we fetch becomes one.
_TORRENTS = (
    "bt-detach-seed-only bt-enable-hook-after-hash-check bt-enable-lpd bt-exclude-tracker bt-external-ip"
    " bt-force-encryption bt-hash-check-seed bt-load-saved-metadata bt-lpd-interface bt-max-open-files bt-max-peers"
    " bt-metadata-only bt-min-crypto-level bt-prioritize-piece bt-remove-unselected-file bt-request-peer-speed-limit"
    " bt-require-crypto bt-save-metadata bt-seed-unverified bt-stop-timeout bt-tracker bt-tracker-connect-timeout"
    " bt-tracker-interval bt-tracker-timeout dht-entry-point dht-entry-point6 dht-file-path dht-file-path6"
    " dht-listen-addr6 dht-listen-port dht-message-timeout enable-dht enable-dht6 enable-peer-exchange listen-port"
    " on-bt-download-complete peer-agent peer-id-prefix seed-ratio seed-time torrent-file"
)

HARMLESS = frozenset(" ".join((_OURS, _NETWORK, _LIMITS, _DAEMON, _CHOICE, _TORRENTS)).split())


@dataclass(frozen=True, slots=True)
class Harm:
    """A global option that no option of a download overrides, and its effect there."""

    option: str
    what: str


def refused(options: Mapping[str, str]) -> list[Harm]:
    """The harms that rule out a daemon with these options (`aria2.getGlobalOption`)."""
    return [Harm(name, what) for name, what in REFUSED.items() if options.get(name, "").strip()]


def warned(options: Mapping[str, str]) -> list[Harm]:
    """The harms to warn of for a daemon with these options."""
    is_set = {
        "check-certificate": options.get("check-certificate") == "false",
        # At the other levels it has no request in it.
        "log": bool(options.get("log")) and options.get("log-level", "debug") in ("debug", "info"),
        "save-session": bool(options.get("save-session")),
    }
    return [Harm(name, what) for name, what in WARNED.items() if is_set[name]]
