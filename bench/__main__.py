"""Everything that is measured, as one table: `python -m bench [PART ...]`."""

import importlib
import sys

for name in sys.argv[1:]:
    m = importlib.import_module(f"bench.{name}")
    for f in m.measure("--quick" in sys.argv):
        print(
            f"{f.name:40}{f.value:10.2f} {f.unit:6}{f.reference:24}{f.beside or 0:10.2f}{f.ratio or 0:8.2f}  {f.target or ''} {f.reached}",
            flush=True,
        )
