"""Everything that is measured, as one table: `python -m bench`."""

import argparse
import importlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, cast

from bench.figures import Figure, Part
from bench.report import page, row, table

PARTS: Final = (
    "sessions",
    "postgres_sessions",
    "carts",
    "storm",
    "growth",
    "nodes",
    "start",
    "light",
    "churn",
    "attackers",
)
PAGE: Final = Path(__file__).parents[1] / "docs" / "figures.md"
EPILOG: Final = """\
Each part measures beside a reference of the same run, since the same commit drifts by a third from hour to hour; a
machine that does nothing else gives the steadiest ratios. All of it takes about eight minutes, --quick one and a half.

parts: """


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure what carts, sessions, storms, nodes, starts and attackers cost.",
        epilog=EPILOG + ", ".join(PARTS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", metavar="PART", nargs="*", help="only these parts (all of them)")
    parser.add_argument("--quick", action="store_true", help="few of everything: shows that all parts work, no more")
    parser.add_argument("--write", action="store_true", help="write docs/figures.md too, with its charts")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.parts if name not in PARTS]
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if arguments.write and (arguments.parts or arguments.quick):
        parser.error("--write takes the whole of it: no PART, and not --quick")
    measured = [(part, list(said(part, arguments.quick))) for part in map(part_of, arguments.parts or PARTS)]
    print()
    print(table(measured))
    if arguments.write:
        for file, content in page(measured, commit()).items():
            PAGE.with_name(file).write_text(content)
        print(f"\nwritten: {PAGE.relative_to(Path.cwd())}")


def part_of(name: str) -> Part:
    return cast(Part, importlib.import_module(f"bench.{name}"))


def said(part: Part, quick: bool) -> Iterator[Figure]:
    """Measure, and say each figure when it is known: all of it takes minutes."""
    print(f"{(part.__doc__ or '').splitlines()[0]} …", file=sys.stderr, flush=True)
    began = time.monotonic()
    for figure in part.measure(quick):
        print("  " + row(figure), file=sys.stderr, flush=True)
        yield figure
    print(f"  {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


def commit() -> str:
    """The commit that was measured; empty where this is no checkout."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PAGE.parent)
    return found.stdout.strip()


if __name__ == "__main__":
    main()
