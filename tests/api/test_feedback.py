"""What fielded screens ask for besides: feedback after each payment, a map, offers, lists. Never a red error."""

from typing import Any

import pytest

from tests.admin.conftest import Shell, shell
from tests.api.doors import Session, refused
from tests.conftest import OpenShop
from tests.world import Shop

__all__ = ["shell"]
STALE = {"Authorization": "Bearer of.some.session"}
TICKS = "good:Friendly staff,bad:Too slow,good:Clean carts"


async def screen_token(shop: Shop, session: Session) -> dict[str, str]:
    """What the session's screen was given."""
    from duckycart.tokens import ScreenToken

    return {"Authorization": f"Bearer {shop.inside.tokens.screen(ScreenToken(session.id))}"}


async def pay(shop: Shop, session: Session) -> None:
    await shop.press((await shop.create_payment(session.id, session.shopper)).json()["payment_url"])


@pytest.mark.parametrize("headers", [{}, STALE, {"X-API-Key": "rubbish"}])
async def test_what_the_shop_has_not_is_empty_for_everybody(shop: Shop, headers: dict[str, str]) -> None:
    nothing: dict[str, Any] = {
        "/feedback/items": [],
        "/feedback/items?category=good": [],
        "/layout/map": {"positions": [], "connections": []},
        "/promotions/": [],
        "/checklists/pinned": None,
    }
    for path, empty in nothing.items():
        answer = await shop.http.get(path, headers=headers)
        assert (answer.status_code, answer.json()) == (200, empty), path
    for path in ("/promotions", "/feedback/items/", "/layout/map/", "/checklists/", "/feedback"):
        assert refused(await shop.http.get(path, headers=headers), 404, path)["code"] == "not_found"


async def test_what_may_be_ticked_is_a_setting(opening: OpenShop) -> None:
    async with opening(feedback_items=TICKS) as shop:
        good = [
            {"id": 1, "category": "good", "label": "Friendly staff"},
            {"id": 3, "category": "good", "label": "Clean carts"},
        ]
        assert (await shop.http.get("/feedback/items?category=good")).json() == good
        assert [one["id"] for one in (await shop.http.get("/feedback/items")).json()] == [1, 2, 3]
        assert (await shop.http.get("/feedback/items?category=other")).json() == []


async def test_a_screen_of_a_paid_session_gives_feedback_and_the_last_word_counts(
    shop: Shop, session: Session, shell: Shell, database: str
) -> None:
    await pay(shop, session)
    screen = await screen_token(shop, session)
    asked = await shop.http.get(f"/feedback/session/{session.id}", headers=screen)
    assert refused(asked, 404)["code"] == "no_feedback"
    body = {"session_id": session.id, "satisfaction": 4, "selected_item_ids": [1, 3]}
    first = await shop.http.post("/feedback/", json=body, headers=screen)
    assert first.status_code == 200, first.text
    said = {"satisfaction": "great", "selected_item_ids": [], "additional_comments": '=1+1\nمح, "merci"'}
    again = await shop.http.post("/feedback/", json={"session_id": session.id, **said}, headers=screen)
    assert again.json() == {**first.json(), **said}
    assert (await shop.http.get(f"/feedback/session/{session.id}", headers=screen)).json() == again.json()
    env = {"DUCKYCART_DATABASE": database}
    (exported,) = shell.json("feedback", "export", **env)["feedback"]
    assert {name: exported[name] for name in said} == said
    text = shell.run("feedback", "export", **env)
    assert text.startswith("session_id,created_at,satisfaction,selected_item_ids,additional_comments\n")
    assert '"\'=1+1\nمح, ""merci"""' in text


async def test_nobody_else_gives_or_reads_it(shop: Shop, session: Session) -> None:
    other = await shop.shopper("other@example.com")
    body = {"session_id": session.id, "satisfaction": 5, "selected_item_ids": []}
    assert refused(await shop.http.post("/feedback/", json=body, headers=other), 404)["code"] == "unknown_session"
    refused(await shop.http.get(f"/feedback/session/{session.id}", headers=other), 404)
    refused(await shop.http.post("/feedback/", json=body), 401)
    assert (await shop.http.post("/feedback/", json=body, headers=session.shopper)).status_code == 200


async def test_a_legacy_screen_needs_no_credential_and_a_stale_one_is_not_looked_at(opening: OpenShop) -> None:
    async with opening(offline_carts="accept", legacy_screens="127.0.0.0/8") as shop:
        await shop.furnish()
        session_id = await shop.start(await shop.shopper())
        body = {"session_id": session_id, "satisfaction": 5, "selected_item_ids": [], "additional_comments": None}
        assert (await shop.http.get(f"/feedback/session/{session_id}", headers=STALE)).status_code == 404
        assert (await shop.http.post("/feedback/", json=body, headers=STALE)).status_code == 200
        assert (await shop.http.get(f"/feedback/session/{session_id}")).json()["satisfaction"] == 5
        assert (await shop.http.post("/feedback/", json={**body, "session_id": 99}, headers=STALE)).status_code == 404


async def test_feedback_is_forgotten_with_its_session(
    shop: Shop, session: Session, shell: Shell, database: str
) -> None:
    from duckycart.lifecycle.retention import forget_sessions
    from duckycart.store.tables import feedback

    await pay(shop, session)
    body = {"session_id": session.id, "satisfaction": 5, "selected_item_ids": []}
    await shop.http.post("/feedback/", json=body, headers=await screen_token(shop, session))
    from sqlalchemy import update

    from duckycart.store.tables import commands

    await shop.inside.store.write(lambda tx: tx.connection.execute(update(commands).values(state="received")) and None)
    shop.clock.move(2 * 86_400)
    before = shop.inside.clock.now() - 3600_000
    await shop.inside.store.write(lambda tx: forget_sessions(tx, before))
    assert await shop.rows(feedback.select()) == []
