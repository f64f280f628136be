"""Boots that overlap: late handshakes, late pongs and late calls of the boot before, and calls that are refused."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from duckycart.effects import Received
from duckycart.hardware.receipts import KEPT_SECONDS
from duckycart.lifecycle.boots import KEPT
from duckycart.refusals import DATABASE_UNAVAILABLE
from duckycart.store.tables import boots, commands
from duckycart.testing.cart import CartConnection
from duckycart.testing.furnish import BREAD, MILK
from duckycart.testing.waiting import until
from duckycart.wire import Command, CommandType
from tests.hardware.helpers import GENERATE_QR, end_by_force, heard, raw, said
from tests.world import Shop


async def away(shop: Shop, *carts: CartConnection) -> None:
    for cart in carts:
        cart.cut()
    await shop.offline()


async def in_session(
    shop: Shop, boot: str | None, *, answers: bool = True
) -> tuple[int, CartConnection, dict[str, str]]:
    """A cart of that boot that has heard of a session; with its shopper."""
    shopper = await shop.shopper()
    cart = await raw(shop, boot=boot, answers=answers)
    session_id = await shop.start(shopper)
    await heard(cart, GENERATE_QR, said("session_started", session_id))
    if answers:
        await shop.settled()
    return session_id, cart, shopper


# F41: a boot id of an earlier boot is not a reboot


@pytest.mark.parametrize("seen", [True, False], ids=["was here before", "was never here"])
async def test_f41_after_a_late_handshake_of_the_boot_before_nothing_is_said_again(shop: Shop, seen: bool) -> None:
    if seen:
        await away(shop, await raw(shop, boot="B1"))
    session_id, _, shopper = await in_session(shop, "B2")
    await shop.add(session_id)
    await shop.create_payment(session_id, shopper)
    await shop.settled()
    for _ in range(2):
        late = await raw(shop, boot="B1", answers=False)
        await away(shop, late)
        shop.clock.move(10)  # connects are braked
        cart = await raw(shop, boot="B2")
        assert await shop.settled() == ["received"] * 3
        await shop.inside.dispatch.finish()
        assert cart.texts == []


async def test_f41_what_the_late_connection_was_told_the_boot_that_lives_hears_when_it_is_back(shop: Shop) -> None:
    await away(shop, await raw(shop, boot="B1"))
    session_id, _, shopper = await in_session(shop, "B2")
    await shop.add(session_id)
    late = await raw(shop, boot="B1")  # and somebody answers its pings
    await shop.create_payment(session_id, shopper)
    await until(lambda: said("payment_created", session_id) in late.texts)
    await shop.settled()
    back = await raw(shop, boot="B2")
    await heard(back, said("payment_created", session_id))
    await shop.settled()
    await away(shop, back)
    await heard(await raw(shop, boot="B2"))


async def test_f41_the_end_that_the_late_connection_was_told_is_said_to_the_boot_that_shops(shop: Shop) -> None:
    session_id, _, _ = await in_session(shop, "B2", answers=False)  # nothing proves that it heard of the session
    late = await raw(shop, boot="B1")
    await heard(late, said("session_started", session_id))
    await end_by_force(shop, session_id)
    await heard(late, said("session_started", session_id), said("end_session", session_id))
    await shop.settled()
    await heard(await raw(shop, boot="B2"), said("end_session", session_id))
    assert (await shop.settled())[1:] == ["received"] * 2


async def test_f41_a_pong_that_comes_while_the_late_connection_has_the_cart_counts_for_its_boot(shop: Shop) -> None:
    session_id, cart, _ = await in_session(shop, "B2", answers=False)
    late = await raw(shop, boot="B1", answers=False)
    await heard(late, said("session_started", session_id))
    cart.pong(b"2")
    await until(lambda: shop.inside.dispatch.receipts._pending or shop.inside.dispatch.receipts._writes)
    assert (await shop.states())[1] in ("queued", "sent"), "of the boot that has the cart nothing is known"
    await away(shop, late)
    back = await raw(shop, boot="B2")
    assert (await shop.settled())[1] == "received"
    await shop.inside.dispatch.finish()
    assert back.texts == []


async def test_f41_a_late_connection_takes_no_qr_from_the_screen(shop: Shop) -> None:
    cart = await raw(shop, boot="B2")
    await shop.qr()
    await heard(cart, GENERATE_QR)
    await shop.settled()
    await away(shop, await raw(shop, boot="B1", answers=False))
    back = await raw(shop, boot="B2")
    assert await shop.settled() == ["received"]
    assert back.texts == []


async def test_f41_f42_who_connects_without_naming_a_boot_hears_for_no_other(shop: Shop) -> None:
    """An operator who looks, in the cart's place, whether it would come; or the program before `boot` was added."""
    session_id, unread, shopper = await in_session(shop, "B1", answers=False)
    await away(shop, unread)
    await heard(await raw(shop), said("session_started", session_id))
    await shop.settled()
    back = await raw(shop, boot="B1")
    await heard(back, said("session_started", session_id))
    await shop.add(session_id)
    await shop.settled()
    shop.clock.move(10)
    looking = await raw(shop)
    await shop.create_payment(session_id, shopper)
    await heard(looking, said("payment_created", session_id))
    await shop.settled()
    await heard(await raw(shop, boot="B1"), said("payment_created", session_id))
    assert (await shop.settled())[1:] == ["received"] * 2


