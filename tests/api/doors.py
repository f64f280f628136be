"""Every HTTP door, how to knock on it rightly, and what a refusal must look like."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import httpx2

from duckycart.hardware.pairing import issue_code
from duckycart.keys import hash_of, new_code
from duckycart.providers.sandbox import Sandbox
from duckycart.store.tables import metadata
from duckycart.testing.furnish import MILK, key_of, screen_key_of
from duckycart.testing.waiting import until
from tests.world import Shop

CODE = "7K3MQ9XD"
PASSWORD = "correct horse battery"
Contents = dict[str, list[Any]]


@dataclass(frozen=True)
class Session:
    id: int
    shopper: dict[str, str]


@dataclass(frozen=True)
class Door:
    """One call. `path` names ids in braces; `body` makes the right body for a session."""

    method: str
    path: str
    who: Literal["cart", "shopper", "both", "nobody"]
    body: Callable[[Session, str], dict[str, Any]] | None = None
    form: bool = False
    endless: bool = False  # an answer that does not end by itself
    screen: bool = False  # the token that the cart's stream hands to a screen opens it too

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def url(self, session: Session, **other: object) -> str:
        ids = {"cart_id": 1, "session_id": session.id, "barcode": MILK, "provider": "sandbox", "token": "0" * 32}
        return self.path.format(**{**ids, **other})

    def headers(self, shop: Shop, session: Session) -> dict[str, str]:
        if self.who == "nobody":
            return {}
        return session.shopper if self.who == "shopper" else shop.cart_headers()


def _item(session: Session, qr: str) -> dict[str, Any]:
    return {"sessionID": session.id, "barcode": MILK}


def _warning(session: Session, qr: str) -> dict[str, Any]:
    return {"session_id": session.id, "type_of_warning": "weight increased"}


def _notice(session: Session, qr: str) -> dict[str, Any]:
    return {"session_id": session.id, "barcode": MILK}


def _aisle(session: Session, qr: str) -> dict[str, Any]:
    return {"aisle_id": 4}


def _token(session: Session, qr: str) -> dict[str, Any]:
    return {"token": qr}


def _sign_up(session: Session, qr: str) -> dict[str, Any]:
    return {"email": "new@example.com", "password": PASSWORD, "full_name": "New"}


def _login(session: Session, qr: str) -> dict[str, Any]:
    return {"username": "mona@example.com", "password": PASSWORD}


def _screen_key(session: Session, qr: str) -> dict[str, Any]:
    return {"key": screen_key_of(1)}


def _pairing(session: Session, qr: str) -> dict[str, Any]:
    return {"code": CODE, "key": key_of(1)}


def _feedback(session: Session, qr: str) -> dict[str, Any]:
    return {"session_id": session.id, "satisfaction": "great"}


# In an order in which each succeeds, in a session whose basket holds something.
DOORS = [
    Door("GET", "/customer-session/qr/{cart_id}", "cart"),
    Door("GET", "/customer-session/cart/{cart_id}", "cart"),
    Door("GET", "/customer-session/cart-status/{cart_id}", "cart"),
    Door("POST", "/items/read", "cart", _item),
    Door("POST", "/cart-items/add", "cart", _item),
    Door("DELETE", "/cart-items/remove", "cart", _item),
    Door("POST", "/fraud-warnings/", "cart", _warning),
    Door("POST", "/fraud-warnings/notify-cart-update", "cart", _notice),
    Door("PUT", "/session-location/{session_id}", "cart", _aisle),
    Door("GET", "/sse/{cart_id}", "cart", endless=True),
    Door("POST", "/screen/{cart_id}", "nobody", _screen_key),
    Door("GET", "/customer-session/{session_id}/events", "both", endless=True),
    Door("POST", "/carts/pair", "nobody", _pairing),
    Door("POST", "/auth/signup", "nobody", _sign_up),
    Door("POST", "/auth/login", "nobody", _login, form=True),
    Door("POST", "/auth/guest", "nobody", _token),
    Door("POST", "/customer-session/scan-qr", "shopper", _token),
    Door("POST", "/customer-session/{session_id}/end", "shopper"),
    Door("GET", "/customer-session/{session_id}", "both", screen=True),
    Door("GET", "/cart-items/session/{session_id}", "both", screen=True),
    Door("GET", "/items/read/{barcode}", "both", screen=True),
    Door("POST", "/payment/create-payment/{session_id}", "both", screen=True),
    Door("GET", "/payment/get-payment/{session_id}", "both", screen=True),
    Door("POST", "/payment/webhook/{provider}", "nobody"),
    Door("GET", "/feedback/items", "nobody"),
    Door("POST", "/feedback/", "both", _feedback, screen=True),
    Door("GET", "/feedback/session/{session_id}", "both", screen=True),
    Door("GET", "/layout/map", "nobody"),
    Door("GET", "/promotions/", "nobody"),
    Door("GET", "/checklists/pinned", "nobody"),
    Door("GET", "/healthz", "nobody"),
    Door("GET", "/readyz", "nobody"),
]
KEPT = [door for door in DOORS if door.who != "nobody"]
WITH_BODY = [door for door in DOORS if door.body is not None]
WITH_SESSION_ID = [door for door in DOORS if "{session_id}" in door.path]
FOR_SCREENS = {str(door) for door in DOORS if door.screen}
WITH_CART_ID = [door for door in DOORS if "{cart_id}" in door.path]


async def begin(shop: Shop, email: str = "mona@example.com", cart_id: int = 1) -> Session:
    shopper = await shop.shopper(email)
    session_id = await shop.start(shopper, cart_id)
    assert (await shop.add(session_id, cart_id=cart_id)).status_code == 200
    await shop.inside.store.write(lambda tx: issue_code(tx, cart_id, hash_of(CODE if cart_id == 1 else new_code())))
    return Session(session_id, shopper)


async def contents(shop: Shop) -> Contents:
    """All that the database holds, once the receipts that are under way are in it."""
    receipts = shop.inside.dispatch.receipts
    await until(lambda: not (receipts._pending or receipts._writes))
    return {
        table.name: sorted((tuple(row) for row in await shop.rows(table.select())), key=repr)
        for table in metadata.sorted_tables
    }


def refused(answer: httpx2.Response, status: int | tuple[int, ...], case: object = "") -> dict[str, Any]:
    """The answer is a problem document with this status, whose detail is a sentence that gives nothing away."""
    statuses = status if isinstance(status, tuple) else (status,)
    assert answer.status_code in statuses, f"{case}: {answer.status_code} {answer.text}"
    assert answer.headers["content-type"] == "application/problem+json", case
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == answer.status_code, case
    assert problem["type"] == "about:blank", case
    assert problem["title"] not in ("", "Error"), case
    assert problem["code"].replace("_", "").isalnum(), case
    assert problem["message"] == problem["detail"], case
    assert problem["detail"][0].isupper(), case
    assert problem["detail"].endswith("."), case
    for secret in ("SELECT", "INSERT", "UPDATE ", "sqlite", "argon2", "Traceback", PASSWORD):
        assert secret not in answer.text, (case, secret)
    return problem


def sandbox(shop: Shop) -> Sandbox:
    provider = shop.inside.checkout.provider
    assert isinstance(provider, Sandbox)
    return provider
