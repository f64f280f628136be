"""What the server sends for its pages: small, cached rightly, and closed to whatever is not its own."""

import re
from pathlib import Path

import pytest

from duckycart import pages
from tests.api.doors import refused
from tests.world import Shop

FOLDER = Path(pages.__file__).parent
SHARED = ["page.js", "page.css", "icon.svg"]
PAGES = ["shopper", "screen"]  # what shows a basket
EVERY = [*PAGES, "start"]
PLACES = {"screen": "/screen/1", "start": "/"}


def scripts(page: str) -> str:
    """A page's own script and the shared one."""
    return "\n".join((FOLDER / name).read_text() for name in ("page.js", f"{page}.js"))


def block(page: str, name: str, lang: str) -> str:
    """What the scripts hold for a language."""
    found = re.findall(rf"const {name} = \{{.*?^  {lang}: \{{\n(.*?)^  \}}", scripts(page), re.MULTILINE | re.DOTALL)
    assert len(found) == 2
    return "\n".join(found)


def keys(text: str) -> set[str]:
    return set(re.findall(r"(?:^ +|\", )(\w+): \"", text, re.MULTILINE))


@pytest.mark.parametrize("page", EVERY)
def test_it_is_light_on_the_wire(page: str) -> None:
    files = [*SHARED, f"{page}.html", f"{page}.css", f"{page}.js"]
    assert sum((FOLDER / name).stat().st_size for name in files) < 30 * 1024


@pytest.mark.parametrize("page", EVERY)
def test_both_languages_say_everything(page: str) -> None:
    said = keys(block(page, "TEXTS", "en"))
    assert said == keys(block(page, "TEXTS", "ar"))
    html = (FOLDER / f"{page}.html").read_text()
    asked = set(re.findall(r'data-t="(\w+)"', html)) | set(re.findall(r'\bt\("(\w+)"', scripts(page)))
    assert len(asked) > 10
    assert asked <= said


@pytest.mark.parametrize("page", PAGES)
def test_every_translated_problem_is_one_of_the_server(page: str) -> None:
    codes = keys(block(page, "PROBLEMS", "en")) | keys(block(page, "PROBLEMS", "ar"))
    source = "".join(path.read_text() for path in FOLDER.parent.rglob("*.py"))
    assert len(codes) > 5
    assert [code for code in codes if f'"{code}"' not in source] == []


@pytest.mark.parametrize("page", EVERY)
async def test_the_page_is_kept_nowhere_tells_nobody_and_runs_only_its_own_script(shop: Shop, page: str) -> None:
    answer = await shop.http.get(PLACES.get(page) or f"/s/{await shop.qr()}")
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
        ("page.js", "text/javascript; charset=utf-8"),
        ("screen.css", "text/css; charset=utf-8"),
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


@pytest.mark.parametrize("name", ["shopper.py", "__init__.py", "..%2fapp.py", "%2e%2e%2fapp.py", "screen.html", "x"])
async def test_nothing_else_is_served(shop: Shop, name: str) -> None:
    refused(await shop.http.get(f"/s/assets/{name}"), 404)