async def test_f41_a_cart_without_a_clock_whose_boot_id_comes_twice_is_not_locked_out(shop: Shop) -> None:
    """Its third boot has the id of its first, which has never heard of the session."""
    await away(shop, await raw(shop, boot="1970"))
    session_id, cart, shopper = await in_session(shop, "1971")
    await away(shop, cart)
    again = await raw(shop, boot="1970")
    await heard(again, said("session_started", session_id))
    await shop.settled()
    await shop.add(session_id)
    await shop.create_payment(session_id, shopper)
    await heard(again, said("session_started", session_id), said("payment_created", session_id))
    assert await shop.settled() == ["received"] * 3
    await away(shop, again)
    await heard(await raw(shop, boot="1970"))


async def test_f41_a_new_boot_is_a_reboot_however_many_were_before(shop: Shop) -> None:
    session_id, *_ = await in_session(shop, "B1")
    for boot, hears in {"B2": True, "B3": True, "B1": False, "B4": True}.items():
        cart = await raw(shop, boot=boot)
        await shop.settled()
        assert cart.texts == [said("session_started", session_id)] * hears, boot


async def test_f06_so_many_boots_of_a_cart_are_remembered(shop: Shop) -> None:
    for number in range(KEPT + 4):
        await away(shop, await raw(shop, boot=f"B{number}"))
        shop.clock.move(10)
    rows = await shop.rows(select(boots.c.boot_id).order_by(boots.c.left_epoch))
    assert [row.boot_id for row in rows] == [f"B{number}" for number in range(3, KEPT + 3)]


# F41, F42: what a boot does not need, since another one has read it, it is not said to have read


async def session_before(shop: Shop, *rebooted: str) -> tuple[int, CartConnection]:
    """Boot A read a session from its start to its end. Then the cart was rebooted, and C has read a QR; of the boots
    `rebooted` handshakes come late."""
    session_id, cart, _ = await in_session(shop, "A")
    await end_by_force(shop, session_id)
    await heard(cart, GENERATE_QR, said("session_started", session_id), said("end_session", session_id))
    await shop.settled()
    await away(shop, cart)
    cart = await raw(shop, boot="C")
    await shop.qr()
    await heard(cart, GENERATE_QR)
    await shop.settled()
    for boot in rebooted:
        await away(shop, cart)
        shop.clock.move(10)  # connects are braked
        cart = await raw(shop, boot=boot, answers=False)
    return session_id, cart


async def boot_now(shop: Shop) -> int:
    return int((await shop.cart_row()).boot_generation)


async def received_by(shop: Shop, boot: int) -> list[str]:
    """Of which commands the rows say that this boot has received them."""
    rows = select(commands.c.type).where(commands.c.boot_generation == boot, commands.c.state == "received")
    return [row.type for row in await shop.rows(rows.order_by(commands.c.seq))]


async def test_f41_f42_an_end_that_only_an_earlier_boot_read_is_not_received_by_the_boot_that_is_back(
    shop: Shop,
) -> None:
    """B, whose handshakes are late twice, may have heard of the session for all that is known; C cannot have."""
    session_id, late = await session_before(shop, "B", "A", "B")
    await heard(late, said("end_session", session_id), GENERATE_QR)
    await away(shop, late)
    back = await raw(shop, boot="C")
    assert await shop.settled() == ["received"] * 4
    assert await received_by(shop, await boot_now(shop)) == ["generate_qr"]
    assert back.texts == []
    await away(shop, back)
    shop.clock.move(10)
    await heard(await raw(shop, boot="B", answers=False), said("end_session", session_id), GENERATE_QR)


