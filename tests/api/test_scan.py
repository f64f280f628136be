"""From the QR to the session: who gets the cart, who is told what, and nobody gets it twice."""

import asyncio
import re
import zlib

import pytest
import segno
from sqlalchemy import func, select, update

from duckycart.store.tables import carts, commands, sessions
from duckycart.tokens import QrToken
from tests.api.doors import Session, begin, contents, refused
from tests.conftest import OpenShop
from tests.world import Shop

PAIRS = 200


async def test_f11_two_phones_scan_one_qr_at_one_moment_200_times(shop: Shop) -> None:
    ids = range(1001, 1001 + PAIRS)
    await asyncio.gather(*(shop.add_cart(cart_id) for cart_id in ids))
    phones = await asyncio.gather(*(shop.shopper(f"{n}@example.com") for n in range(2 * PAIRS)))
    qrs = [shop.inside.tokens.qr(QrToken(cart_id, 1, shop.clock.now() + 60_000)) for cart_id in ids]
    answers = await asyncio.gather(*(shop.scan(qrs[n // 2], phone) for n, phone in enumerate(phones)))
    for pair in zip(answers[::2], answers[1::2], strict=True):
        won, lost = sorted(pair, key=lambda answer: answer.status_code)
        assert won.status_code == 200
        assert refused(lost, 409)["code"] == "cart_busy"
    (row,) = await shop.rows(select(func.count()).select_from(sessions))
    assert row[0] == PAIRS
    (row,) = await shop.rows(select(func.count()).select_from(commands))
    assert row[0] == PAIRS


async def test_f12_a_qr_is_void_after_the_session_it_started(shop: Shop) -> None:
    first, second = await shop.shopper("first@example.com"), await shop.shopper("second@example.com")
    earlier, qr = await shop.qr(), await shop.qr()
    session_id = (await shop.scan(qr, first)).json()["session_id"]
    assert (await shop.http.post(f"/customer-session/{session_id}/end", headers=first)).status_code == 200
    before = await contents(shop)
    for token in (qr, earlier):
        for shopper in (first, second):
            assert refused(await shop.scan(token, shopper), 410)["code"] == "qr_void"
    assert await contents(shop) == before


async def test_f36_one_shopper_with_two_carts_is_told_which_session_he_has(shop: Shop, session: Session) -> None:
    qr = await shop.qr(2)
    before = await contents(shop)
    problem = refused(await shop.scan(qr, session.shopper), 409)
    assert (problem["code"], problem["session_id"], problem["cart_id"]) == ("shopper_has_session", session.id, 1)
    assert "1" in problem["detail"]
    assert await contents(shop) == before


async def test_f36_one_shopper_scans_two_carts_at_one_moment(shop: Shop) -> None:
    shopper = await shop.shopper()
    qrs = [await shop.qr(1), await shop.qr(2)]
    answers = await asyncio.gather(*(shop.scan(qr, shopper) for qr in qrs))
    assert sorted(answer.status_code for answer in answers) == [200, 409]


async def test_f38_the_same_scan_again_is_the_same_session_and_no_new_command(shop: Shop) -> None:
    shopper = await shop.shopper()
    qr = await shop.qr()
    first = await shop.scan(qr, shopper)
    shop.clock.move(3600)  # also long after the QR has expired
    before = await contents(shop)
    again = await shop.scan(qr, shopper)
    assert (again.status_code, again.json()) == (200, first.json())
    assert again.headers["hardware-delivery"] == first.headers["hardware-delivery"]
    assert await contents(shop) == before


async def test_a_qr_expires_by_the_clock(shop: Shop) -> None:
    shopper = await shop.shopper()
    qr = await shop.qr()
    shop.clock.move(300)
    before = await contents(shop)
    assert refused(await shop.scan(qr, shopper), 410)["code"] == "qr_expired"
    assert refused(await shop.http.post("/auth/guest", json={"token": qr}), 410)["code"] == "qr_expired"
    assert await contents(shop) == before
    fresh = await shop.qr()
    shop.clock.move(299)
    assert (await shop.scan(fresh, shopper)).status_code == 200


async def test_a_cart_in_use_gives_no_qr_and_hears_nothing(shop: Shop, session: Session) -> None:
    before = await contents(shop)
    answer = await shop.http.get("/customer-session/qr/1", headers=shop.cart_headers())
    assert refused(answer, 409)["code"] == "cart_busy"
    assert "hardware-delivery" not in answer.headers
    assert await contents(shop) == before


async def test_a_cart_out_of_service_starts_nothing(shop: Shop) -> None:
    shopper = await shop.shopper()
    qr = await shop.qr()
    await shop.inside.store.write(lambda tx: tx.connection.execute(update(carts).values(out_of_service=True)))
    before = await contents(shop)
    assert refused(await shop.scan(qr, shopper), 409)["code"] == "out_of_service"
    answer = await shop.http.get("/customer-session/qr/1", headers=shop.cart_headers())
    assert refused(answer, 409)["code"] == "out_of_service"
    assert await contents(shop) == before


async def test_a_cart_offline_for_over_60_seconds_is_refused(opening: OpenShop) -> None:
    async with opening() as shop:
        await shop.furnish()
        shopper = await shop.shopper()
        async with shop.cart():
            await shop.online()
            qr = await shop.qr()
        await shop.offline()
        shop.clock.move(60)
        assert (await shop.http.get("/customer-session/qr/1", headers=shop.cart_headers())).status_code == 200
        shop.clock.move(1)
        before = await contents(shop)
        answer = await shop.http.get("/customer-session/qr/1", headers=shop.cart_headers())
        assert refused(answer, 409)["code"] == "cart_offline"
        assert refused(await shop.scan(qr, shopper), 409)["code"] == "cart_offline"
        assert await contents(shop) == before


async def test_a_cart_offline_is_accepted_where_the_shop_wants_it(shop: Shop) -> None:
    shop.clock.move(3600)
    assert (await begin(shop)).id


@pytest.mark.parametrize("kind", ["image/svg+xml", "image/png"])
async def test_the_picture_of_a_qr_holds_the_public_url_with_the_token(opening: OpenShop, kind: str) -> None:
    async with opening(offline_carts="accept", public_url="https://shop.example/") as shop:
        await shop.furnish()
        answer = await shop.http.get("/customer-session/qr/1", headers={**shop.cart_headers(), "Accept": kind})
        assert answer.status_code == 200
        assert answer.headers["content-type"].split(";")[0] == kind
        assert answer.headers["cache-control"] == "no-store"
        url = answer.headers["link"].removeprefix("<").partition(">")[0]
        assert url.startswith("https://shop.example/s/")
        assert dark_modules(answer.content, kind) == [list(row) for row in segno.make(url, error="m").matrix]
        assert (await shop.scan(url, await shop.shopper())).status_code == 200
        assert [kind for _, kind, *_ in await shop.commands()] == ["generate_qr", "session_started"]


def dark_modules(picture: bytes, kind: str) -> list[list[int]]:
    """What a camera sees: the modules without their quiet zone of four."""
    rows = svg_modules(picture.decode()) if kind == "image/svg+xml" else png_modules(picture)
    assert not any(map(any, rows[:4])), "quiet zone"
    return [row[4:-4] for row in rows[4:-4]]


def png_modules(picture: bytes) -> list[list[int]]:
    """Of a one-bit greyscale PNG without filters, eight pixels a module."""
    width = int.from_bytes(picture[16:20])
    assert picture[24:26] == b"\x01\x00", "one bit, greyscale"
    data, at = b"", 8
    while at < len(picture):
        length = int.from_bytes(picture[at : at + 4])
        if picture[at + 4 : at + 8] == b"IDAT":
            data += picture[at + 8 : at + 8 + length]
        at += length + 12
    pixels, stride = zlib.decompress(data), 1 + (width + 7) // 8
    lines = [pixels[start : start + stride] for start in range(0, len(pixels), stride)][::8]
    assert all(line[0] == 0 for line in lines), "no filter"
    return [[1 - (line[1 + x // 8] >> (7 - x % 8) & 1) for x in range(0, width, 8)] for line in lines]


def svg_modules(picture: str) -> list[list[int]]:
    """Of a path of horizontal strokes, one line a row of modules."""
    match = re.search(r'<svg[^>]* width="(\d+)"', picture)
    assert match is not None
    size = int(match[1]) // 8
    rows = [[0] * size for _ in range(size)]
    path = re.search(r' d="([^"]+)"', picture)
    assert path is not None
    x = y = 0.0
    for command, numbers in re.findall(r"([Mmh])([-0-9. ]+)", path[1]):
        values = [float(number) for number in re.findall(r"-?[0-9]*\.?[0-9]+", numbers)]
        if command == "h":
            for module in range(int(x), int(x + values[0])):
                rows[int(y)][module] = 1
            x += values[0]
        else:
            x, y = (values[0], values[1]) if command == "M" else (x + values[0], y + values[1])
    return rows
