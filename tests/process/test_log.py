"""The log of a whole session: JSON, with what one searches for, and without a single secret."""

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from duckycart.testing.furnish import MILK
from tests.process.world import KEY, Served, heard

PASSWORD = "correct-horse-battery"
WRONG_KEYS = ["wrong-key-in-a-header-0123", "wrong-key-in-the-url-4567", "wrong-key-as-a-bearer-89ab"]


async def whole_session(served: Served) -> set[str]:
    """From signing up to paying, and some who may not come in; returns every secret that went over the wire."""
    http = served.http
    shopper = {"email": "omar@example.com", "password": PASSWORD, "full_name": "Omar"}
    assert (await http.post("/auth/signup", json=shopper)).status_code == 200
    await http.post("/auth/login", data={"username": "omar@example.com", "password": f"not-{PASSWORD}"})
    login = await http.post("/auth/login", data={"username": "omar@example.com", "password": PASSWORD})
    access = login.json()["access_token"]
    bearer, key = {"Authorization": f"Bearer {access}"}, {"X-API-Key": KEY}

    socket = f"ws://127.0.0.1:{served.port}/ws/hardware/1"
    header, url, as_bearer = WRONG_KEYS
    for address, headers in (
        (socket, {"X-API-Key": header}),
        (f"{socket}?key={url}&boot=boot-of-a-stranger", {}),
        (socket, {"Authorization": f"Bearer {as_bearer}"}),
    ):
        with pytest.raises(InvalidStatus):
            await connect(address, additional_headers=headers, proxy=None)
    with pytest.raises(InvalidStatus):  # a screen's socket, of a session that never was
        await connect(f"ws://127.0.0.1:{served.port}/ws/77?token={access}", proxy=None)
    await http.get("/customer-session/qr/1", headers={"X-API-Key": header})
    await http.get(f"/nowhere?key={url}&token={access}", headers=bearer)
    await http.get("/customer-session/1", headers={"Authorization": f"Bearer {access[:-4]}AAAA"})

    async with connect(f"{socket}?key={KEY}", proxy=None):
        qr = (await http.get("/customer-session/qr/1", headers={**key, "Prefer": "wait=5"})).json()
        scan = await http.post("/customer-session/scan-qr", json={"token": qr}, headers={**bearer, "Prefer": "wait=5"})
        session = scan.json()["session_id"]
        await http.post("/cart-items/add", json={"sessionID": session, "barcode": MILK}, headers=key)
        payment = (await http.post(f"/payment/create-payment/{session}", headers=bearer)).json()
        await http.post("/payment/webhook/sandbox", content=b"{}", headers={"sandbox-signature": "t=1,v1=0123456789"})
        assert (await http.post(f"{payment['payment_url']}/pay")).status_code == 303
        await served.settled()
    async with connect(socket, additional_headers=key, proxy=None):
        pass
    pay_token = payment["payment_url"].rsplit("/", 1)[1]
    ((signing_key,),) = served.rows("SELECT secret FROM signing_keys")
    return {KEY, *WRONG_KEYS, PASSWORD, access, qr, pay_token, signing_key.hex(), access.rsplit(".", 1)[1]}


async def test_f22_no_key_token_or_password_is_in_the_log_and_every_line_is_json(served: Served) -> None:
    served.furnish()
    await served.start(DUCKYCART_LOG_FORMAT="json")
    secrets = await whole_session(served)
    assert await served.stop() == 0

    text = served.log.read_text()
    assert [secret for secret in secrets if secret in text] == []
    lines = served.lines()
    assert all({"event", "level", "timestamp"} <= line.keys() for line in lines)

    def of(event: str) -> list[dict[str, object]]:
        return [line for line in lines if line["event"] == event]

    assert [(line["cart"], line["epoch"]) for line in of("cart connected")] == [(1, 1), (1, 2)]
    assert [(line["cart"], line["epoch"]) for line in of("cart disconnected")] == [(1, 1), (1, 2)]
    assert [line["status"] for line in of("cart refused")] == [403, 403, 403]
    for became in ("queued", "sent", "received"):
        found = [(line["cart"], line["seq"], line["type"], line["session"]) for line in of(f"command {became}")]
        assert list(dict.fromkeys(found)) == [  # a pong and a call may both be the receipt
            (1, 1, "generate_qr", None),
            (1, 2, "session_started", 1),
            (1, 3, "payment_created", 1),
            (1, 4, "end_session", 1),
        ], became
    assert [(line["what"], line["cart"], line["session"]) for line in of("transition")] == [
        ("get_qr", 1, None),
        ("create_session", 1, 1),
        ("change_basket", 1, 1),
        ("begin_payment", 1, 1),
        ("open_payment", 1, 1),
        ("settle_payment", 1, 1),
        ("finish_session", 1, 1),
    ]
    assert [line["outcome"] for line in of("webhook")] == ["settled"]
    assert [line for line in lines if line["level"] in ("error", "critical")] == []


async def test_f33_a_log_that_cannot_be_written_stops_nothing(served: Served) -> None:
    shopper = served.furnish()
    await served.start(place="where its log is full")
    cart = await served.cart()
    qr = await served.ask("GET", "/customer-session/qr/1", headers={"X-API-Key": KEY})
    assert qr is not None
    await heard(cart, 1)  # who scans within the moment before a link's first frame makes its command void
    scan = await served.ask("POST", "/customer-session/scan-qr", json={"token": qr.json()}, headers=shopper)
    assert scan is not None
    assert scan.status_code == 200
    await heard(cart, 2)
    await served.settled()
    assert await served.stop() == 0
