"""What an import contract cannot say: which rooms are pure, and what starting the command may load.

Who may import whom is in pyproject.toml, held by `lint-imports`.
"""

import ast
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.trees import PACKAGE, Module, package

# These rooms are pure. pathlib stays allowed for PurePosixPath and its like.
PURE = {"core", "lists"}
IMPURE = {
    "asyncio",
    "concurrent",
    "datetime",
    "http",
    "os",
    "random",
    "requests",
    "shutil",
    "signal",
    "socket",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "urllib.request",
    "urllib3",
}

# A folder above this holds two trades, a module above this two nouns.
MOST_MODULES = 15
MOST_LINES = 350

# Each of these costs tenths of a second, which `glm-aria --version` and tab completion should not pay.
HEAVY = {"aria2p", "google", "grpc", "huggingface_hub", "jinja2", "rich", "starlette", "transformers", "watchdog"}


class Import(NamedTuple):
    """One imported name, absolute, and where it is written."""

    name: str
    where: str


def imports_in(module: Module) -> Iterator[Import]:
    """Every import in one module, those inside functions and `if TYPE_CHECKING` too.

    `from a import b` counts as both `a` and `a.b`, since b may be a module.
    """
    # Relative names start from the package that holds the module.
    above = ["orchestrator", *module.path.parent.parts]
    for node in module.nodes:
        where = f"{module.path}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, where) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = above[: len(above) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            yield Import(name, where)
            yield from (Import(f"{name}.{alias.name}", where) for alias in node.names)


def offences(module: Module) -> list[str]:
    """What in this module of a pure room does I/O, starts threads or asks a clock."""
    return [
        f"{where}: imports {name}, which is not pure"
        for name, where in imports_in(module)
        if any(name == impure or name.startswith(f"{impure}.") for impure in IMPURE)
    ]


STUBS = "stubs"
"""The name of folders that a compiler wrote."""


@pytest.fixture(scope="module")
def modules() -> list[Module]:
    return [module for module in package() if module.path.parent.name != STUBS]


def test_pure_rooms_have_no_files_threads_or_clocks(modules: list[Module]) -> None:
    pure = [module for module in modules if module.path.parts[0] in PURE]
    assert pure
    found = [line for module in pure for line in offences(module)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source",
    ["import os.path", "from urllib import request", "def late():\n    import socket", "from time import time"],
)
def test_an_impure_import_is_seen(source: str) -> None:
    assert offences(Module(source, Path("core/plan.py")))


@pytest.mark.parametrize(
    "source", ["from urllib.parse import urlsplit", "from pathlib import PurePosixPath", "from . import files"]
)
def test_a_pure_import_is_not(source: str) -> None:
    assert offences(Module(source, Path("core/plan.py"))) == []


def test_trees_are_walked_by_one_room() -> None:
    """Others make trees that are deeper than the stack of Python, which os.walk of 3.11 needs."""
    files = [path for path in PACKAGE.rglob("*.py") if "os.walk(" in path.read_text("utf-8")]
    assert files == []


PLATFORM = "platform"
"""The one room that may name what Windows or macOS lacks."""
SOME_LACK_THE_MODULE = {"fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"}
ALL_HAVE_THE_FLAG = {"O_APPEND", "O_CREAT", "O_EXCL", "O_RDONLY", "O_RDWR", "O_TRUNC", "O_WRONLY"}
SOME_LACK = {
    # As typeshed has it: mypy, which knows what each system has, is asked for all three by scripts/check.
    "os": re.compile(
        r"O_\w+|(CLD|EFD|MFD|POSIX|PRIO|P|RTLD|RWF|SCHED|SPLICE_F|ST|XATTR)_[A-Z]\w*|W[A-Z]\w+|SEEK_(DATA|HOLE)"
        r"|p(read|write)v?|(read|write)v|(pidfd|memfd|posix|sched)_\w+|eventfd\w*|wait\w*|[gs]et(e|re|res)?[gu]id"
        r"|copy_file_range|sendfile|splice|fwalk|fork\w*|killpg|mkfifo|mknod|nice|uname|sync|fdatasync|lockf"
        r"|f?statvfs|f?chown|lchown|fchmod|fchdir|chroot|pipe2|(get|list|remove|set)xattr|[gs]etgroups|getgrouplist"
        r"|initgroups|[gs]etpgid|[gs]etpgrp|[gs]etsid|[gs]etpriority|[gs]et_blocking|getloadavg|getrandom|major|minor"
        r"|makedev|openpty|login_tty|ttyname|ctermid|tc[gs]etpgrp|sysconf\w*|f?pathconf\w*|confstr\w*|environb|getenvb"
        r"|register_at_fork"
    ),
    "signal": re.compile(
        r"SIG(?!INT$|TERM$|ABRT$|FPE$|ILL$|SEGV$|_DFL$|_IGN$)\w+|pidfd_send_signal|pthread_\w+|alarm|pause|sig\w+timer"
        r"|[gs]etitimer|siginterrupt|sigpending|sigtimedwait|sigwait\w*"
    ),
    "socket": re.compile(
        r"AF_(?!INET6?$)\w+|SOCK_(CLOEXEC|NONBLOCK)|SO_(REUSEPORT|PEERCRED|BINDTODEVICE|MARK|PRIORITY|INCOMING_CPU)|send_fds"
        r"|recv_fds|SCM_\w+|TCP_(CORK|INFO|QUICKACK|USER_TIMEOUT|DEFER_ACCEPT|CONGESTION)|MSG_(DONTWAIT|NOSIGNAL|MORE|CMSG\w+)"
    ),
    "select": re.compile(r"e?poll|E?POLL\w+|kqueue|kevent|KQ_\w+"),
    "time": re.compile(r"CLOCK_\w+|clock_\w+|tzset"),
}


