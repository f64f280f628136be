"""F62: a body is read as what it is, whatever it is called; when it cannot be read, a sentence says why."""

import json

import httpx2
import pytest

from tests.api.doors import PASSWORD, WITH_BODY, Door, Session, contents, refused
from tests.world import Shop

pytestmark = pytest.mark.any_store

FORM = "application/x-www-form-urlencoded"
CALLED = [
    None, "", "text/plain", "text/plain;charset=UTF-8", "application/json; charset=utf-8", "application/JSON", FORM,
    "application/octet-stream", "application/xml", "nonsense", "multipart/form-data; boundary=x", "text/json",
    'application/json; charset="', "application/vnd.cart+json",
]  # fmt: skip
JSON_DOORS = [door for door in WITH_BODY if not door.form]


async def knock(
    shop: Shop, door: Door, session: Session, body: bytes, kind: str | None, key: str | None = None
) -> httpx2.Response:
    headers = door.headers(shop, session)
    if key is not None:
        headers = {**headers, "Idempotency-Key": key}
    if kind is not None:
        headers = {**headers, "Content-Type": kind}
    return await shop.http.request(door.method, door.url(session), content=body, headers=headers)


@pytest.mark.parametrize("door", JSON_DOORS, ids=str)
async def test_f62_json_is_read_as_json_whatever_it_is_called(shop: Shop, session: Session, door: Door) -> None:
    assert door.body is not None
    body = json.dumps(door.body(session, await shop.qr(2))).encode()
    right = await knock(shop, door, session, body, "application/json", "same")
    for kind in CALLED:
        for text in (body, b"\xef\xbb\xbf" + body, b" \r\n" + body + b"\n"):
            answer = await knock(shop, door, session, text, kind, "same" if text is body else None)
            if text is body:
                assert (answer.status_code, answer.text) == (right.status_code, right.text), kind
            assert answer.status_code in (200, 404, 409), (kind, answer.text)


async def test_f62_a_login_takes_a_form_or_json_whatever_it_is_called(shop: Shop) -> None:
    await shop.http.post("/auth/signup", json={"email": "ann@example.com", "password": PASSWORD, "full_name": "Ann"})
    given = {"username": "ann@example.com", "password": PASSWORD}
    form = "&".join(f"{name}={value.replace(' ', '+').replace('@', '%40')}" for name, value in given.items()).encode()
    for kind in CALLED:
        headers = {} if kind is None else {"Content-Type": kind}
        for body in (json.dumps(given).encode(), form):
            if body is form and kind is not None and kind.startswith("multipart"):
                continue
            answer = await shop.http.post("/auth/login", content=body, headers=headers)
            assert answer.status_code == 200, (kind, answer.text)
    parts = await shop.http.post("/auth/login", data=given, files={"more": b""})
    assert parts.status_code == 200
    problem = refused(await shop.http.post("/auth/login", json={**given, "password": 7}), 422)
    assert problem["detail"] == "The field 'password' must be a text, not a number."


CAUSES: dict[bytes, str] = {
    b"": "The body is empty; send JSON.",
    b" \r\n": "The body is empty; send JSON.",
    b"\xef\xbb\xbf": "The body is empty; send JSON.",
    b"{": "The body is not valid JSON: it ends too early (line 1, column 2).",
    b'{"a": 1': "The body is not valid JSON: it ends too early (line 1, column 8).",
    b'{"a": 1,\n "b": }': "The body is not valid JSON: expecting value (line 2, column 7).",
    b"{'a': 1}": "The body is not valid JSON: expecting property name enclosed in double quotes (line 1, column 2).",
    b"a=1&b=2": "The body is not valid JSON: expecting value (line 1, column 1).",
    b'{"a": "\xe9"}': "The body is not UTF-8: byte 8 is the first that is none.",
    '{"a": 1}'.encode("utf-16"): "The body is not UTF-8: byte 1 is the first that is none.",
    b'{"a": 1, "a": 2}': "The body names 'a' twice.",
    b'{"a": NaN}': "The body holds NaN, which is not JSON.",
    b'{"a": -Infinity}': "The body holds -Infinity, which is not JSON.",
    b"[" * 30_000: "The body is JSON that is nested too deep.",
    b'{"a": ' + b"9" * 5000 + b"}": "The body holds a number with too many digits.",
    b"[1]": "The body must be an object, like {…}, not a list.",
    b'"text"': "The body must be an object, like {…}, not a text.",
    b"7": "The body must be an object, like {…}, not a number.",
    b"true": "The body must be an object, like {…}, not true or false.",
    b"null": "The body must be an object, like {…}, not null.",
}


@pytest.mark.parametrize("door", JSON_DOORS, ids=str)
async def test_f62_what_cannot_be_read_says_why(shop: Shop, session: Session, door: Door) -> None:
    before = await contents(shop)
    for body, cause in CAUSES.items():
        for kind in (None, "application/json"):
            problem = refused(await knock(shop, door, session, body, kind), 422, body[:20])
            assert (problem["code"], problem["detail"]) == ("invalid_json", cause)
    assert await contents(shop) == before


async def test_f62_a_body_that_may_be_missing_may_be_empty(shop: Shop, session: Session) -> None:
    url = f"/payment/create-payment/{session.id}"
    for kind in (None, "application/json", "text/plain"):
        for body in (b"", b"null", b"{}", b'{"payment_method": "card"}'):
            headers = session.shopper if kind is None else {**session.shopper, "Content-Type": kind}
            answer = await shop.http.post(url, content=body, headers=headers)
            assert answer.status_code == 200, (body, answer.text)
    assert refused(await shop.http.post(url, content=b"[1]", headers=session.shopper), 422)["code"] == "invalid_json"
