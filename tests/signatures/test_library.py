"""OpenSSF's library itself, in an environment of its own, says of our signatures what it says of its own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from orchestrator.signatures import keys
from orchestrator.signatures.vouching import judge, sign
from tests.clients.installs import python_of
from tests.signatures.signed import CONTENTS, FILES, digest

_VERIFY = """
import json, sys
from model_signing import verifying
told = {}
for case, (model, signature, key) in json.load(sys.stdin).items():
    try:
        verifying.Config().use_elliptic_key_verifier(public_key=key).verify(model, signature)
        told[case] = ""
    except Exception as error:
        told[case] = f"{type(error).__name__}: {error}"
print(json.dumps(told))
"""


def placed(folder: Path, contents: dict[str, bytes]) -> Path:
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_the_library_says_of_our_signatures_what_we_say(tmp_path: Path, curve: ec.EllipticCurve) -> None:
    mine, other = (keys.PrivateKey(ec.generate_private_key(curve), name) for name in ("mine", "other"))
    key = tmp_path / "key.pub"
    key.write_bytes(mine.public.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    contents = CONTENTS | {"many/" + "x" * 100: b"", "多/模型.json": b"{}"}
    files = {path: digest(content) for path, content in contents.items()}
    bodies = {
        "same": sign("team/model", files, mine),
        "less": sign("team/model", FILES, mine),
        "other bytes": sign("team/model", files | {"config.json": digest(b"")}, mine),
        "more": sign("team/model", files | {"more": digest(b"")}, mine),
        "other key": sign("team/model", files, other),
    }
    model = placed(tmp_path / "model", contents)
    asked = {}
    for name, body in bodies.items():
        (tmp_path / name).write_bytes(body)
        asked[name] = [str(model), str(tmp_path / name), str(key)]
    command = [str(python_of("model-signing")), "-c", _VERIFY]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, timeout=60, check=True)
    told = json.loads(done.stdout)
    assert {name for name, error in told.items() if not error} == {"same"}, told
    ours = {name for name, body in bodies.items() if judge([body], mine.public, files, "r").is_valid}
    assert ours == {"same"}