@pytest.mark.parametrize("by", ["a call", "a node that died before it wrote so"])
async def test_f42_a_receipt_of_a_start_is_none_of_an_end_that_only_an_earlier_boot_read(shop: Shop, by: str) -> None:
    """It proves what came before its session's start, unless another boot had read that already."""
    before, cart = await session_before(shop)
    await away(shop, cart)
    shop.clock.move(10)
    cart = await raw(shop, boot="D", answers=False)
    session_id = await shop.start(await shop.shopper("ali@example.com"))
    await until(lambda: said("session_started", session_id) in cart.texts)
    boot = await boot_now(shop)
    await away(shop, cart)
    await away(shop, await raw(shop, boot="A", answers=False))
    shop.clock.move(10)
    if by != "a call":
        start = Command(CommandType.SESSION_STARTED, session_id)
        shop.inside.dispatch.wake(Received(1, 6, start, boot))  # what it told the others
    cart = await raw(shop, boot="D", answers=False)
    if by == "a call":
        await heard(cart, said("end_session", before), said("session_started", session_id))
        assert (await call(shop, "GET", f"/cart-items/session/{session_id}", "D")).status_code == 200
    assert await shop.settled() == ["received", "received", "received", "superseded", "superseded", "received"]
    assert await received_by(shop, boot) == ["session_started"]
    await away(shop, cart)
    await away(shop, await raw(shop, boot="A", answers=False))
    shop.clock.move(10)
    back = await raw(shop, boot="D")
    await shop.settled()
    assert back.texts == []


async def test_f41_f42_who_names_no_boot_has_not_read_what_the_boot_before_it_had(shop: Shop) -> None:
    session_id, cart, shopper = await in_session(shop, "B2")
    await shop.add(session_id)
    await away(shop, cart)
    looking = await raw(shop)
    await shop.create_payment(session_id, shopper)
    await heard(looking, said("payment_created", session_id))
    await shop.settled()
    await away(shop, await raw(shop, boot="B1", answers=False))
    shop.clock.move(10)
    looking = await raw(shop)
    assert (await shop.settled())[1:] == ["received"] * 2
    assert await received_by(shop, await boot_now(shop)) == ["payment_created"]
    await away(shop, looking)
    back = await raw(shop, boot="B2")
    await heard(back, said("payment_created", session_id))
    await shop.settled()


async def test_f41_a_fielded_cart_hears_nothing_again_after_somebody_named_a_boot_in_its_place(shop: Shop) -> None:
    session_id, cart, _ = await in_session(shop, None)
    await away(shop, cart)
    await away(shop, await raw(shop, boot="B1", answers=False))
    back = await raw(shop)
    assert await shop.settled() == ["received"] * 2
    assert back.texts == []
    await end_by_force(shop, session_id)
    await heard(back, said("end_session", session_id))


async def test_f41_the_boot_that_is_back_is_not_forgotten_for_being_the_oldest(shop: Shop) -> None:
    session_id, cart, _ = await in_session(shop, "B")
    await away(shop, cart)
    for number in range(KEPT):
        shop.clock.move(10)
        late = await raw(shop, boot=f"late-{number}")
        await heard(late, said("session_started", session_id))
        await shop.settled()
        await away(shop, late)
    for other in ("late-0", "late-1"):
        shop.clock.move(KEPT_SECONDS + 1)
        shop.inside.dispatch.receipts.forget_old()  # what is not in the rows
        back = await raw(shop, boot="B")
        assert (await shop.settled())[1] == "received"
        assert back.texts == []
        await away(shop, back)
        await away(shop, await raw(shop, boot=other, answers=False))


# F42: a call is a receipt of the boot that heard the command


async def after_a_reboot(shop: Shop) -> int:
    """Boot B1 heard of the session, B2 was told and its link died unread. Returns the session."""
    session_id, _, _ = await in_session(shop, "B1")
    unread = await raw(shop, boot="B2", answers=False)
    await until(lambda: unread.texts)
    await away(shop, unread)
    return session_id


@pytest.mark.parametrize("boot", ["B1", None], ids=["that says so", "that says nothing"])
async def test_f42_a_call_of_the_boot_before_is_no_receipt_of_the_one_that_has_the_cart(
    shop: Shop, boot: str | None
) -> None:
    session_id = await after_a_reboot(shop)
    assert (await call(shop, "POST", "/cart-items/add", boot, sessionID=session_id, barcode=MILK)).status_code == 200
    assert (await shop.states())[1] in ("queued", "sent")
    await heard(await raw(shop, boot="B2"), said("session_started", session_id))
    assert (await shop.settled())[1] == "received"