def lacked(module: Module) -> list[str]:
    """What this module names that Windows or macOS lacks."""
    found = [f"{where}: {name}" for name, where in imports_in(module) if name.partition(".")[0] in SOME_LACK_THE_MODULE]
    for node in module.nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            named = [(node.value.id, node.attr)]
        elif isinstance(node, ast.ImportFrom):
            named = [(node.module or "", alias.name) for alias in node.names]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr"):
            named = [(ast.unparse(node.args[0]), ast.unparse(node.args[1]).strip("'\""))]
        else:
            continue
        found += [
            f"{module.path}:{node.lineno}: {owner}.{name}"
            for owner, name in named
            if owner in SOME_LACK and name not in ALL_HAVE_THE_FLAG and SOME_LACK[owner].fullmatch(name)
        ]
    return found


def test_what_some_system_lacks_is_named_in_one_room(modules: list[Module]) -> None:
    found = {module.path: lacked(module) for module in modules}
    assert any(lines for path, lines in found.items() if path.parts[0] == PLATFORM)
    assert not [line for path, lines in found.items() if path.parts[0] != PLATFORM for line in lines]


@pytest.mark.parametrize(
    "source",
    [
        "import fcntl",
        "def late():\n    import pwd",
        "os.O_CLOEXEC",
        "from os import preadv",
        "getattr(os, 'O_PATH', 0)",
        "signal.SIGKILL",
        "socket.AF_UNIX",
        "os.geteuid()",
        "os.readv",
        "select.poll()",
    ],
)
def test_a_name_that_some_system_lacks_is_seen(source: str) -> None:
    assert lacked(Module(source, Path("core/plan.py")))


@pytest.mark.parametrize("source", ["os.read", "os.write(1, b'')", "os.O_RDONLY", "signal.SIGINT", "socket.AF_INET6"])
def test_a_name_that_all_systems_have_is_not(source: str) -> None:
    assert lacked(Module(source, Path("core/plan.py"))) == []


KINDS = {"HUGGINGFACE", "MODELSCOPE", "OCI", "REGISTRY", "MLFLOW"}


def kinds_by_hand(module: Module) -> list[int]:
    """The lines that import a kind of catalog by its name, or take one from a module."""
    nodes = module.nodes if any(kind in module.source for kind in KINDS) else ()
    return [
        node.lineno
        for node in nodes
        if (isinstance(node, ast.ImportFrom) and KINDS & {alias.name for alias in node.names})
        or (isinstance(node, ast.Attribute) and node.attr in KINDS)
    ]


def test_no_room_but_catalogs_knows_a_kind_by_name(modules: list[Module]) -> None:
    """What differs between kinds is a field of `Dialect`, so that one more kind touches no other room.

    A face of the server answers the clients of one kind, as a class of `catalogs` asks its sites.
    """
    own = ("catalogs/", "core/dialects.py", "serve/modelscope/")
    others = [module for module in modules if not module.path.as_posix().startswith(own)]
    found = {str(module.path): kinds_by_hand(module) for module in others}
    assert not {path: lines for path, lines in found.items() if lines}
    assert kinds_by_hand(Module("from orchestrator.core.dialects import MODELSCOPE", Path("x.py")))
    assert kinds_by_hand(Module("kind is dialects.HUGGINGFACE", Path("x.py")))


@pytest.mark.parametrize("folder", sorted({path.parent for path in PACKAGE.rglob("*.py")}))
def test_a_folder_holds_one_trade(folder: Path) -> None:
    own = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(own) <= MOST_MODULES


def test_a_module_is_one_noun(modules: list[Module]) -> None:
    assert not [module.path for module in modules if len(module.source.splitlines()) > MOST_LINES]


def test_a_class_has_a_name_of_its_own(modules: list[Module]) -> None:
    defined = Counter(
        node.name
        for module in modules
        for node in module.nodes
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert not {name for name, count in defined.items() if count > 1}


def loaded_by(*names: str) -> set[str]:
    """All modules of a Python that imports these."""
    program = f"import json, sys, {', '.join(names)}; print(json.dumps(list(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=PACKAGE.parent, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stdout))


def test_starting_the_command_loads_nothing_heavy() -> None:
    loaded = {name.partition(".")[0] for name in loaded_by("orchestrator.cli.main")}
    assert not loaded & HEAVY, "import it in the function that uses it; `python -X importtime` shows who did"


def test_a_server_with_a_registry_loads_no_grpc_before_it_is_asked_to_speak_it() -> None:
    loaded = loaded_by(
        "orchestrator.app.serving", "orchestrator.app.registry.faces", "orchestrator.serve.registry.face"
    )
    assert not {name.partition(".")[0] for name in loaded} & {"google", "grpc"}


def test_a_pull_that_asks_the_root_has_loaded_nothing_of_what_follows() -> None:
    loaded = loaded_by("orchestrator.cli.commands.pull", "orchestrator.app.services")
    later = {
        "aria2p",
        "jinja2",
        "orchestrator.documents",
        "orchestrator.pulling.document",
        "orchestrator.transfer.feeder",
    }
    assert not loaded & later, "import it in the function that uses it; `_preload` of pulling/pull.py loads it in time"
