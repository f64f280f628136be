"""A claim code gives a cart its key, once, for ten minutes, and who guesses is refused and reported."""

import asyncio

import httpx2
import pytest
from sqlalchemy import select

from duckycart.admin.fleet import claim_code, rotate_key
from duckycart.api.pairing import WRONG_CODES
from duckycart.hardware.pairing import CODE_MINUTES
from duckycart.keys import hash_of, new_key
from duckycart.store.tables import alarms
from duckycart.testing.furnish import key_of
from tests.api.doors import CODE, contents, refused
from tests.world import Shop

NEW = "n" * 43


async def issue(shop: Shop, cart_id: int = 1, code: str = CODE) -> None:
    await shop.inside.store.write(lambda tx: claim_code(tx, cart_id, hash_of(code)))


async def pair(shop: Shop, code: str = CODE, key: str = NEW) -> httpx2.Response:
    return await shop.http.post("/carts/pair", json={"code": code, "key": key})


async def opens(shop: Shop, key: str) -> bool:
    answer = await shop.http.get("/customer-session/cart-status/1", headers={"X-API-Key": key})
    return answer.status_code == 200


async def raised(shop: Shop) -> list[str]:
    return [row.detail for row in await shop.rows(select(alarms).where(alarms.c.kind == "codes_guessed"))]


@pytest.mark.parametrize("typed", [CODE, "7K3M-Q9XD", " 7k3m q9xd", "7k3m-q9xd\t"])
async def test_a_code_makes_a_key_known_however_it_is_typed(shop: Shop, typed: str) -> None:
    await issue(shop)
    answer = await pair(shop, typed.rstrip("\t"))
    assert (answer.status_code, answer.json()) == (200, {"cart_id": 1})
    assert answer.headers["cache-control"] == "no-store"
    assert await opens(shop, NEW)
    assert not await opens(shop, key_of(1))


async def test_a_code_is_good_once_and_the_same_pairing_again_is_no_second_one(shop: Shop) -> None:
    await issue(shop)
    for _ in range(3):  # whose answer was lost
        assert (await pair(shop)).status_code == 200
    before = await contents(shop)
    assert refused(await pair(shop, key="o" * 43), 403)["code"] == "bad_claim_code"
    assert await contents(shop) == before
    assert await opens(shop, NEW)


async def test_of_two_carts_with_one_code_one_is_paired(shop: Shop) -> None:
    await issue(shop)
    keys = [new_key() for _ in range(8)]
    answers = await asyncio.gather(*(pair(shop, key=key) for key in keys))
    assert sorted(answer.status_code for answer in answers) == [200, *[403] * 7]
    winner = next(key for key, answer in zip(keys, answers, strict=True) if answer.status_code == 200)
    assert [await opens(shop, key) for key in keys] == [key == winner for key in keys]


async def test_a_code_lasts_for_its_minutes(shop: Shop) -> None:
    await issue(shop)
    shop.clock.move(CODE_MINUTES * 60 - 1)
    await issue(shop, 1, "ABCDEFGH")
    shop.clock.move(CODE_MINUTES * 60)
    assert refused(await pair(shop, "ABCDEFGH"), 403)["code"] == "bad_claim_code"
    assert await opens(shop, key_of(1))


async def test_a_newer_code_and_a_new_key_void_a_code(shop: Shop) -> None:
    await issue(shop)
    await issue(shop, 1, "ABCDEFGH")
    assert (await pair(shop)).status_code == 403
    await shop.inside.store.write(lambda tx: rotate_key(tx, 1, hash_of("r" * 43)))
    assert (await pair(shop, "ABCDEFGH")).status_code == 403
    assert await opens(shop, "r" * 43)


async def test_a_key_that_another_cart_has_is_refused_and_the_code_stays_good(shop: Shop) -> None:
    await issue(shop)
    assert (await pair(shop, key=key_of(2))).status_code == 403
    assert (await pair(shop)).status_code == 200


async def test_a_link_with_the_key_before_is_closed(shop: Shop) -> None:
    async with shop.cart() as cart:
        await issue(shop)
        assert (await pair(shop)).status_code == 200
        await shop.sweep()
        await cart.wait_closed()
        assert cart.close_code == 1008


async def test_who_guesses_is_refused_for_a_while_and_an_operator_hears_of_it_once(shop: Shop) -> None:
    await issue(shop)
    for _ in range(WRONG_CODES):
        assert (await pair(shop, "ABCDEFGH")).status_code == 403
    assert await raised(shop) == []
    for _ in range(3):
        assert refused(await pair(shop), 429)["code"] == "too_many_requests"  # even the right one
    (detail,) = await raised(shop)
    assert "127.0.0.1" in detail
    shop.clock.move(60)
    assert (await pair(shop)).status_code == 200


async def test_right_codes_do_not_count(shop: Shop) -> None:
    for _ in range(WRONG_CODES * 2):
        await issue(shop)
        assert (await pair(shop)).status_code == 200


@pytest.mark.parametrize("code", ["", "7K3MQ9X", "7K3MQ9XDD", "7K3MQ9XU", "\u0667K3MQ9XD", "%' OR 1=1"])
async def test_what_is_no_code_is_refused(shop: Shop, code: str) -> None:
    await issue(shop)
    assert (await pair(shop, code)).status_code == 403
    assert await opens(shop, key_of(1))