async def test_f42_a_call_that_names_the_boot_is_a_receipt_of_that_boot(shop: Shop) -> None:
    session_id = await after_a_reboot(shop)
    assert (await call(shop, "POST", "/cart-items/add", "B2", sessionID=session_id, barcode=MILK)).status_code == 200
    assert (await shop.states())[1] == "received"
    await heard(await raw(shop, boot="B2"))


async def test_f42_a_call_counts_for_its_boot_also_while_another_has_the_cart(shop: Shop) -> None:
    session_id, _, _ = await in_session(shop, "B2", answers=False)
    late = await raw(shop, boot="B1", answers=False)
    await heard(late, said("session_started", session_id))
    await call(shop, "POST", "/cart-items/add", "B2", sessionID=session_id, barcode=MILK)
    assert (await shop.states())[1] in ("queued", "sent")
    await away(shop, late)
    back = await raw(shop, boot="B2")
    assert (await shop.settled())[1] == "received"
    assert back.texts == []


async def test_f42_one_boot_on_the_socket_is_enough_for_calls_that_say_nothing(shop: Shop) -> None:
    """A fielded cart: `?boot=` in its URL, nothing in its calls."""
    session_id, cart, _ = await in_session(shop, "B1", answers=False)
    await call(shop, "POST", "/cart-items/add", None, sessionID=session_id, barcode=MILK)
    assert (await shop.states())[1] == "received"
    await away(shop, cart)
    await heard(await raw(shop, boot="B1"))


async def test_f42_a_boot_on_the_calls_alone_says_nothing_less(shop: Shop) -> None:
    session_id, cart, _ = await in_session(shop, None, answers=False)
    await call(shop, "POST", "/cart-items/add", "B1", sessionID=session_id, barcode=MILK)
    assert (await shop.states())[1] == "received"
    await away(shop, cart)
    await heard(await raw(shop))


async def test_f42_a_boot_that_never_connected_has_heard_nothing(shop: Shop) -> None:
    session_id, cart, _ = await in_session(shop, "B1", answers=False)
    await call(shop, "POST", "/cart-items/add", "B0", sessionID=session_id, barcode=MILK)
    assert (await shop.states())[1] != "received"
    await away(shop, cart)
    await heard(await raw(shop, boot="B1"), said("session_started", session_id))


async def test_a_boot_id_that_cannot_be_one_is_refused_on_a_call_as_on_the_socket(shop: Shop) -> None:
    answer = await call(shop, "GET", "/customer-session/cart/1", "two words")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_boot_id")


async def call(
    shop: Shop, method: str, path: str, boot: str | None = None, key: str | None = None, **body: Any
) -> httpx2.Response:
    headers = shop.cart_headers() | ({} if boot is None else {"Cart-Boot-Id": boot})
    headers |= {} if key is None else {"Idempotency-Key": key}
    return await shop.http.request(method, path, json=body or None, headers=headers)


# F43: a call that names the session proves it whatever its own outcome

Call = Callable[[Shop, int], Any]
REFUSED: dict[str, tuple[int, Call]] = {
    "nothing of it in the basket": (
        404,
        lambda shop, session: call(shop, "DELETE", "/cart-items/remove", sessionID=session, barcode=BREAD),
    ),
    "an unknown product": (
        404,
        lambda shop, session: call(shop, "POST", "/cart-items/add", sessionID=session, barcode=1),
    ),
    "an unknown product on the scanner": (
        404,
        lambda shop, session: call(shop, "POST", "/items/read", sessionID=session, barcode=1),
    ),
    "a barcode that is none": (
        422,
        lambda shop, session: call(shop, "POST", "/cart-items/add", sessionID=session, barcode="milk"),
    ),
    "no barcode": (422, lambda shop, session: call(shop, "POST", "/items/read", sessionID=session)),
    "a session as text, and no barcode": (
        422,
        lambda shop, session: call(shop, "POST", "/items/read", sessionID=str(session)),
    ),
    "an empty warning": (
        422,
        lambda shop, session: call(shop, "POST", "/fraud-warnings/", session_id=session, type_of_warning=""),
    ),
    "a notice without a barcode": (
        422,
        lambda shop, session: call(shop, "POST", "/fraud-warnings/notify-cart-update", session_id=session),
    ),
    "no aisle": (422, lambda shop, session: call(shop, "PUT", f"/session-location/{session}", aisle_id=-1)),
    "an aisle that is no JSON": (422, lambda shop, session: _bytes(shop, f"/session-location/{session}", b"{")),
    "an aisle that is no text": (422, lambda shop, session: _bytes(shop, f"/session-location/{session}", b'"\xff"')),
    "an idempotency key that is none": (
        400,
        lambda shop, session: call(shop, "POST", "/cart-items/add", key="a b", sessionID=session, barcode=MILK),
    ),
    "a payment of an empty basket": (
        409,
        lambda shop, session: call(shop, "POST", f"/payment/create-payment/{session}"),
    ),
    "a payment that is not there": (404, lambda shop, session: call(shop, "GET", f"/payment/get-payment/{session}")),
    "what only a shopper may do": (403, lambda shop, session: call(shop, "POST", f"/customer-session/{session}/end")),
    "its session, which it may read": (200, lambda shop, session: call(shop, "GET", f"/customer-session/{session}")),
    "its basket": (200, lambda shop, session: call(shop, "GET", f"/cart-items/session/{session}")),
}


