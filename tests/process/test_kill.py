"""kill -9 at every step of a command: after the restart cart, shopper and database agree, and nothing is doubled."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from duckycart.testing.cart import CartConnection
from duckycart.testing.furnish import MILK
from duckycart.testing.waiting import until
from tests.process.world import KEY, Served, heard, told

CART = {"X-API-Key": KEY}
FROM_OUTSIDE = "between send and pong"
COMMANDS = ["generate_qr", "session_started", "payment_created", "end_session"]


class Shopper:
    """What a shopper and a cart ask for, one call per command; each may be asked again."""

    def __init__(self, served: Served, headers: dict[str, str]) -> None:
        self._served = served
        self._headers = headers
        self._token = ""
        self._session = 0
        self._pay_page = ""

    async def ask(self, command: str) -> bool:
        """Whether there was an answer; it must be a good one."""
        answer = await self._asks[command](self)
        if answer is not None:
            assert answer.status_code in (200, 303), answer.text
        return answer is not None

    async def _qr(self) -> Any:
        answer = await self._served.ask("GET", "/customer-session/qr/1", headers=CART)
        self._token = answer.json() if answer else self._token
        return answer

    async def _scan(self) -> Any:
        body = {"token": self._token}
        answer = await self._served.ask("POST", "/customer-session/scan-qr", json=body, headers=self._headers)
        self._session = answer.json()["session_id"] if answer else self._session
        return answer

    async def fill_basket(self) -> None:
        body = {"sessionID": self._session, "barcode": MILK}
        answer = await self._served.ask("POST", "/cart-items/add", json=body, headers=CART)
        assert answer is not None
        assert answer.status_code == 200, answer.text

    async def _create_payment(self) -> Any:
        path = f"/payment/create-payment/{self._session}"
        answer = await self._served.ask("POST", path, headers=self._headers)
        self._pay_page = answer.json()["payment_url"] if answer else self._pay_page
        return answer

    async def _pay(self) -> Any:
        return await self._served.ask("POST", f"{self._pay_page}/pay")

    _asks: dict[str, Callable[["Shopper"], Awaitable[Any]]] = {  # noqa: RUF012
        "generate_qr": _qr,
        "session_started": _scan,
        "payment_created": _create_payment,
        "end_session": _pay,
    }


async def crash(served: Served, shopper: Shopper, cart: CartConnection, command: str, place: str) -> None:
    """Ask for the command; the server dies at the place."""
    if place == FROM_OUTSIDE:
        before = len(cart.texts)
        cart.answer_pings = False
        assert await shopper.ask(command)
        await heard(cart, before + 1)
        await served.die()
    else:
        served.armed.touch()
        await shopper.ask(command)
        await served.dies()
    cart.cut()


def brought_to_the_present(command: str, boot: str) -> list[str]:
    """What the cart hears on coming back: the command that died; after a reboot, its session from the start."""
    if boot == "the same boot" or command in ("generate_qr", "end_session"):
        return [command]
    return COMMANDS[1 : COMMANDS.index(command) + 1]


@pytest.mark.parametrize(
    ("place", "boot"),
    [
        ("between commit and send", "the same boot"),
        (FROM_OUTSIDE, "the same boot"),
        ("between pong and receipt", "the same boot"),
        ("between pong and receipt", "a new boot"),
    ],
)
async def test_f04_f16_f26_f28_f30_a_session_in_which_the_server_dies_over_every_command(
    served: Served, place: str, boot: str
) -> None:
    shopper = Shopper(served, served.furnish())
    inside = None if place == FROM_OUTSIDE else place
    await served.start(place=inside)
    cart = await served.cart()
    for number, command in enumerate(COMMANDS):
        await crash(served, shopper, cart, command, place)
        written, _ = served.commands()[-1]
        assert written == command  # it was committed

        await served.start(place=inside)
        cart = await served.cart("boot-1" if boot == "the same boot" else f"boot-{number + 2}")
        expected = brought_to_the_present(command, boot)
        await heard(cart, len(expected))
        assert await shopper.ask(command)  # the retry: the same end state, nothing new but another QR
        expected += ["generate_qr"] * (command == "generate_qr")
        await served.settled()
        assert told(cart) == expected
        if command == "session_started":
            assert served.rows("SELECT status, session_id FROM carts") == [("in_use", 1)]
            await shopper.fill_basket()

    assert [kind for kind, _ in served.commands()] == ["generate_qr", *COMMANDS]
    assert {state for _, state in served.commands()} == {"received"}
    assert served.rows("SELECT status, session_id FROM carts") == [("available", None)]
    assert served.rows("SELECT end_reason FROM sessions") == [("paid",)]
    assert served.rows("SELECT state FROM payments") == [("paid",)]
    assert served.rows("SELECT count(*) FROM analytics") == [(1,)]
    assert served.rows("SELECT count(*) FROM alarms") == [(0,)]


async def shopping(served: Served, place: str | None = None) -> tuple[Shopper, CartConnection]:
    """A running server with a session whose basket is not empty; everything was received."""
    shopper = Shopper(served, served.furnish())
    await served.start(place=place)
    cart = await served.cart()
    await shopper.ask("generate_qr")
    await shopper.ask("session_started")
    await shopper.fill_basket()
    await served.settled()
    return shopper, cart


async def test_f30_a_session_started_whose_receipt_was_the_carts_own_call_is_never_said_again(served: Served) -> None:
    """Its pong was lost with the server, but the cart had named its session: that is a receipt, and stays one."""
    shopper = Shopper(served, served.furnish())
    await served.start()
    cart = await served.cart(silent=True)
    await shopper.ask("generate_qr")
    await shopper.ask("session_started")
    await shopper.fill_basket()
    await served.die()

    await served.start()
    cart = await served.cart()
    await shopper.ask("payment_created")
    await served.settled()
    assert told(cart) == ["payment_created"]


async def test_f16_dying_between_the_two_halves_of_a_payment_leaves_one_that_the_retry_opens(served: Served) -> None:
    shopper, cart = await shopping(served, place="after the provider was asked")
    served.armed.touch()
    assert not await shopper.ask("payment_created")
    await served.dies()
    assert served.rows("SELECT state FROM payments") == [("creating",)]
    assert "payment_created" not in told(cart)

    await served.start()
    cart = await served.cart()
    assert await shopper.ask("payment_created")
    await served.settled()
    assert told(cart) == ["payment_created"]
    assert await shopper.ask("end_session")
    await served.settled()
    assert told(cart) == ["payment_created", "end_session"]
    assert served.rows("SELECT state FROM payments") == [("paid",)]


async def test_f09_a_webhook_whose_answer_died_is_sent_again_and_doubles_nothing(served: Served) -> None:
    shopper, cart = await shopping(served, place="between a webhook's commit and its answer")
    assert await shopper.ask("payment_created")
    await served.settled()
    headers, body = served.webhook()
    served.armed.touch()
    assert await served.ask("POST", "/payment/webhook/sandbox", headers=headers, content=body) is None
    await served.dies()
    cart.cut()

    await served.start()
    cart = await served.cart()
    await served.settled()
    again = await served.ask("POST", "/payment/webhook/sandbox", headers=headers, content=body)
    assert again is not None
    assert again.json() == {"outcome": "repeated"}
    assert [kind for kind, _ in served.commands()] == COMMANDS
    assert served.rows("SELECT state FROM payments") == [("paid",)]
    assert served.rows("SELECT count(*) FROM analytics") == [(1,)]
    assert served.rows("SELECT count(*) FROM provider_events") == [(1,)]
    # The first life may have sent it before it died: then its pong was lost, and the cart is told again.
    assert told(cart) in ([], ["end_session"])


@pytest.mark.parametrize("place", ["in a claim, before its commit", "after a claim's commit"])
async def test_f28_dying_in_a_claim_loses_no_command(served: Served, place: str) -> None:
    shopper, cart = await shopping(served, place=place)
    cart.cut()
    await until(lambda: served.rows("SELECT link_node FROM carts") == [(None,)])
    assert await shopper.ask("payment_created")
    served.armed.touch()
    refused = await CartConnection.open(served.endpoint, "/ws/hardware/1", {**CART, "Cart-Boot-Id": "boot-1"})
    assert refused.response is None
    await served.dies()

    await served.start()
    cart = await served.cart()
    await served.settled()
    assert told(cart) == ["payment_created"]


async def test_f33_dying_before_the_commit_of_a_group_nobody_was_answered_and_nothing_is_there(served: Served) -> None:
    served.furnish()
    await served.start(place="before the commit of a group")
    cart = await served.cart()
    served.armed.touch()
    asks = [served.ask("GET", "/customer-session/qr/1", headers=CART) for _ in range(3)]
    assert await asyncio.gather(*asks) == [None, None, None]
    await served.dies()
    assert cart.texts == []
    assert served.commands() == []

    await served.start()
    cart = await served.cart()
    assert await served.ask("GET", "/customer-session/qr/1", headers=CART)
    await served.settled()
    assert told(cart) == ["generate_qr"]
    assert served.rows("SELECT last_seq FROM carts") == [(1,)]
