"""Docstrings read to a stranger: a first sentence that ends, and does not begin with a pointer to something unsaid.

Help pages show a docstring away from the code above it. So one that begins with "It" or "The same" says nothing there:
its reader has no sentence before it in which the noun could have been.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[1] / "src" / "duckycart"

# What stands for a noun, or hangs on one, that has to be before it. "This cart" names its noun; "This is" does not.
POINTS_BACK = re.compile(
    r"(It|Its|They|Their|Them|He|His|She|Her|Those|That|Of|And|Also|Too|As above|See above|The same|Such|"
    r"(?:This|These|The other|The others|The first|The second) (?:is|are|was|were|has|have|one|ones|too))\b"
)
SENTENCE = re.compile(r"[.?!:][)\"'`]?(\s|$)")


def documented() -> Iterator[tuple[str, str]]:
    """(where, docstring) of each module, class and function of the package, migrations aside: those are history."""
    for path in sorted(SOURCES.rglob("*.py")):
        if "versions" in path.parts:
            continue
        name = path.relative_to(SOURCES.parent).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                if text is not None:
                    yield f"{name}:{getattr(node, 'lineno', 1)} {getattr(node, 'name', 'module')}", text


def test_a_docstring_does_not_begin_with_a_pronoun_without_its_noun() -> None:
    assert [f"{where}: {text[:60]}" for where, text in documented() if POINTS_BACK.match(text)] == []


def test_a_docstring_begins_with_a_whole_sentence() -> None:
    """The first paragraph of each has a full stop at its end (a colon before a list), and begins as a sentence does."""
    unfinished = []
    for where, text in documented():
        first = " ".join(text.split("\n\n")[0].split())
        if not SENTENCE.search(first[-2:]) or not re.match(r"[A-Z0-9`(\"']|uvicorn|asyncio|systemd|httptools", first):
            unfinished.append(f"{where}: {first[:60]}")
    assert unfinished == []


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("It is gone.", True),
        ("Those of a session.", True),
        ("The same of a file.", True),
        ("This is the cart's.", True),
        ("This cart is gone.", False),
        ("Its place.", True),
        ("Item by item.", False),
        ("The first row.", False),
    ],
)
def test_the_rule_itself(text: str, points: bool) -> None:
    assert (POINTS_BACK.match(text) is not None) == points
