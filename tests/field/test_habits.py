"""Each bad habit of fielded clients by itself, step by step."""

from collections.abc import AsyncIterator

import pytest

from duckycart.hardware import socket
from duckycart.hardware.connect import Connector
from duckycart.testing.fielded import BLOCKED_SECONDS
from duckycart.testing.furnish import MILK
from duckycart.testing.relay import HalfOpen, Odds
from tests.conftest import OpenShop
from tests.field.floor import Floor, floor
from tests.field.screen import AGAIN_SECONDS, PAID
from tests.hardware.helpers import end_by_force
from tests.world import Shop


@pytest.fixture
async def shop(opening: OpenShop) -> AsyncIterator[Shop]:
    async with opening(legacy_screens="127.0.0.0/8") as shop:
        await shop.furnish()
        yield shop


@pytest.fixture
async def the_floor(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Floor]:
    """One cart, connected, on a network that does what it should until a test wants otherwise."""
    monkeypatch.setattr(socket, "CLOSE_SECONDS", 0.05)
    async with floor(shop, "habits", 1) as it:
        await it.pace.until(lambda: len(shop.inside.dispatch.links) == 1, lambda: "the cart does not connect")
        yield it


async def shopping(it: Floor) -> int:
    """A session with a milk in its basket."""
    (cart,), (screen,), phone = it.carts, it.screens, it.phones[0]
    session_id = await phone.scan(await screen.qr())
    assert session_id is not None
    await it.pace.until(lambda: cart.session == session_id, lambda: "the cart does not hear of its session")
    assert await cart.add(session_id, MILK)
    return session_id


async def test_f27_a_cart_whose_every_handler_blocks_for_10_s_stays_connected_and_hears_all(the_floor: Floor) -> None:
    (cart,) = the_floor.carts
    cart.blocks = 1.0
    session_id = await shopping(the_floor)
    await the_floor.pace.sleep(BLOCKED_SECONDS + 2)
    url = await the_floor.phones[0].pay(session_id)
    assert url is not None
    await the_floor.pace.sleep(BLOCKED_SECONDS + 2)
    await the_floor.phones[0].press(url, "pay")
    await the_floor.pace.until(lambda: session_id in cart.ended, lambda: "the cart does not hear of the end")
    assert [kind for kind, _ in cart.heard] == ["generate_qr", "session_started", "payment_created", "end_session"]
    assert cart.blocked >= 3
    assert cart.connects == 1


async def test_f30_a_cart_that_comes_back_with_something_in_its_basket_keeps_it(the_floor: Floor) -> None:
    (cart,) = the_floor.carts
    session_id = await shopping(the_floor)
    for times in range(1, 4):
        (wire,) = (wire for wire in the_floor.network.wires if wire.is_link)
        wire.abort()
        await the_floor.pace.until(lambda times=times: cart.connects == 1 + times, lambda: "it does not come back")  # type: ignore[misc]
        await the_floor.pace.sleep(10)
    assert cart.baskets[session_id].sure == {MILK: 1}
    assert (cart.wiped, cart.repeated) == ([], 0)


@pytest.mark.parametrize("how", HalfOpen)
async def test_f30_a_half_open_link_wipes_no_basket_and_hides_no_end(the_floor: Floor, how: HalfOpen) -> None:
    (cart,) = the_floor.carts
    (wire,) = (wire for wire in the_floor.network.wires if wire.is_link)
    phone, pace = the_floor.phones[0], the_floor.pace
    session_id = await phone.scan(await the_floor.screens[0].qr())
    assert session_id is not None
    await pace.until(lambda: cart.session == session_id, lambda: "the cart does not hear of its session")
    if how == HalfOpen.LEFT_BEHIND:
        await the_floor.shop.settled()  # the cart comes back at once, so the call below may be too late a receipt
    wire.freeze(how)
    assert await cart.add(session_id, MILK)
    await pace.until(lambda: cart.connects == 2, lambda: "the cart does not come back")
    await pace.sleep(10)
    assert (cart.session, cart.wiped, cart.repeated) == (session_id, [], 0)
    await end_by_force(the_floor.shop, session_id)
    await pace.until(lambda: cart.session is None, lambda: "the cart does not hear of the end")


