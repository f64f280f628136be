"""The rows of the protocol document's "Message Timing", each looked at between the steps it names."""

import asyncio
import json
from typing import Any
from unittest import mock

import pytest
from sqlalchemy import text

from duckycart.api import carts as carts_api
from duckycart.effects import Queued
from duckycart.hardware.dispatch import Dispatch
from duckycart.store.address import locate
from duckycart.store.database import engine_for
from duckycart.tokens import QrToken, Tokens
from duckycart.wire import CommandType
from tests.world import Shop


@pytest.fixture
def offered(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What the database says, seen by another connection, in the moment each command is handed to dispatch."""
    seen: list[tuple[str, dict[str, Any]]] = []
    queued = Dispatch.queued

    def watch(self: Dispatch, effect: Queued) -> None:
        seen.append((effect.command.type.value, _look(shop, effect)))
        queued(self, effect)

    monkeypatch.setattr(Dispatch, "queued", watch)
    return seen


def _look(shop: Shop, effect: Queued) -> dict[str, Any]:
    engine = engine_for(locate(shop.inside.settings.database))
    with engine.connect() as connection:
        cart = connection.execute(text("SELECT status, session_id FROM carts WHERE id = 1")).one()
        session = connection.execute(text("SELECT is_active FROM sessions ORDER BY id DESC")).first()
        payment = connection.execute(text("SELECT state FROM payments ORDER BY id DESC")).first()
        analytics = connection.execute(text("SELECT count(*) FROM analytics")).one()
    engine.dispose()
    return {
        "status": cart[0],
        "session_id": cart[1],
        "session_active": session and bool(session[0]),
        "payment": payment and payment[0],
        "analytics": analytics[0],
    }


async def test_each_command_is_handed_over_when_the_document_says(
    shop: Shop, offered: list[tuple[str, dict[str, Any]]]
) -> None:
    shopper = await shop.shopper()
    async with shop.cart():
        await shop.online()
        session_id = await shop.start(shopper)
        await shop.add(session_id)
        payment = (await shop.create_payment(session_id, shopper)).json()
        await shop.press(payment["payment_url"])
        assert await shop.settled() == ["received"] * 4

    assert offered == [
        (
            "generate_qr",
            {"status": "available", "session_id": None, "session_active": None, "payment": None, "analytics": 0},
        ),
        (
            "session_started",
            {"status": "in_use", "session_id": session_id, "session_active": True, "payment": None, "analytics": 0},
        ),
        (
            "payment_created",
            {"status": "in_use", "session_id": session_id, "session_active": True, "payment": "open", "analytics": 0},
        ),
        (
            "end_session",
            {"status": "available", "session_id": None, "session_active": False, "payment": "paid", "analytics": 1},
        ),
    ]


async def test_generate_qr_is_committed_and_handed_over_before_the_qr_exists(shop: Shop) -> None:
    made: list[list[str]] = []
    sign = Tokens.qr
    types: list[str] = []
    queued = Dispatch.queued

    def watch(self: Dispatch, effect: Queued) -> None:
        types.append(effect.command.type.value)
        queued(self, effect)

    def signing(self: Tokens, token: QrToken) -> str:
        made.append(list(types))
        return sign(self, token)

    async with shop.cart() as cart:
        await shop.online()
        with mock.patch.object(Dispatch, "queued", watch), mock.patch.object(Tokens, "qr", signing):
            await shop.qr()
        assert made == [["generate_qr"]]
        assert json.loads(await cart.recv()) == {"type": "generate_qr", "data": None}
    assert carts_api.router.prefix == "/customer-session"  # "Endpoint: GET /customer-session/qr/{cart_id}"


async def test_payment_created_is_on_its_way_before_the_client_hears(shop: Shop) -> None:
    shopper = await shop.shopper()
    async with shop.cart() as cart:
        await shop.online()
        session_id = await shop.start(shopper)
        await shop.add(session_id)
        answer = asyncio.create_task(shop.create_payment(session_id, shopper))
        frames = [json.loads(await cart.recv()) for _ in range(3)]
        assert frames[-1] == {"type": "payment_created", "data": session_id}
        assert (await answer).headers["Hardware-Delivery"] in ("sent", "received")


async def test_the_shopping_period_has_no_websocket_messages(shop: Shop) -> None:
    shopper = await shop.shopper()
    async with shop.cart():
        await shop.online()
        session_id = await shop.start(shopper)
        for _ in range(3):
            await shop.add(session_id)
        await shop.remove(session_id)
        assert [row[1] for row in await shop.commands()] == ["generate_qr", "session_started"]


async def test_only_generate_qr_carries_no_session(shop: Shop) -> None:
    shopper = await shop.shopper()
    async with shop.cart():
        await shop.online()
        session_id = await shop.start(shopper)
        await shop.http.post(f"/customer-session/{session_id}/end", headers=shopper)
        for _, command_type, data, _ in await shop.commands():
            assert (data is None) == (command_type == CommandType.GENERATE_QR)
