"""What the server sends for the page: small, cached rightly, and closed to whatever is not its own."""

import re
from pathlib import Path

import pytest

from duckycart import pages
from tests.api.doors import refused
from tests.world import Shop

FOLDER = Path(pages.__file__).parent
SOURCES = [path for path in FOLDER.iterdir() if path.suffix in (".html", ".css", ".js", ".svg")]
SCRIPT = (FOLDER / "shopper.js").read_text()


def block(name: str, lang: str) -> str:
    """What the script holds for a language."""
    match = re.search(rf"const {name} = \{{.*?^  {lang}: \{{\n(.*?)^  \}}", SCRIPT, re.MULTILINE | re.DOTALL)
    assert match is not None
    return match[1]


def keys(text: str) -> set[str]:
    return set(re.findall(r"(?:^ +|\", )(\w+): \"", text, re.MULTILINE))


def test_it_is_light_on_the_wire() -> None:
    assert sum(path.stat().st_size for path in SOURCES) < 25 * 1024


def test_both_languages_say_everything() -> None:
    assert keys(block("TEXTS", "en")) == keys(block("TEXTS", "ar"))
    html = (FOLDER / "shopper.html").read_text()
    assert set(re.findall(r'data-t="(\w+)"', html)) <= keys(block("TEXTS", "en"))


def test_every_translated_problem_is_one_of_the_server() -> None:
    codes = keys(block("PROBLEMS", "en")) | keys(block("PROBLEMS", "ar"))
    source = "".join(path.read_text() for path in FOLDER.parent.rglob("*.py"))
    assert len(codes) > 10
    assert [code for code in codes if f'"{code}"' not in source] == []


async def test_the_page_is_kept_nowhere_tells_nobody_and_runs_only_its_own_script(shop: Shop) -> None:
    answer = await shop.http.get(f"/s/{await shop.qr()}")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = answer.headers["content-security-policy"]
    for part in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert part in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]* src=)|\son\w+=|style=|https?://", answer.text)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("shopper.js", "text/javascript; charset=utf-8"),
        ("shopper.css", "text/css; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    ],
)
async def test_an_asset_is_sent_again_only_when_it_changed(shop: Shop, name: str, kind: str) -> None:
    answer = await shop.http.get(f"/s/assets/{name}")
    assert answer.content == (FOLDER / name).read_bytes()
    assert answer.headers["content-type"] == kind
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["referrer-policy"] == "no-referrer"
    etag = answer.headers["etag"]
    same = await shop.http.get(f"/s/assets/{name}", headers={"If-None-Match": f'"other", W/{etag}'})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    assert (await shop.http.get(f"/s/assets/{name}", headers={"If-None-Match": '"other"'})).status_code == 200


@pytest.mark.parametrize("name", ["shopper.py", "__init__.py", "..%2fapp.py", "%2e%2e%2fapp.py", "shopper.html", "x"])
async def test_nothing_else_is_served(shop: Shop, name: str) -> None:
    refused(await shop.http.get(f"/s/assets/{name}"), 404)
