"""`/openapi.json`: valid, complete, and what the server really answers is what it declares."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from openapi_spec_validator import validate
from sqlalchemy import CheckConstraint

import duckycart
from duckycart import refusals
from duckycart.api.openapi import REFUSALS
from duckycart.errors import Refusal
from duckycart.hardware.pairing import issue_code
from duckycart.keys import hash_of
from duckycart.store.states import PaymentState
from duckycart.store.tables import payments
from duckycart.testing.furnish import screen_key_of
from tests.api.doors import CODE, DOORS, KEPT, PASSWORD, Session, sandbox
from tests.channels.world import end, stream
from tests.conftest import OpenShop
from tests.documents.declared import Json, check, follow, watch
from tests.world import Shop


async def served(shop: Shop) -> Json:
    answer = await shop.http.get("/openapi.json")
    assert answer.status_code == 200
    document: Json = answer.json()
    return document


def operations(document: Json) -> Iterator[tuple[str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


async def test_it_is_valid(shop: Shop) -> None:
    validate(await served(shop))


async def test_every_door_is_an_operation_and_every_operation_a_door(shop: Shop) -> None:
    assert {name for name, _ in operations(await served(shop))} == {str(door) for door in DOORS}


async def test_every_operation_says_in_a_sentence_what_it_does(shop: Shop) -> None:
    for name, operation in operations(await served(shop)):
        assert operation["summary"][0].isupper(), name
        assert not operation["summary"].endswith("."), name
        assert operation["description"].endswith("."), name
        assert not re.search(r"\bF\d\d\b", operation["description"]), "readers know no fault numbers"


async def test_every_operation_is_called_by_its_file_and_function(shop: Shop) -> None:
    ids = [operation["operationId"] for _, operation in operations(await served(shop))]
    assert {"items_add", "payments_create", "sessions_scan_qr"} <= set(ids)
    assert len(set(ids)) == len(ids)
    assert all((SOURCES / "api" / f"{one.partition('_')[0]}.py").exists() for one in ids)


async def test_every_operation_names_the_credentials_that_open_it(shop: Shop) -> None:
    document = await served(shop)
    named = {name: {next(iter(one)) for one in it.get("security", ())} for name, it in operations(document)}
    assert {name for name, schemes in named.items() if schemes} == {str(door) for door in KEPT}
    assert set().union(*named.values()) == set(document["components"]["securitySchemes"])
    for door in KEPT:
        assert named[str(door)] >= {"cart", "shopper"} if door.who == "both" else door.who in named[str(door)], door


async def test_every_operation_shows_what_to_send_and_what_comes_back(shop: Shop) -> None:
    document = await served(shop)
    for name, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            assert "example" in follow(parameter, document), name
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert "example" in content, name
        answers = operation["responses"]["200"]["content"]
        assert all("example" in body for kind, body in answers.items() if not kind.startswith("image/")), name
        assert "201" not in operation["responses"], "fielded carts take it for a failure"


async def test_every_refusal_is_declared_by_status_and_code(shop: Shop) -> None:
    for name, operation in operations(await served(shop)):
        assert {"413", "414", "500"} <= operation["responses"].keys(), name
        assert ("401" in operation["responses"]) == ("security" in operation or "login" in name), name
        for status, response in operation["responses"].items():
            if status != "200":
                content = response["content"]["application/problem+json"]
                codes = content["schema"]["properties"]["code"]["enum"]
                assert set(content["examples"]) == set(codes), name
                assert all(f"`{code}`" in response["description"] for code in codes), name
            if status in ("429", "503"):
                assert "Retry-After" in response["headers"], name


async def test_every_example_is_of_the_form_that_is_declared(shop: Shop) -> None:
    document = await served(shop)
    for _, operation in operations(document):
        for parameter in (follow(one, document) for one in operation.get("parameters", ())):
            check(parameter["example"], parameter["schema"], document)
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for content in (content for body in bodies for content in body.get("content", {}).values()):
            if "example" in content:
                check(content["example"], content["schema"], document)
            for example in content.get("examples", {}).values():
                check(follow(example, document)["value"], content["schema"], document)
    for header in document["components"]["headers"].values():
        check(header["example"], header["schema"], document)


async def test_what_every_door_really_answers_is_declared(opening: OpenShop) -> None:
    async with opening(offline_carts="accept") as shop:
        await shop.furnish()
        declared = await watch(shop)
        await open_every_door(shop)
        for door in DOORS:  # and none of them without a credential, or with rubbish
            await shop.http.request(door.method, door.path.format(**dict.fromkeys(IDS, "x")), content=b"{")
            await shop.http.request(door.method, door.path.format(**IDS))
        assert {name for name, status in declared.seen if status == 200} == {str(door) for door in DOORS}
        refusing = {name for name, status in declared.seen if status != 200}
        assert refusing == {str(door) for door in DOORS} - NEVER_REFUSE


NEVER_REFUSE = {
    f"GET /{path}" for path in ("healthz", "readyz", "feedback/items", "layout/map", "promotions/", "checklists/pinned")
}
IDS = {"cart_id": 1, "session_id": 1, "barcode": 1, "provider": "x"}


async def open_every_door(shop: Shop) -> None:
    """A day in the shop: each call succeeds at least once."""
    account = {"email": "mona@example.com", "password": PASSWORD, "full_name": "Mona"}
    await shop.http.post("/auth/signup", json=account)
    login = await shop.http.post("/auth/login", data={"username": account["email"], "password": PASSWORD})
    mona = {"Authorization": f"Bearer {login.json()['access_token']}"}
    for kind in ("image/svg+xml", "image/png"):
        await shop.http.get("/customer-session/qr/1", headers={**shop.cart_headers(), "Accept": kind})
    await end(shop, await shop.start(mona), mona)
    again = await shop.scan(await shop.qr(), mona, prefer="wait=0")
    session = Session(again.json()["session_id"], mona)
    for _ in range(2):
        await shop.add(session.id)
    await shop.inside.store.write(lambda tx: issue_code(tx, 1, hash_of(CODE)))
    await shop.add_cart(2)
    for door in DOORS:
        headers = door.headers(shop, session)
        if door.endless:
            async with stream(shop, door.url(session), headers) as it:
                assert await it.event() is not None
            continue
        body = door.body(session, await shop.qr(2)) if door.body else None
        json, data = (None, body) if door.form else (body, None)
        await shop.http.request(door.method, door.url(session), headers=headers, json=json, data=data)
        shop.http.cookies.clear()  # nobody here is a screen yet
    for kind in ("image/svg+xml", "image/png"):
        await shop.http.get(f"/payment/get-payment/{session.id}", headers={**mona, "Accept": kind})
    await shop.add(session.id)  # refused: a payment exists
    (payment,) = await shop.payment_rows(session.id)
    headers, content = sandbox(shop).webhook("payment.succeeded", payment.token, payment.amount, payment.currency)
    await shop.http.post("/payment/webhook/sandbox", headers=headers, content=content)
    await shop.http.post("/screen/1", json={"key": screen_key_of(1)})
    await shop.http.get("/customer-session/qr/1")
    shop.http.cookies.clear()


SOURCES = Path(duckycart.__file__).parent
CATALOGUE = {name: one for name, one in vars(refusals).items() if isinstance(one, Refusal)}
# Said at addresses that are no operations, or before an address is looked for.
NO_OPERATIONS = {refusals.NOT_FOUND, refusals.METHOD_NOT_ALLOWED, refusals.TLS_ONLY}


async def test_every_refusal_that_there_is_is_declared_somewhere_and_no_other(shop: Shop) -> None:
    declared = set((await served(shop))["components"]["examples"])
    assert declared == {f"{one.kind.status}-{one.code}" for one in {*CATALOGUE.values()} - NO_OPERATIONS}


def test_no_operation_declares_what_no_code_refuses() -> None:
    code = "\n".join(
        path.read_text() for path in SOURCES.rglob("*.py") if path.name not in ("refusals.py", "openapi.py")
    )
    code = re.sub(r"^(@refuses|from .* import )(\(\n(    .*\n)*\)|.*)$", "", code, flags=re.MULTILINE)
    used = {one for name, one in CATALOGUE.items() if re.search(rf"\b{name}\b", code)}
    assert {one for several in REFUSALS.values() for one in several} <= used


def test_the_states_of_a_payment_are_those_of_the_database() -> None:
    (constraint,) = [
        one for one in payments.constraints if isinstance(one, CheckConstraint) and "state IN" in str(one.sqltext)
    ]
    assert tuple(re.findall(r"'(\w+)'", str(constraint.sqltext))) == tuple(PaymentState)


async def test_commands_to_the_cart_are_spoken_of_where_they_are_made(shop: Shop) -> None:
    told = {
        name
        for name, operation in operations(await served(shop))
        if "Hardware-Delivery" in operation["responses"]["200"].get("headers", {})
    }
    assert told == {
        "GET /customer-session/qr/{cart_id}",
        "POST /customer-session/scan-qr",
        "POST /customer-session/{session_id}/end",
        "POST /payment/create-payment/{session_id}",
    }


def header_names(document: Json, operation: Json) -> set[Any]:
    return {follow(one, document)["name"] for one in operation.get("parameters", ())}


async def test_an_idempotency_key_is_offered_where_it_is_honoured(shop: Shop) -> None:
    document = await served(shop)
    offered = {
        name for name, operation in operations(document) if "Idempotency-Key" in header_names(document, operation)
    }
    writes = {str(door) for door in DOORS if door.method != "GET"}
    assert writes - offered == {
        "POST /items/read",  # changes nothing
        "POST /auth/login",
        "POST /screen/{cart_id}",  # changes nothing
        "POST /carts/pair",  # repeats by itself
        "POST /payment/webhook/{provider}",  # its events have ids of their own
    }
    assert offered <= writes


async def test_f55_a_query_that_is_too_long_is_a_documented_refusal(shop: Shop) -> None:
    assert "422" in (await served(shop))["paths"]["/feedback/items"]["get"]["responses"]
