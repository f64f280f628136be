"""An operator at the shell: sees sessions and alarms of a running server, and ends what nobody else can."""

import asyncio
import json
from typing import Any

from typer.testing import CliRunner

from duckycart.cli import app
from tests.world import Shop


async def shell(shop: Shop, *arguments: str) -> tuple[int, Any]:
    """Exit code and JSON of a command on the running server's database."""
    environment = {"DUCKYCART_DATABASE": shop.inside.settings.database}
    result = await asyncio.to_thread(CliRunner().invoke, app, [*arguments, "--json"], env=environment)
    return result.exit_code, json.loads(result.stdout)


async def test_f40_an_operator_sees_an_abandoned_basket_and_ends_it(shop: Shop) -> None:
    shopper = await shop.shopper()
    async with shop.cart() as cart:
        await shop.online()
        session_id = await shop.start(shopper)
        await shop.add(session_id)
        shop.clock.move(shop.inside.rules.idle_seconds + 1)
        await shop.housekeeping()

        code, listed = await shell(shop, "alarms", "list")
        assert (code, [alarm["kind"] for alarm in listed["alarms"]]) == (0, ["session_idle"])
        code, listed = await shell(shop, "sessions", "list")
        (seen,) = listed["sessions"]
        assert (code, seen["session_id"], seen["cart_id"], seen["units"], seen["payment"]) == (
            0,
            session_id,
            1,
            1,
            None,
        )

        code, ended = await shell(shop, "sessions", "end", str(session_id))
        assert (code, ended["session_id"], ended["cart_id"]) == (0, session_id, 1)
        await shop.sweep()
        frames = [json.loads(await cart.recv()) for _ in range(3)]
        assert frames[-1] == {"type": "end_session", "data": session_id}
        assert (await shop.session_row(session_id)).end_reason == "forced"
        assert (await shell(shop, "sessions", "list"))[1] == {"sessions": []}


async def test_a_session_that_is_over_or_unknown_is_refused_and_nothing_changes(shop: Shop) -> None:
    session_id = None
    shopper = await shop.shopper()
    async with shop.cart():
        await shop.online()
        session_id = await shop.start(shopper)
        await shell(shop, "sessions", "end", str(session_id))
        before = await shop.commands()
        code, refused = await shell(shop, "sessions", "end", str(session_id))
        assert (code, refused["error"]) == (1, "session_over")
        code, refused = await shell(shop, "sessions", "end", "999")
        assert (code, refused["error"]) == (1, "unknown_session")
        assert [row[:3] for row in await shop.commands()] == [row[:3] for row in before]
