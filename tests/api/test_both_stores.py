"""F55: what one store refuses the other refuses: in headers, and where people sign in."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from duckycart.store import postgres as store_on_postgres
from tests.api.doors import PASSWORD, Session, begin
from tests.world import Shop, open_shop

HEADERS = ["Idempotency-Key", "Cart-Boot-Id", "X-API-Key", "Authorization", "Cookie", "Prefer", "Accept", "Origin",
           "X-Forwarded-For", "Forwarded", "User-Agent"]  # fmt: skip
NASTY_HEADERS = [
    b"\xff\xfe", "é".encode(), "é".encode("latin-1"), b"x" * 3000, b"Bearer \xff", b"Bearer " + b"a.b.c",
    b"Bearer " + b"W1tb" * 450 + b".e30.x", b"duckycart_screen=\xff", b"duckycart_screen=a.b.c", b"duckycart_screen=" +
    b"W1tb" * 450 + b".e30.x", b"wait=99999999999999999999", b"'; --", b"\x7f", b"a" * 65,
]  # fmt: skip


@pytest.fixture
async def shops(
    sqlite_database: str, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[list[tuple[Shop, Session]]]:
    """The same shop on either store, with Mona shopping with cart 1."""
    monkeypatch.setattr(store_on_postgres, "WRITERS", 2)
    monkeypatch.setattr(store_on_postgres, "READERS", 1)
    async with AsyncExitStack() as stack:
        both = []
        for database in (sqlite_database, postgres_database):
            shop = await stack.enter_async_context(
                open_shop(
                    database,
                    offline_carts="accept",
                    sign_in_per_minute=10**6,
                    address_per_minute=10**6,
                    scans_per_minute=10**6,
                )
            )
            await shop.furnish()
            await shop.add_cart(2)
            both.append((shop, await begin(shop)))
        yield both


async def test_f55_both_stores_answer_the_same_to_any_header(
    shops: list[tuple[Shop, Session]],
) -> None:
    for name in HEADERS:
        for value in NASTY_HEADERS:
            answers = []
            for shop, session in shops:
                for path in (f"/customer-session/{session.id}", "/customer-session/qr/2", "/auth/guest"):
                    headers: Any = {**session.shopper, name: value}
                    method = "POST" if path == "/auth/guest" else "GET"
                    answers.append((await shop.http.request(method, path, headers=_bytes(headers))).status_code)
            assert answers[:3] == answers[3:], (name, value, answers)
            assert max(answers) < 500, (name, value, answers)


def _bytes(headers: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in headers.items()]


async def test_f55_a_sign_in_with_what_no_store_keeps_is_refused_alike(shops: list[tuple[Shop, Session]]) -> None:
    for name in ("%00a", "a%00", "a%7f", "%ff", "%ed%a0%80"):
        statuses = {
            (await shop.http.post("/auth/login", content=f"username={name}&password={PASSWORD}".encode(),
                                  headers={"Content-Type": "application/x-www-form-urlencoded"})).status_code
            for shop, _ in shops
        }  # fmt: skip
        assert len(statuses) == 1, (name, statuses)
        assert statuses <= {401, 422}
