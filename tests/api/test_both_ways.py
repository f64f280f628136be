"""The quick way is compared with FastAPI's in every test of this folder; here is that the comparison sees something."""

import json

import pytest

from duckycart.api import quick
from tests.api.both_ways import BothWays
from tests.api.doors import Session
from tests.world import Shop


async def test_what_a_cart_asks_is_answered_both_ways_and_done_once(
    shop: Shop, session: Session, servers: list[BothWays]
) -> None:
    before = servers[0].compared
    line = await shop.add(session.id)
    assert line.json()["quantity"] == 2
    assert servers[0].compared == before + 1


@pytest.mark.parametrize(
    ("weight", "reads_as"), [pytest.param('"1 "', "1", id="refused by one"), pytest.param("5", "6", id="given another")]
)
async def test_a_request_that_is_read_otherwise_is_noticed(
    shop: Shop, session: Session, servers: list[BothWays], monkeypatch: pytest.MonkeyPatch, weight: str, reads_as: str
) -> None:
    read = quick._read
    monkeypatch.setattr(
        quick, "_read", lambda field, body: read(field, body.replace(weight.encode(), reads_as.encode()))
    )
    await shop.add(session.id, weight=json.loads(weight))
    assert len(servers[0].wrong) == 1
    servers[0].wrong.clear()


async def test_an_answer_that_is_written_otherwise_is_noticed(
    shop: Shop, session: Session, servers: list[BothWays], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = quick._written
    monkeypatch.setattr(
        quick, "_written", lambda field, answer: written(field, answer).replace(b'"quantity":2', b'"quantity":3')
    )
    await shop.add(session.id)
    assert len(servers[0].wrong) == 1
    servers[0].wrong.clear()