def _bytes(shop: Shop, path: str, content: bytes) -> Any:
    headers = {**shop.cart_headers(), "Content-Type": "application/json"}
    return shop.http.put(path, content=content, headers=headers)


@pytest.mark.parametrize("refused", REFUSED)
async def test_f43_a_call_proves_what_it_names_whatever_becomes_of_it(shop: Shop, refused: str) -> None:
    status, ask = REFUSED[refused]
    session_id, cart, _ = await in_session(shop, "B1", answers=False)
    assert (await ask(shop, session_id)).status_code == status
    assert await shop.states() == ["received", "received"]
    await away(shop, cart)
    await heard(await raw(shop, boot="B1"))


async def test_f43_a_call_that_is_too_late_for_the_basket_proves_it_too(shop: Shop) -> None:
    session_id, cart, shopper = await in_session(shop, "B1", answers=False)
    body: dict[str, Any] = {"sessionID": session_id, "barcode": MILK}
    assert (await call(shop, "POST", "/cart-items/add", key="once", **body)).status_code == 200
    await shop.create_payment(session_id, shopper)
    again = await raw(shop, boot="B2", answers=False)  # a reboot: everything is open again
    await heard(again, said("session_started", session_id), said("payment_created", session_id))
    assert (await call(shop, "POST", "/cart-items/add", "B2", **body)).status_code == 409
    assert (await shop.states())[1] == "received"
    await away(shop, again, cart)


async def test_f43_the_repetition_of_a_call_proves_it_though_nothing_is_done_for_it(shop: Shop) -> None:
    session_id, _, _ = await in_session(shop, "B1")
    body: dict[str, Any] = {"sessionID": session_id, "barcode": MILK}
    assert (await call(shop, "POST", "/cart-items/add", "B1", key="once", **body)).status_code == 200
    again = await raw(shop, boot="B2", answers=False)
    await heard(again, said("session_started", session_id))
    replayed = await call(shop, "POST", "/cart-items/add", "B2", key="once", **body)
    assert (replayed.status_code, replayed.json()["quantity"]) == (200, 1)
    assert (await shop.states())[1] == "received"
    assert (
        await call(shop, "POST", "/cart-items/add", "B2", key="once", sessionID=session_id, barcode=1)
    ).status_code == 422
    await away(shop, again)


async def test_f43_a_call_that_names_another_session_proves_nothing(shop: Shop) -> None:
    await shop.add_cart(2)
    session_id, _, _ = await in_session(shop, "B1", answers=False)
    for named in (session_id + 1, 0, True, None, [session_id]):
        body = json.dumps({"sessionID": named, "barcode": MILK}).encode()
        headers = {**shop.cart_headers(), "Content-Type": "application/json"}
        assert (await shop.http.post("/cart-items/add", content=body, headers=headers)).status_code in (404, 422)
    answer = await shop.http.post(
        "/cart-items/add", json={"sessionID": session_id, "barcode": MILK}, headers=shop.cart_headers(2)
    )
    assert answer.status_code == 404
    assert (await shop.states())[1] != "received"


async def test_f43_a_receipt_that_the_database_refuses_is_remembered(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id, cart, _ = await in_session(shop, "B1", answers=False)

    def fail(*_: object) -> None:
        raise DATABASE_UNAVAILABLE()

    with monkeypatch.context() as patch:
        patch.setattr("duckycart.api.who.acknowledge", fail)
        assert (await call(shop, "GET", f"/customer-session/{session_id}")).status_code == 200
    await away(shop, cart)
    back = await raw(shop, boot="B1")
    assert (await shop.settled())[1] == "received"
    assert back.texts == []
