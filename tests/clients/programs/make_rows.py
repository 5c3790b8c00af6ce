"""make_rows.py FOLDER COUNT: write `train.parquet` with so many rows of 1 KB; print the digest of all rows as JSON."""

import hashlib
import json
import random
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet

folder, count = Path(sys.argv[1]), int(sys.argv[2])
draw = random.Random(count)
texts = [draw.randbytes(512).hex() for _ in range(count)]
table = pyarrow.table({"number": list(range(count)), "text": texts})
plain = {"compression": "NONE", "use_dictionary": False}
pyarrow.parquet.write_table(table, folder / "train.parquet", row_group_size=500, **plain)
seen = hashlib.sha256()
for number, text in enumerate(texts):
    seen.update(number.to_bytes(8, "big") + text.encode())
print(json.dumps({"rows": seen.hexdigest()}))
