"""Journeys of clients as they are in the field, on a network that cuts where it likes: a thousand in `make proof`."""

import asyncio
import logging
from typing import Any

import pytest
from structlog.testing import capture_logs

from duckycart.hardware import socket
from duckycart.testing.relay import Odds
from tests.conftest import OpenShop
from tests.field import verdict
from tests.field.floor import Floor, floor

JOURNEYS = 5  # of each cart, on each store
SEEDS_AND_CARTS = ((1, 10), *(pytest.param(seed, 25, marks=pytest.mark.proof) for seed in range(2, 6)))
BAD = Odds(cut=0.02, freeze=0.01, storm=0.004)
BLOCKS = 0.15  # of what a cart hears makes it block for 10 s
REFUSED_SCREEN = "ASGI callable returned without completing handshake."  # uvicorn's, for every refusal of a socket
LONGEST = 100  # seconds of real time, after which something is stuck


@pytest.fixture(autouse=True)
def real_seconds_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock runs faster here than the event loop's, which these two are measured by."""
    monkeypatch.setattr("duckycart.hardware.connect.PROBE_SECONDS", 0.05)
    monkeypatch.setattr(socket, "CLOSE_SECONDS", 0.05)


async def judge(the_floor: Floor, logs: list[Any]) -> None:
    records = await verdict.Records.of(the_floor.shop)
    verdict.no_basket_is_wiped(the_floor, records)
    verdict.nothing_received_is_sent_again(logs)
    verdict.everybody_is_told_of_their_own(the_floor, records)
    verdict.no_session_is_wrong(the_floor, records)
    verdict.nothing_is_stuck(the_floor, records)
    verdict.screens_hear_the_last_word(the_floor, records)
    verdict.no_screen_is_stuck(the_floor, records)
    verdict.nobody_alive_was_taken_for_dead(the_floor, logs)
    await verdict.nothing_is_leaked(the_floor)


@pytest.mark.parametrize(("seed", "carts"), SEEDS_AND_CARTS)
async def test_journeys_of_fielded_clients_leave_nothing_stuck_leaked_wiped_or_wrong(
    opening: OpenShop, seed: int, carts: int, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"seed {seed}"
    with capture_logs() as logs:
        async with opening(legacy_screens="127.0.0.0/8", idle_seconds=300) as shop:
            await shop.furnish()
            async with floor(shop, name, carts, BAD, BLOCKS) as it:
                try:
                    async with asyncio.timeout(LONGEST):
                        await it.go(JOURNEYS)
                        await it.settle()
                        await judge(it, logs)
                except BaseException as error:
                    error.add_note(f"{name}; {it.journeys} journeys; {dict(it.network.done)}")
                    raise
                assert it.journeys == carts * JOURNEYS
                print(it.report())
    failed = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record for record in failed if record.getMessage() != REFUSED_SCREEN] == []
