"""filesystem.py TYPE NAME REVISION: read every file of a repository by ranges; print their digests as JSON."""

import hashlib
import json
import sys

from huggingface_hub import HfFileSystem

repo_type, name, revision = sys.argv[1:]
files = HfFileSystem()
top = ("" if repo_type == "model" else f"{repo_type}s/") + f"{name}@{revision}"
digests = {}
for path in files.find(top):
    with files.open(path, "rb", block_size=1 << 18) as opened:
        digests[path.removeprefix(top + "/")] = hashlib.file_digest(opened, "sha256").hexdigest()
print(json.dumps(digests))
