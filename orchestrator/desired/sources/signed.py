"""Files of a desired state that somebody who may has signed: `FILE.sig` beside each, made by `ssh-keygen -Y sign`.

The same file of allowed signers that git takes for commits says who may. The namespace keeps a signature that was made
for something else from counting here.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.text import printable
from orchestrator.errors import CommandNotFoundError, FileAbsentError, TrustError

NAMESPACE = "glm-aria"
_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class SignedFiles:
    """A `Vouched`: each file must have a signature of one of the signers beside it."""

    signers: Path
    environ: Mapping[str, str]

    def __call__(self, name: str, content: bytes, read: Callable[[str], bytes]) -> None:
        hint = f"ssh-keygen -Y sign -n {NAMESPACE} -f KEY {name}"
        try:
            signature = read(f"{name}.sig")
        except FileAbsentError as error:
            raise TrustError(f"{name} has no signature, {name}.sig", hint=hint) from error
        with tempfile.NamedTemporaryFile(prefix="glm-aria-sig-") as file:
            file.write(signature)
            file.flush()
            common = ("-f", str(self.signers), "-s", file.name)
            who = self._run(("find-principals", *common), content)
            if who.returncode == 0 and (names := who.stdout.decode("utf-8", "replace").split()):
                checked = self._run(("verify", *common, "-I", names[0], "-n", NAMESPACE), content)
                if checked.returncode == 0:
                    return
                who = checked
        told = printable(who.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2])
        raise TrustError(
            f"{name} is not signed by anybody in {self.signers} ({told or 'no such signer'})",
            hint=hint,
        )

    def _run(self, words: tuple[str, ...], content: bytes) -> subprocess.CompletedProcess[bytes]:
        environ = {"PATH": self.environ.get("PATH", os.defpath), "LC_ALL": "C"}
        try:
            return subprocess.run(
                ["ssh-keygen", "-Y", *words],
                input=content,
                env=environ,
                capture_output=True,
                timeout=_PATIENCE,
                check=False,
            )
        except FileNotFoundError as error:
            raise CommandNotFoundError(
                "there is no command 'ssh-keygen'", hint="install the client of OpenSSH"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise TrustError("ssh-keygen did not end; the signature counts as none") from error
