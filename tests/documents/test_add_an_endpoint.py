"""docs/add-an-endpoint.md is followed to the letter, on a server of its own."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from duckycart.api import locations, openapi
from tests.api.doors import Door, begin, refused
from tests.conftest import OpenShop
from tests.documents.declared import Declared

ROOT = Path(__file__).parent.parent.parent
PLACES = re.findall(
    r"In `([\w/]+)\.py`:\n\n```python\n(.*?)```", (ROOT / "docs/add-an-endpoint.md").read_text(), re.DOTALL
)


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Door:
    """What the page says is written, and undone after the test. The last place is the door."""
    monkeypatch.setattr(locations.router, "routes", [*locations.router.routes])
    monkeypatch.setattr(openapi, "REFUSALS", dict(openapi.REFUSALS))
    (last, knock) = PLACES[-1]
    for place, code in PLACES[:-1]:
        module = import_module(place.removeprefix("src/").replace("/", "."))
        written: dict[str, Any] = dict(vars(module))
        exec(compile(code, f"{place}.py", "exec"), written)
        for name in written.keys() - vars(module).keys():
            monkeypatch.setattr(module, name, written[name], raising=False)
    door = eval(knock, vars(import_module(last.replace("/", "."))))
    assert isinstance(door, Door)
    return door


def test_an_endpoint_touches_at_most_four_places() -> None:
    assert 0 < len(PLACES) <= 4
    assert all((ROOT / f"{place}.py").exists() for place, _ in PLACES)


async def test_an_endpoint_that_is_added_as_the_page_says_is_served_and_documented(
    door: Door, opening: OpenShop
) -> None:
    async with opening(offline_carts="accept") as shop:
        await shop.furnish()
        declared = Declared(shop.app.openapi())
        shop.http.event_hooks["response"].append(declared.see)
        session = await begin(shop)

        async def knock(headers: dict[str, str]) -> Any:
            return await shop.http.request(door.method, door.url(session), headers=headers)

        assert refused(await knock(door.headers(shop, session)), 404)["code"] == "no_location"
        moved = await shop.http.put(door.url(session), json={"aisle_id": 4}, headers=shop.cart_headers())
        answer = await knock(door.headers(shop, session))
        assert answer.status_code == 200
        assert answer.json() == moved.json()
        refused(await knock({}), 401)
        refused(await knock(shop.cart_headers()), 403)
        assert {(str(door), status) for status in (200, 401, 403, 404)} <= declared.seen
        operation = declared.document["paths"][door.path]["get"]
        assert operation["operationId"] == "locations_read"
        assert operation["summary"] == "Read in which aisle the cart is"
        assert operation["responses"]["200"]["content"]["application/json"]["example"]["aisle_id"] == 4