async def test_f30_a_call_between_a_claim_and_its_first_write_is_a_receipt(
    the_floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pong was lost with the link; the cart comes back and scans its first item in the same moment."""
    (cart,) = the_floor.carts
    (wire,) = (wire for wire in the_floor.network.wires if wire.is_link)
    phone, pace = the_floor.phones[0], the_floor.pace
    claim = Connector.connect

    async def claim_then_add(self: Connector, *arguments: object) -> object:
        filled = await claim(self, *arguments)  # type: ignore[arg-type]
        assert cart.session is not None
        assert await cart.add(cart.session, MILK)
        return filled

    monkeypatch.setattr(Connector, "connect", claim_then_add)
    wire.freeze(HalfOpen.UP)
    session_id = await phone.scan(await the_floor.screens[0].qr())
    await pace.until(lambda: cart.session == session_id, lambda: "the cart does not hear of its session")
    wire.abort()
    await pace.until(lambda: cart.connects == 2, lambda: "the cart does not come back")
    await pace.sleep(10)
    assert cart.wiped == []


async def test_f38_a_phone_whose_scans_answer_is_always_lost_once_gets_its_one_session(the_floor: Floor) -> None:
    phone = the_floor.phones[0]
    token = await the_floor.screens[0].qr()
    for _ in range(3):
        the_floor.network.lose(address=phone.endpoint.local)
        await phone.scan(token)
    assert phone.repeated == 3
    assert len(set(phone.sessions)) == 1
    assert [kind for kind, _ in the_floor.carts[0].heard].count("session_started") <= 1


async def test_f39_the_forgotten_socket_comes_back_every_3_s_hears_the_last_word_and_gives_up_after_a_minute(
    the_floor: Floor,
) -> None:
    session_id = await shopping(the_floor)
    (screen,), phone, pace = the_floor.screens, the_floor.phones[0], the_floor.pace
    await pace.until(lambda: session_id in screen.sockets, lambda: "the screen does not hear of the session")
    page, forgotten = screen.sockets[session_id]
    await pace.until(lambda: page.opened and forgotten.opened, lambda: "the screen's sockets do not open")
    the_floor.network.odds = Odds(cut=1.0)  # away while it is paid
    for wire in tuple(the_floor.network.wires):
        wire.abort()
    paid = await the_floor.shop.create_payment(session_id, phone.headers)
    await the_floor.shop.press(paid.json()["payment_url"])
    await pace.sleep(AGAIN_SECONDS * 3)
    assert not page.over
    the_floor.network.odds = Odds()
    await pace.until(lambda: page.over, lambda: f"{page} does not hear the last word")
    assert (page.last, page.refused) == ({"type": PAID, "data": 0}, None)
    await pace.until(lambda: forgotten.over, lambda: f"{forgotten} does not give up")
    assert forgotten.last == {"type": PAID, "data": 0}
    ended_at = (await the_floor.shop.session_row(session_id)).ended_at
    assert forgotten.refused is not None
    assert forgotten.refused[0] == 403
    assert forgotten.refused[1] > ended_at + 60_000
    assert 10 <= forgotten.opened <= 60 / AGAIN_SECONDS + 1


@pytest.mark.parametrize("away", [False, True], ids=["listening", "away when it ended"])
@pytest.mark.parametrize("how", ["ended", "forced"])
async def test_f68_a_screen_whose_session_ended_unpaid_shows_its_qr_again(
    the_floor: Floor, how: str, away: bool
) -> None:
    session_id = await shopping(the_floor)
    (cart,), (screen,), phone, pace = the_floor.carts, the_floor.screens, the_floor.phones[0], the_floor.pace
    await pace.until(lambda: session_id in screen.sockets, lambda: "the screen does not hear of the session")
    page, _ = screen.sockets[session_id]
    await pace.until(lambda: page.opened, lambda: "the screen's socket does not open")
    if how == "ended":
        assert await cart.remove(session_id, MILK)
    if away:
        the_floor.network.lose(address=screen.endpoint.local)  # the connection over which it would be said
    if how == "ended":
        assert await phone.end(session_id)
    else:
        await end_by_force(the_floor.shop, session_id)
    await pace.until(lambda: screen.session is None, lambda: f"the screen shows session {session_id} for ever")
    assert screen.forgotten[-1] == session_id
    second = await shopping(the_floor)
    await pace.until(lambda: screen.session == second, lambda: "the screen does not show the next session")
