"""Fielded screens also send feedback after each payment, and ask for a map, offers and lists that this shop has not.

They show a red error for anything but 200, and throw their session away on any 401. So what is the same for everybody
needs no credential, and a stale one is not looked at.
"""

from typing import Annotated, Any

from fastapi import Query, Request
from pydantic import BaseModel, Field

from duckycart.api.inputs import PLAIN_TEXT, NumberOrWord, SessionId, SessionInBody
from duckycart.api.openapi import ONCE, refuses
from duckycart.api.resource import resource_router
from duckycart.api.who import OfSession, TheShop, limit_legacy
from duckycart.api.writes import write
from duckycart.clock import iso
from duckycart.lifecycle.feedback import Feedback, give_feedback, read_feedback
from duckycart.refusals import FOREIGN_ORIGIN, NO_FEEDBACK, TOO_MANY_REQUESTS, UNKNOWN_SESSION, WRITE_FAILS

router = resource_router(tags=["screens"])


class FeedbackItem(BaseModel):
    id: int = Field(examples=[3])
    category: str = Field(examples=["good"])
    label: str = Field(examples=["Friendly staff"])


class NewFeedback(BaseModel):
    session_id: SessionInBody
    satisfaction: NumberOrWord = Field(examples=[5], description="as the screen says it: a number of stars, or a word")
    selected_item_ids: list[NumberOrWord] = Field(
        default_factory=list, max_length=100, examples=[[1, 3]], description="of what `/feedback/items` lists"
    )
    additional_comments: Annotated[str, Field(max_length=2000, pattern=PLAIN_TEXT)] | None = Field(
        None, examples=["The scanner is quick."]
    )


class FeedbackView(BaseModel):
    id: int = Field(examples=[3])
    session_id: int = Field(examples=[7])
    satisfaction: int | str = Field(examples=[5])
    selected_item_ids: list[int | str] = Field(examples=[[1, 3]])
    additional_comments: str | None = Field(examples=["The scanner is quick."])
    created_at: str = Field(examples=["2026-09-21T14:13:20.000Z"])


class Layout(BaseModel):
    positions: list[Any] = Field(examples=[[]])
    connections: list[Any] = Field(examples=[[]])


Category = Annotated[str | None, Query(max_length=100, examples=["good"])]


@router.get("/feedback/items")
async def items(shop: TheShop, category: Category = None) -> list[FeedbackItem]:
    """List what a shopper may tick. It is empty unless `DUCKYCART_FEEDBACK_ITEMS` names something."""
    named = [one.partition(":") for one in shop.settings.feedback_items]
    return [
        FeedbackItem(id=number, category=kind, label=label)
        for number, (kind, _, label) in enumerate(named, 1)
        if category in (None, "", kind)
    ]


@router.post("/feedback/", openapi_extra=ONCE)
@refuses(UNKNOWN_SESSION, FOREIGN_ORIGIN, TOO_MANY_REQUESTS, *WRITE_FAILS)
async def give(request: Request, shop: TheShop, caller: OfSession, given: NewFeedback) -> FeedbackView:
    """Say what the shopping was like. Said again for the same session, the last word counts."""
    limit_legacy(shop, caller, f"session {given.session_id}")
    kept = await write(
        request,
        caller,
        Feedback,
        lambda tx: give_feedback(
            tx, caller, given.session_id, given.satisfaction, given.selected_item_ids, given.additional_comments
        ),
    )
    return _view(kept)


@router.get("/feedback/session/{session_id}")
@refuses(UNKNOWN_SESSION, NO_FEEDBACK, FOREIGN_ORIGIN, TOO_MANY_REQUESTS)
async def read(shop: TheShop, caller: OfSession, session_id: SessionId) -> FeedbackView:
    """Read what was said of a session. 404 while nothing was."""
    limit_legacy(shop, caller, f"session {session_id}")
    return _view(await shop.store.read(lambda connection: read_feedback(connection, caller, session_id)))


def _view(kept: Feedback) -> FeedbackView:
    return FeedbackView(
        id=kept.id,
        session_id=kept.session_id,
        satisfaction=kept.satisfaction,
        selected_item_ids=kept.selected_item_ids,
        additional_comments=kept.additional_comments,
        created_at=iso(kept.created_at),
    )


@router.get("/layout/map")
async def layout() -> Layout:
    """Show no map: fielded screens ask for one."""
    return Layout(positions=[], connections=[])


@router.get("/promotions/")
async def promotions() -> list[Any]:
    """List no promotions: fielded screens ask for them."""
    return []


@router.get("/checklists/pinned")
async def pinned() -> None:
    """Show no checklist: fielded screens ask for the pinned one."""
    return
