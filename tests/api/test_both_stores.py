"""F55: what one store refuses the other refuses: every text and number of every call, as OpenAPI lists them."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from duckycart.store import postgres as store_on_postgres
from tests.api.doors import PASSWORD, Session, begin
from tests.documents.declared import follow
from tests.world import Shop, open_shop

Json = dict[str, Any]
NASTY: list[Any] = [
    "", "\x00", "a\x00", "a\x00b@example.com", "\ud800", "a\udfff", "\x7f", "\u200b", "\ufeffx", "\ufdfa" * 60,
    "İ" * 80,
    "é" * 254, "x" * 40, "x" * 41, "x" * 80, "x" * 121, "x" * 200, "x" * 201, "x" * 254, "x" * 5000, "😀" * 200,
    "a@b.c",
    "'; DROP TABLE users; --", "%s %(a)s :a ?", "\\", "1e3", "null", "٣", "\r\nX: y", "%00", "..", "\x85\u2028",
    0, -1, 1, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 10**30, 10**40 - 1, 10**40, -(2**31) - 1, 1.5, 1e300,
    True, None, [], {}, ["\x00"], [2**63], {"a": "\x00"},
]  # fmt: skip
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


def fields(document: Json, operation: Json) -> Iterator[tuple[str, str]]:
    """(where, name) of every parameter and every field of the body."""
    for parameter in operation.get("parameters", ()):
        found = follow(parameter, document)
        if found["in"] in ("path", "query"):
            yield found["in"], found["name"]
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = content["schema"]
        for one in (schema, *schema.get("anyOf", ())):
            for name in follow(one, document).get("properties", {}):
                yield media_type, name


def right(document: Json, operation: Json, session: Session) -> Json:
    """The example of its body, for this session."""
    content = operation.get("requestBody", {}).get("content", {})
    body = dict(next((each["example"] for each in content.values() if "example" in each), {}))
    return body | {name: session.id for name in ("sessionID", "session_id") if name in body}


async def send(
    shop: Shop, session: Session, document: Json, path: str, method: str, wrong: dict[tuple[str, str], Any]
) -> int:
    operation = document["paths"][path][method]
    body, query, url = right(document, operation, session), {}, path
    form = False
    for (where, name), value in wrong.items():
        if where == "path":
            url = url.replace(f"{{{name}}}", quote(_text(value).encode("utf-8", "surrogatepass"), safe="") or "%20")
        elif where == "query":
            query[name] = _text(value).encode("utf-8", "replace").decode()
        else:
            body[name] = value
            form = "urlencoded" in where
    url = url.format(cart_id=1, session_id=session.id, barcode=1, provider="sandbox")
    headers = shop.cart_headers() if "cart" in str(operation.get("security", ""))[:12] else session.shopper
    options: Json = {"params": query, "headers": headers}
    if form:
        texts = {name: _text(value).encode("utf-8", "replace").decode() for name, value in body.items()}
        options |= {"data": texts}
    elif body:
        options |= {"content": json.dumps(body).encode()}
    answer = await shop.http.request(method.upper(), url, **options)
    return answer.status_code


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def calls(document: Json) -> list[tuple[str, str]]:
    return [
        (path, method)
        for path, methods in document["paths"].items()
        for method in methods
        if not path.endswith("/events") and not path.startswith("/sse")
    ]


@pytest.mark.proof
@pytest.mark.timeout(600)  # some thousand calls on either store
async def test_f55_no_value_is_an_error_of_ours_and_both_stores_answer_the_same(
    shops: list[tuple[Shop, Session]],
) -> None:
    document = (await shops[0][0].http.get("/openapi.json")).json()
    walked = 0
    with capture_logs() as logs:
        for path, method in calls(document):
            for where, name in fields(document, document["paths"][path][method]):
                for value in NASTY:
                    wrong = {(where, name): value}
                    answers = [await send(*each, document, path, method, wrong) for each in shops]
                    case = f"{method} {path} {where} {name}={value!a:.60}: {answers}"
                    assert answers[0] == answers[1] < 500, case
                    walked += 1
    assert walked > 1000
    assert [line for line in logs if line["log_level"] == "error"] == []


async def test_f55_nor_is_a_header(shops: list[tuple[Shop, Session]]) -> None:
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


ANY = st.one_of(st.text(max_size=300), st.integers(), st.floats(), st.sampled_from(NASTY))


@given(call=st.integers(0, 10**6), values=st.lists(ANY, min_size=6, max_size=6))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
async def test_f55_whatever_is_drawn(shops: list[tuple[Shop, Session]], call: int, values: list[Any]) -> None:
    document = shops[0][0].app.openapi()
    known = calls(document)
    path, method = known[call % len(known)]
    wrong = dict(zip(fields(document, document["paths"][path][method]), values, strict=False))
    answers = [await send(*each, document, path, method, wrong) for each in shops]
    assert answers[0] == answers[1] < 500, (path, method, wrong, answers)


async def test_f55_a_sign_in_with_what_no_store_keeps_is_refused_alike(shops: list[tuple[Shop, Session]]) -> None:
    for name in ("%00a", "a%00", "a%7f", "%ff", "%ed%a0%80"):
        statuses = {
            (await shop.http.post("/auth/login", content=f"username={name}&password={PASSWORD}".encode(),
                                  headers={"Content-Type": "application/x-www-form-urlencoded"})).status_code
            for shop, _ in shops
        }  # fmt: skip
        assert len(statuses) == 1, (name, statuses)
        assert statuses <= {401, 422}
