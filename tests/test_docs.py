"""The documents say what the code does."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from duckycart.errors import Refusal
from duckycart.lifecycle.rules import Rules
from duckycart.lifecycle.transitions import TABLE, Phase
from duckycart.settings import Settings

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def transition_table() -> str:
    """The table as docs/transitions.md must have it."""
    lines = ["| event | " + " | ".join(Phase) + " |", "|---|" + "---|" * len(Phase)]
    for event, row in TABLE.items():
        cells = []
        for phase in Phase:
            entry = row[phase]
            if isinstance(entry, Refusal):
                cells.append(f"409 `{entry.code}`")
            else:
                command = f", **{entry.command}**" if entry.command else ""
                cells.append(f"→ {entry.phase}{command}")
        lines.append(f"| `{event}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def test_the_transition_table_in_the_docs_is_the_one_the_code_asks() -> None:
    table, page = transition_table(), (DOCS / "transitions.md").read_text()
    missing = [row for row in table.splitlines() if row not in page.splitlines()]
    assert not missing, "docs/transitions.md lacks:\n" + "\n".join(missing)
    assert table in page


def test_the_defaults_of_the_settings_are_those_of_the_rules() -> None:
    assert Settings().rules == Rules()


def test_every_setting_is_documented_with_its_default() -> None:
    text = (DOCS / "settings.md").read_text()
    rows = dict(re.findall(r"^\| `DUCKYCART_(\w+)` \| `?([^`|]*)`? \|", text, re.MULTILINE))
    assert {name.lower() for name in rows} == set(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        shown = rows[name.upper()].strip()
        if isinstance(field.default, int | float):
            assert float(shown) == field.default, name
        elif isinstance(field.default, str) and field.default:
            assert shown == field.default, name


FAULTS = re.findall(r"^\| (F\d\d) \|", (DOCS / "faults.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_has_a_test_named_after_it(fault: str) -> None:
    named = re.compile(rf"def test_(?:\w+_)?{fault.lower()}_")
    assert any(named.search(path.read_text()) for path in (ROOT / "tests").rglob("test_*.py"))


def test_every_fault_is_there() -> None:
    """Those of other systems, and those found here: once each, in order, without a gap."""
    assert [f"F{number:02}" for number in range(1, 73)] == FAULTS


WAY = re.findall(r"^\| [^|]+ \| `([\w/]+\.py)`: `([\w.]+)` \|", (DOCS / "how-it-holds.md").read_text(), re.MULTILINE)


def test_the_way_of_a_command_is_told_whole() -> None:
    """From the request to the receipt; the step between commit and link is one of them."""
    assert [file.removesuffix(".py") for file, _ in WAY] == [
        "api/sessions",
        "api/writes",
        "store/threads",
        "store/transaction",
        "lifecycle/sessions",
        "lifecycle/carts",
        "store/threads",
        "after_commit",
        "hardware/dispatch",
        "bus/protocol",
        "hardware/links",
        "hardware/socket",
        "hardware/link",
        "hardware/link",
        "hardware/dispatch",
        "hardware/receipts",
    ]


@pytest.mark.parametrize(("file", "name"), WAY)
def test_each_step_of_the_way_of_a_command_is_where_the_docs_say(file: str, name: str) -> None:
    found: object = import_module("duckycart." + file.removesuffix(".py").replace("/", "."))
    for part in name.split("."):
        found = getattr(found, part)
    assert callable(found)


def test_the_readme_names_every_folder_of_the_server() -> None:
    readme = (ROOT / "README.md").read_text()
    folders = [path.parent.name for path in (ROOT / "src/duckycart").glob("*/__init__.py")]
    assert folders
    assert [name for name in folders if f"| `{name}/` |" not in readme] == []


def test_contributors_are_told_what_only_make_proof_runs() -> None:
    told = (ROOT / "CONTRIBUTING.md").read_text()
    files = [path.relative_to(ROOT) for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__)]
    long = [str(path) for path in files if "pytest.mark.proof" in (ROOT / path).read_text()]
    assert len(long) > 3
    assert [path for path in long if f"`{path}`" not in told] == []


PAGES = (
    path.relative_to(ROOT)
    for folder in (".", "changes", "deploy", "docs", "examples")
    for path in (ROOT / folder).glob("*.md")
)


@pytest.mark.parametrize("page", sorted(map(str, PAGES)))
def test_every_link_of_a_page_leads_somewhere(page: str) -> None:
    path = ROOT / page
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        assert (path.parent / target).exists(), target
