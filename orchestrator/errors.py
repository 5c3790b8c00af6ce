"""Every error that glm-aria raises on purpose, in one tree.

A class fixes what a script can rely on (`code`, `exit_code`, `retryable`); an instance adds what a person needs
(`message`, `hint`, the file and the source concerned). Foreign exceptions are translated where they enter; `cli.main`
is the only place where an error becomes an exit code.

    GlmAriaError                    70  a bug, when raised bare
    +-- UsageError                   2  the command line is wrong
    |   +-- RepoNameError            2  no repo can have that name
    +-- IntegrityError              65  no source had the right bytes
    +-- NotFoundError               66  repo, revision or file does not exist (or is hidden from us)
    |   +-- RepoAbsentError         66  the repo
    |   +-- RevisionAbsentError     66  the revision
    |   +-- FileAbsentError         66  the file
    |   +-- NotCachedError          66  it is not in the cache, and no server may be asked
    |       +-- IncompleteError     66  a part of it is
    +-- SourcesDownError            69  every source is down or unreachable
    |   +-- ProxyError              69  the proxy on the way is down, or reaches nobody
    |       +-- ProxyRefusedError   69  it refuses: a login, or the site
    +-- DaemonError                 71  aria2c is missing, dead, or out of our reach
    +-- CannotCreateError           73  an output cannot be created: permission, read-only
    |   +-- UnsupportedError        73  this operating system lacks what that takes
    +-- DiskIOError                 74  reading or writing the disk failed
    +-- TemporaryError              75  worth running again later
    +-- ProtocolError               76  a server answered something that the protocol does not allow
    +-- NotAllowedError             77  gated, private, bad or missing token
    |   +-- GatedError              77  its licence was not accepted
    |   +-- TokenAbsentError        77  the user has no token
    +-- ConfigError                 78  a setting is wrong
    +-- NoSpaceError                79  the disk is full, or would be
    +-- UnsafeError                 80  a name, digest or policy that must not be followed
    |   +-- ConflictError           80  it is something else by now, or is there already and does not change
    |   +-- GateError               80  a version does not keep the rules of the alias
    +-- TrustError                  81  the answer cannot be verified, or went back
    +-- PartialError                 3  some models failed, others are done
    +-- StrictError                100  done, with warnings that were asked to be errors
    +-- CommandError               126  the command of `run` is no program, or may not be started
    |   +-- CommandNotFoundError   127  there is no such command
    +-- Interrupted            130/143  stopped by a signal, resumable
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import ClassVar


class GlmAriaError(Exception):
    """Base of all errors.

    `message` says what failed, on which file or source, and what was done about it. `hint` is the next thing to type
    or to do; a class whose errors mostly ask for the same thing has it as `usual_hint`. Both may hold text from the
    network: the code that prints them escapes them. `details` are further lines, such as a diff.
    """

    code: ClassVar[str] = "internal"
    exit_code: int = 70
    retryable: ClassVar[bool] = False
    resumable: ClassVar[bool] = False
    usual_hint: ClassVar[str | None] = None

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        file: str | None = None,
        source: str | None = None,
        details: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.usual_hint
        self.file = file
        self.source = source
        self.details = details


class UsageError(GlmAriaError):
    """The command line is wrong; nothing was done."""

    code = "usage"
    exit_code = 2


class RepoNameError(UsageError):
    """No repo can have that name; nobody was asked."""


class IntegrityError(GlmAriaError):
    """No source had bytes with the expected digest; nothing wrong was placed."""

    code = "integrity"
    exit_code = 65
    usual_hint = "run it again later, or with another --mirror"


class NotFoundError(GlmAriaError):
    """The repo, revision or file does not exist, or is hidden from this user."""

    code = "not-found"
    exit_code = 66


class RepoAbsentError(NotFoundError):
    """There is no such repo, or it is hidden from this user."""


class RevisionAbsentError(NotFoundError):
    """The repo has no such branch, tag or commit."""


class FileAbsentError(NotFoundError):
    """The repo has no file of that name at this commit."""


class NotCachedError(NotFoundError):
    """It is not in the cache, and no server may be asked."""


class IncompleteError(NotCachedError):
    """Some files of it are not in the cache, and no server may be asked."""


class SourcesDownError(GlmAriaError):
    """Every source of a listing or of a file is unreachable."""

    code = "sources-down"
    exit_code = 69
    retryable = True
    resumable = True
    usual_hint = "check the network and the proxy settings (glm-aria config show), then run it again"


class ProxyError(SourcesDownError):
    """The proxy on the way is down, or reaches nobody; the site itself was not asked."""

    code = "proxy"
    usual_hint = "check the proxy settings: glm-aria config show"


class ProxyRefusedError(ProxyError):
    """The proxy wants another login, or forbids the site. Asking again does not help."""

    code = "proxy-refused"
    retryable = False


class DaemonError(GlmAriaError):
    """aria2c is missing, dead, refuses our secret, or writes to a disk that we cannot see."""

    code = "aria2"
    exit_code = 71
    resumable = True


class CannotCreateError(GlmAriaError):
    """A file or folder of ours cannot be created: permission, read-only file system, something in the way."""

    code = "cannot-create"
    exit_code = 73
    usual_hint = "check the owner and the mode of that folder, or choose another with --cache-dir"


class UnsupportedError(CannotCreateError):
    """This operating system lacks what that takes; nothing was done."""

    code = "unsupported"


class DiskIOError(GlmAriaError):
    """Reading or writing the disk failed."""

    code = "io"
    exit_code = 74
    usual_hint = "check the disk (see dmesg), then run it again"
    resumable = True


class TemporaryError(GlmAriaError):
    """A server is overloaded or the line broke; running the same command again is expected to help."""

    code = "temporary"
    exit_code = 75
    retryable = True
    resumable = True
    usual_hint = "run the same command again; arrived bytes are kept"


class ProtocolError(GlmAriaError):
    """A server answered something that the protocol does not allow."""

    code = "protocol"
    exit_code = 76
    usual_hint = "run it again later; if it stays so, use another source: --mirror for bytes, --root for listings"


class NotAllowedError(GlmAriaError):
    """The repo is gated or private, or the token is missing, wrong or without the right."""

    code = "not-allowed"
    exit_code = 77


class GatedError(NotAllowedError):
    """The repo wants its licence accepted first."""


class TokenAbsentError(NotAllowedError):
    """A token is asked for, and the user has none."""


class ConfigError(GlmAriaError):
    """A setting is wrong; the message names where it came from."""

    code = "config"
    exit_code = 78


class NoSpaceError(GlmAriaError):
    """The disk is full, or the plan does not fit on it."""

    code = "no-space"
    exit_code = 79
    usual_hint = "free space on that disk (or raise the quota), then run it again"
    resumable = True


class UnsafeError(GlmAriaError):
    """A file name, digest or policy that must not be followed; nothing was written."""

    code = "unsafe"
    exit_code = 80


class ConflictError(UnsafeError):
    """An alias is not what was expected, or a version is there already; nothing was changed.

    `details` are the digests that it stands for.
    """

    code = "conflict"


class GateError(UnsafeError):
    """A version does not keep the rules of the alias that was to stand for it; the alias was not moved."""

    code = "gate"


class TrustError(GlmAriaError):
    """The answer cannot be verified (https became http, a bad certificate, nobody to vouch for it), or went back."""

    code = "trust"
    exit_code = 81


class PartialError(GlmAriaError):
    """Some models or files failed while others are done."""

    code = "partial"
    exit_code = 3
    resumable = True


class StrictError(GlmAriaError):
    """All is done, but `--strict` asked that warnings fail the run."""

    code = "strict"
    exit_code = 100


class CommandError(GlmAriaError):
    """The command that `run` was given is no program, or this user may not start it; with the code of the shells."""

    code = "command"
    exit_code = 126


class CommandNotFoundError(CommandError):
    """There is no command of that name; with the code of the shells."""

    code = "command-not-found"
    exit_code = 127


class Interrupted(GlmAriaError):  # noqa: N818 - not a fault: the user's own wish
    """Stopped by SIGINT (130) or SIGTERM (143); the next run goes on where this one stopped."""

    code = "interrupted"
    resumable = True

    def __init__(self, signal_number: int) -> None:
        super().__init__("stopped; arrived bytes are kept", hint="run the same command again to go on")
        self.exit_code = 128 + signal_number


def error_classes(root: type[GlmAriaError] = GlmAriaError) -> Iterator[type[GlmAriaError]]:
    """All classes of the tree that a module has, the root first; not those that are made while the program runs.

    The exit-code table of the docs is generated and tested from this.
    """
    yield root
    for child in root.__subclasses__():
        if getattr(sys.modules.get(child.__module__), child.__name__, None) is child:
            yield from error_classes(child)
