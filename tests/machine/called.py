"""`glm-aria` for a shell: a program that has its command forked from one process, as `tests.machine.preloaded` does.

with called(tmp_path / "bin" / "glm-aria", env):
    subprocess.run(["bash", "-c", script], env=env)  # PATH begins with that folder
"""

from __future__ import annotations

import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.machine.preloaded import PACKET, preloaded

_PROGRAM = """#!{python} -ISs
import json, os, signal, socket, struct, sys
umask = os.umask(0)
os.umask(umask)
request = {{"words": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd(), "umask": umask, "memory": None}}
told, tells = os.pipe()
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
    line.connect({place!r})
    socket.send_fds(line, [json.dumps(request).encode()], [0, 1, 2, tells])
os.close(tells)
pid, = struct.unpack("i", os.read(told, 4))
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, _: os.kill(pid, number))
code = os.waitstatus_to_exitcode(struct.unpack("i", os.read(told, 4))[0])
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


@contextmanager
def called(program: Path, env: Mapping[str, str]) -> Iterator[None]:
    """Make the program; it works until the block ends. Where commands are to be started anew, nothing is made."""
    loaded = preloaded(env)
    if loaded is None:
        yield
        return
    program.parent.mkdir()
    line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # The name of a socket has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="glm-aria-line-") as folder, line as listening:
        place = f"{folder}/line"
        program.write_text(_PROGRAM.format(python=sys.executable, place=place))
        program.chmod(0o755)
        listening.bind(place)
        listening.listen(64)

        def pass_on() -> None:
            while True:
                try:
                    line, _ = listening.accept()
                except OSError:  # it was shut down
                    return
                with line:
                    request, fds, _, _ = socket.recv_fds(line, PACKET, 4)
                loaded.take(request, fds)

        thread = threading.Thread(target=pass_on)
        thread.start()
        try:
            yield
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
