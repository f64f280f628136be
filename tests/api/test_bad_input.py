"""Whatever comes through a door that does not belong there: a clear refusal, and nothing changed."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from duckycart.testing.furnish import MILK
from duckycart.testing.waiting import PATIENCE
from tests.api.doors import DOORS, WITH_BODY, WITH_CART_ID, WITH_SESSION_ID, Door, Session, contents, refused
from tests.world import Shop

pytestmark = pytest.mark.any_store

FORM = "application/x-www-form-urlencoded"
SURROGATE = "\\ud800"  # as JSON writes it; no UTF-8 text can hold it
NESTED = "[" * 30_000

# What never is a body of any door.
BODIES: dict[str, bytes] = {
    "empty": b"",
    "not JSON": b"{",
    "no text at all": b"\xff\xfe\x00",
    "null": b"null",
    "a list": b"[]",
    "a number": b"1",
    "NaN": b"NaN",
    "an empty object": b"{}",
    "nested for ever": NESTED.encode(),
    "a number without end": b'{"sessionID": ' + b"9" * 5000 + b"}",
    "over the limit": b'{"x": "' + b"x" * 65_536 + b'"}',
}

NO_NUMBERS: list[str] = [
    "null", "true", "false", "1.5", "-1", "1e400", '"x"', '""', '"1_0"', '" 1"', '"+1"', '"1.0"', '"\\u0661"', "[1]",
    "{}", "9" * 400, f'"{SURROGATE}"', '"\\u0000"',
]  # fmt: skip
NO_TEXTS: list[str] = ["null", "true", "1", "[]", "{}", f'"{SURROGATE}"', '"a\\u0000b"', '"' + "x" * 3000 + '"']
NO_IDS = ["0", "-1", "01", "1.0", "1_0", "%201", "+1", "1234567890", "9" * 3000, "x", "%00", "%D9%A1", "null", "1%0a"]


async def knock(shop: Shop, door: Door, session: Session, body: bytes, kind: str | None = None) -> Any:
    headers = _typed(door.headers(shop, session), door)
    if kind is not None:
        headers["Content-Type"] = kind
    return await shop.http.request(door.method, door.url(session), content=body, headers=headers)


@pytest.mark.parametrize("door", WITH_BODY, ids=str)
async def test_a_body_that_is_none_is_refused_and_changes_nothing(shop: Shop, session: Session, door: Door) -> None:
    before = await contents(shop)
    for case, body in BODIES.items():
        refused(await knock(shop, door, session, body), (400, 413, 422), case)
    assert await contents(shop) == before


@pytest.mark.parametrize("door", WITH_BODY, ids=str)
async def test_each_field_of_a_body_is_needed_and_of_its_type(shop: Shop, session: Session, door: Door) -> None:
    assert door.body is not None
    good = door.body(session, await shop.qr(2))
    before = await contents(shop)
    for field, value in good.items():
        others = {name: other for name, other in good.items() if name != field}
        if door.form:
            assert refused(await shop.http.post(door.path, data=others), 422, field)["errors"]
            continue
        problem = refused(await knock(shop, door, session, json.dumps(others).encode()), 422, f"without {field}")
        assert problem["errors"][0]["field"] == field
        for wrong in NO_NUMBERS if isinstance(value, int) else NO_TEXTS:
            if (field, wrong) == ("satisfaction", "1"):
                continue  # stars
            body = json.dumps({**others, field: "?"}).replace('"?"', wrong).encode()
            answer = await knock(shop, door, session, body)
            if (field, wrong) == ("password", '"a\\u0000b"'):
                continue  # of eight characters it would be a password as good as any
            refused(answer, (400, 404, 422), f"{field}: {wrong[:40]}")
    assert await contents(shop) == before


@pytest.mark.parametrize("field", ["username", "mobile_number", "full_name", "email"])
async def test_texts_that_are_kept_are_of_one_line(shop: Shop, field: str) -> None:
    before = await contents(shop)
    good = {"email": "new@example.com", "password": "long enough", "full_name": "New"}
    for wrong in ("NUL\x00in@it.eg", "line\nbreak@it.eg"):
        refused(await shop.http.post("/auth/signup", json={**good, field: wrong}), 422)
    assert await contents(shop) == before


@pytest.mark.parametrize("weight", ["-1", "true", '"heavy"', "1.5", "1000001", "[]"])
async def test_a_weight_is_whole_grams_of_at_most_a_ton(shop: Shop, session: Session, weight: str) -> None:
    before = await contents(shop)
    body = f'{{"sessionID": {session.id}, "barcode": {MILK}, "weight": {weight}}}'.encode()
    refused(await shop.http.post("/cart-items/add", content=body, headers=_json(shop.cart_headers())), 422)
    assert await contents(shop) == before


async def test_a_payment_method_is_a_short_text(shop: Shop, session: Session) -> None:
    before = await contents(shop)
    url = f"/payment/create-payment/{session.id}"
    for wrong in ("1", "true", "[]", '"a\\u0000b"', f'"{SURROGATE}"', '"' + "x" * 41 + '"'):
        body = f'{{"payment_method": {wrong}}}'.encode()
        refused(await shop.http.post(url, content=body, headers=_json(session.shopper)), 422, wrong)
    assert await contents(shop) == before


@pytest.mark.parametrize("door", WITH_BODY, ids=str)
async def test_fields_that_nobody_knows_are_passed_over(shop: Shop, session: Session, door: Door) -> None:
    """Newer carts may say more than this server understands."""
    if door.path == "/auth/login":
        return  # a form has no shape to be stretched
    assert door.body is not None
    good = door.body(session if door.who in ("cart", "both") else Session(0, {}), await shop.qr(2))
    headers = door.headers(shop, session) if door.who in ("cart", "both") else await shop.shopper("other@example.com")
    url = door.url(session)
    answer = await shop.http.request(door.method, url, json={**good, "more": [None]}, headers=headers)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("door", [*WITH_SESSION_ID, *WITH_CART_ID], ids=str)
async def test_an_id_is_one_to_nine_digits(shop: Shop, session: Session, door: Door) -> None:
    before = await contents(shop)
    name = "session_id" if door in WITH_SESSION_ID else "cart_id"
    for wrong in NO_IDS:
        url = door.url(session, **{name: wrong})
        refused(await shop.http.request(door.method, url, headers=door.headers(shop, session)), (404, 405, 422), wrong)
    assert await contents(shop) == before


@pytest.mark.parametrize("barcode", ["x", "-1", "1.0", "%201", "1_0", "9" * 41, "%D9%A1", "%00"])
async def test_a_barcode_in_a_path_is_digits(shop: Shop, session: Session, barcode: str) -> None:
    refused(await shop.http.get(f"/items/read/{barcode}", headers=session.shopper), 422)


async def test_a_body_over_the_limit_is_refused_declared_or_not(shop: Shop, session: Session) -> None:
    before = await contents(shop)
    for door in DOORS:
        url, headers = door.url(session), _typed(door.headers(shop, session), door)
        answer = await shop.http.request(door.method, url, content=b" " * 65_537, headers=headers)
        assert refused(answer, 413, door)["code"] == "body_too_large"
        if door.body is None and "webhook" not in door.path:
            continue  # reads no body, however long
        sent_in_pieces = await shop.http.request(door.method, url, content=_pieces(), headers=headers)
        assert refused(sent_in_pieces, 413, door)["code"] == "body_too_large"
        assert sent_in_pieces.headers["connection"] == "close"
    assert await contents(shop) == before


async def test_an_endless_query_is_refused(shop: Shop, session: Session) -> None:
    before = await contents(shop)
    for door in DOORS:
        url = f"{door.url(session)}?x={'x' * 4096}"
        refused(await shop.http.request(door.method, url, headers=door.headers(shop, session)), 414, door)
    assert await contents(shop) == before


async def test_an_endless_head_is_refused(shop: Shop) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: shop\r\nX-Much: " + b"x" * 40_000)
    async with asyncio.timeout(PATIENCE):
        assert (await reader.readline()).startswith(b"HTTP/1.1 400")
        await reader.read()
    writer.close()


async def test_a_method_that_the_address_does_not_take(shop: Shop, session: Session) -> None:
    before = await contents(shop)
    for door in DOORS:
        for method in ("PATCH", "TRACE", "PROPFIND"):
            answer = await shop.http.request(method, door.url(session), headers=door.headers(shop, session))
            refused(answer, 405, f"{method} for {door}")
            assert answer.headers["allow"]
    assert await contents(shop) == before


NOWHERE = [
    "/nothing", "/promotions", "/promotions/1", "/layout/1", "/layout/aisles/1", "/checklists/1", "/feedback/1",
    "/customer-session", "/customer-session/", "/customer-session/1/nothing", "/items/", "/cart-items/add/", "/auth",
    "/payment/create-payment/", "/healthz/", "/..%2f..%2fetc/passwd", "/%00", "/auth/../nothing", "/.env",
]  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_unknown_address_is_404_and_never_401(shop: Shop, method: str) -> None:
    for path in NOWHERE:
        for headers in ({}, {"Authorization": "Bearer rubbish", "X-API-Key": "rubbish"}):
            answer = await shop.http.request(method, path, headers=headers)
            assert refused(answer, 404, path)["code"] == "not_found"


def _json(headers: dict[str, str]) -> dict[str, str]:
    return {**headers, "Content-Type": "application/json"}


def _typed(headers: dict[str, str], door: Door) -> dict[str, str]:
    return {**headers, "Content-Type": FORM} if door.form else _json(headers)


async def _pieces() -> AsyncIterator[bytes]:
    for _ in range(9):
        yield b" " * 8192
