"""An Idempotency-Key makes a repetition harmless for a day: the same answer, done once."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from httpx2 import Response
from sqlalchemy import Connection, func, select

from duckycart.lifecycle.idempotency import Repeatable
from duckycart.store.tables import idempotency_keys, users
from duckycart.testing.furnish import BREAD, MILK
from tests.api.doors import PASSWORD, Session, contents, refused
from tests.conftest import OpenShop
from tests.world import Shop

DAY = 24 * 3600
Repeat = Callable[[], Awaitable[Response]]


def keyed(headers: dict[str, str], key: str = "one") -> dict[str, str]:
    return {**headers, "Idempotency-Key": key}


async def change(
    shop: Shop, session: Session, call: str = "add", key: str = "one", barcode: int = MILK, cart_id: int = 1
) -> Response:
    return await shop.http.request(
        "POST" if call == "add" else "DELETE",
        f"/cart-items/{call}",
        json={"sessionID": session.id, "barcode": barcode},
        headers=keyed(shop.cart_headers(cart_id), key),
    )


async def quantity(shop: Shop, session: Session) -> int:
    basket = await shop.http.get(f"/cart-items/session/{session.id}", headers=session.shopper)
    return int(basket.json()["item_count"])


async def repeat_of(shop: Shop, session: Session, call: str) -> Repeat:
    if call in ("add", "remove"):
        return lambda: change(shop, session, call)
    qr = await shop.qr(2)
    other = await shop.shopper("other@example.com")
    if call == "scan":
        return lambda: shop.scan(qr, keyed(other))
    if call == "guest":
        return lambda: shop.http.post("/auth/guest", json={"token": qr}, headers=keyed({}))
    if call == "signup":
        form = {"email": "new@example.com", "password": PASSWORD, "full_name": "New"}
        return lambda: shop.http.post("/auth/signup", json=form, headers=keyed({}))
    if call == "end":
        await shop.remove(session.id)
    url = {"end": f"/customer-session/{session.id}/end", "pay": f"/payment/create-payment/{session.id}"}[call]
    return lambda: shop.http.post(url, headers=keyed(session.shopper))


@pytest.mark.parametrize("call", ["add", "remove", "scan", "guest", "signup", "end", "pay"])
async def test_a_repetition_gets_the_same_answer_and_changes_nothing(shop: Shop, session: Session, call: str) -> None:
    repeat = await repeat_of(shop, session, call)
    first = await repeat()
    assert first.status_code == 200, first.text
    before = await contents(shop)
    shop.clock.move(10)
    again = await repeat()
    assert again.status_code == 200, again.text
    assert without_token(again) == without_token(first)
    assert again.headers.get("hardware-delivery") == first.headers.get("hardware-delivery")
    assert await contents(shop) == before


@pytest.mark.parametrize("call", ["add", "remove", "scan", "guest", "signup", "end", "pay"])
async def test_two_at_once_with_one_key_do_it_once(shop: Shop, session: Session, call: str) -> None:
    repeat = await repeat_of(shop, session, call)
    answers = await asyncio.gather(*(repeat() for _ in range(6)))
    assert [answer.status_code for answer in answers] == [200] * 6
    assert all(without_token(answer) == without_token(answers[0]) for answer in answers)
    if call in ("add", "remove"):
        assert await quantity(shop, session) == {"add": 2, "remove": 0}[call]
    elif call in ("guest", "signup"):
        (row,) = await shop.rows(select(func.count()).select_from(users))
        assert row[0] == 3
    else:
        of_call = {"scan": "session_started", "end": "end_session", "pay": "payment_created"}[call]
        told = [kind for cart_id in (1, 2) for _, kind, *_ in await shop.commands(cart_id)]
        assert told.count(of_call) == (2 if call == "scan" else 1)


@pytest.mark.parametrize("call", ["add", "remove", "guest", "end"])
async def test_a_result_that_is_committed_just_after_it_was_looked_for_is_found(
    shop: Shop, session: Session, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    repeat = await repeat_of(shop, session, call)
    first = await repeat()
    before = await contents(shop)
    looked: list[None] = []
    find = Repeatable.find

    def too_early(self: Repeatable[object], connection: Connection, now: int) -> tuple[object] | None:
        looked.append(None)
        return None if len(looked) == 1 else find(self, connection, now)

    monkeypatch.setattr(Repeatable, "find", too_early)
    again = await repeat()
    assert len(looked) == 2
    assert (again.status_code, without_token(again)) == (200, without_token(first))
    assert await contents(shop) == before


async def test_a_payment_that_is_over_is_not_made_again_by_a_late_repetition(shop: Shop, session: Session) -> None:
    url = f"/payment/create-payment/{session.id}"
    first = await shop.http.post(url, headers=keyed(session.shopper))
    shop.clock.move(shop.inside.settings.payment_seconds + 1)
    await shop.housekeeping()  # cancels it at the provider
    again = await shop.http.post(url, headers=keyed(session.shopper))
    assert again.json() == first.json()
    assert len(await shop.payment_rows(session.id)) == 1
    wanted = await shop.http.post(url, headers=keyed(session.shopper, "two"))
    assert wanted.json()["payment_id"] != first.json()["payment_id"]


async def test_the_key_for_another_body_is_422_and_changes_nothing(shop: Shop, session: Session) -> None:
    await change(shop, session)
    before = await contents(shop)
    assert refused(await change(shop, session, barcode=BREAD), 422)["code"] == "idempotency_key_reused"
    assert await contents(shop) == before
    url = f"/payment/create-payment/{session.id}"
    await shop.http.post(url, json={"payment_method": "card"}, headers=keyed(session.shopper))
    other = await shop.http.post(url, json={"payment_method": "cash"}, headers=keyed(session.shopper))
    assert refused(other, 422)["code"] == "idempotency_key_reused"


async def test_a_key_belongs_to_its_caller_and_its_call(shop: Shop, session: Session) -> None:
    assert (await change(shop, session)).json()["quantity"] == 2
    assert (await change(shop, session, "remove")).json()["item"]["quantity"] == 1
    assert refused(await change(shop, session, cart_id=2), 404)["code"] == "unknown_session"
    operator = await shop.shopper("boss@example.com", operator=True)
    paid = [
        await shop.http.post(f"/payment/create-payment/{session.id}", json=body, headers=keyed(who))
        for who, body in ((session.shopper, {"payment_method": "card"}), (operator, {"payment_method": "cash"}))
    ]
    assert [answer.status_code for answer in paid] == [200, 200]


async def test_of_callers_without_a_credential_the_address_is_the_caller(opening: OpenShop) -> None:
    async with opening(trusted_proxies="127.0.0.0/8") as shop:
        answers = [
            await shop.http.post(
                "/auth/signup",
                json={"email": f"{address}@example.com", "password": PASSWORD, "full_name": "A"},
                headers={"Idempotency-Key": "one", "X-Forwarded-For": address},
            )
            for address in ("203.0.113.1", "203.0.113.2")
        ]
        assert [answer.status_code for answer in answers] == [200, 200]


@pytest.mark.parametrize("key", ["", "two words", "x" * 201, "\xe9"])
async def test_a_malformed_key_is_400_and_changes_nothing(shop: Shop, session: Session, key: str) -> None:
    before = await contents(shop)
    for url, body, headers in (
        ("/cart-items/add", {"sessionID": session.id, "barcode": MILK}, shop.cart_headers()),
        (f"/payment/create-payment/{session.id}", {}, session.shopper),
    ):
        raw = {**{name.encode(): value.encode() for name, value in headers.items()}}
        raw[b"Idempotency-Key"] = key.encode("latin-1")
        answer = await shop.http.post(url, json=body, headers=raw)
        assert refused(answer, 400, url)["code"] == "bad_idempotency_key"
    assert await contents(shop) == before


async def test_a_key_is_forgotten_after_a_day_and_not_before(shop: Shop, session: Session) -> None:
    await change(shop, session)
    shop.clock.move(DAY - 1)
    await shop.housekeeping()
    assert (await change(shop, session)).json()["quantity"] == 2
    shop.clock.move(2)
    assert (await change(shop, session)).json()["quantity"] == 3, "forgotten even before the row is tidied away"
    shop.clock.move(DAY + 1)
    await shop.housekeeping()
    assert await shop.rows(idempotency_keys.select()) == []


async def test_what_was_refused_is_not_kept(shop: Shop, session: Session) -> None:
    assert (await change(shop, session, "remove", barcode=BREAD)).status_code == 404
    await shop.add(session.id, BREAD)
    assert (await change(shop, session, "remove", barcode=BREAD)).status_code == 200
    url = f"/customer-session/{session.id}/end"
    assert (await shop.http.post(url, headers=keyed(session.shopper))).status_code == 409
    await shop.remove(session.id)
    assert (await shop.http.post(url, headers=keyed(session.shopper))).status_code == 200


async def test_f18_the_answer_null_is_kept_like_any_other(shop: Shop, session: Session) -> None:
    assert (await change(shop, session, "remove")).json()["item"] is None
    await shop.add(session.id)
    assert (await change(shop, session, "remove")).json()["item"] is None
    assert await quantity(shop, session) == 1


def without_token(answer: Response) -> dict[str, object]:
    """An access token is signed anew each time; what it opens is the same."""
    return {name: value for name, value in answer.json().items() if name != "access_token"}
