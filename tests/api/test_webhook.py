"""F20: a webhook is believed for its signature alone; without it nothing changes."""

import asyncio
import json

import httpx2
import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from duckycart.store.tables import provider_events
from duckycart.testing.waiting import until
from tests.api.doors import Session, contents, refused, sandbox
from tests.conftest import OpenShop
from tests.payments.acquirer import Acquirer
from tests.world import Shop

URL = "/payment/webhook/sandbox"
SIGNATURE = "sandbox-signature"


async def paid_event(shop: Shop, session: Session) -> tuple[str, bytes]:
    """Signature and body that would settle the session's payment."""
    assert (await shop.create_payment(session.id, session.shopper)).status_code == 200
    (payment,) = await shop.payment_rows(session.id)
    headers, body = sandbox(shop).webhook("payment.succeeded", payment.token, payment.amount, payment.currency)
    return headers[SIGNATURE], body


async def test_f20_an_unsigned_or_wrongly_signed_webhook_is_400_and_changes_nothing(
    shop: Shop, session: Session
) -> None:
    signature, body = await paid_event(shop, session)
    time, _, mac = signature.partition(",v1=")
    before = await contents(shop)
    wrong = [
        None, "", "rubbish", time, f"v1={mac}", f"{time},v1=", f"{time},v1={mac[:-1]}", f"{time},v1={mac}0",
        f"{time}0,v1={mac}", f"{time},v1={'0' * 64}", f"t=,v1={mac}", f"t=-1,v1={mac}", f"t={'9' * 5000},v1={mac}",
        f"t=\xb2,v1={mac}", f"{time},v1=\xe9", f"{time},v2={mac}",
    ]  # fmt: skip
    for case in wrong:
        headers = {} if case is None else {SIGNATURE.encode(): case.encode("latin-1")}
        refused(await shop.http.post(URL, content=body, headers=headers), 400, case)
    changed = body.replace(b"1250", b"1251")
    assert changed != body
    for case_body in (changed, body + b" ", b"", b"\xff", b"[" * 30_000):
        refused(await shop.http.post(URL, content=case_body, headers={SIGNATURE: signature}), 400, case_body[:20])
    assert await contents(shop) == before
    assert (await shop.http.post(URL, content=body, headers={SIGNATURE: signature})).json() == {"outcome": "settled"}


@pytest.mark.parametrize("seconds", [301, -301])
async def test_f20_an_old_signature_is_400_and_changes_nothing(shop: Shop, session: Session, seconds: int) -> None:
    signature, body = await paid_event(shop, session)
    before = await contents(shop)
    shop.clock.move(seconds)
    answer = await shop.http.post(URL, content=body, headers={SIGNATURE: signature})
    assert refused(answer, 400)["code"] == "old_signature"
    assert await contents(shop) == before


async def test_a_signed_body_of_no_known_form_is_400_and_changes_nothing(shop: Shop) -> None:
    before = await contents(shop)
    for body in (
        b"",
        b"null",
        b"[]",
        b"1",
        b"{",
        b"{}",
        b'{"id": 1, "type": "x"}',
        b'{"id": "", "type": "x"}',
        b"\xff",
    ):
        headers = {SIGNATURE: sandbox(shop).sign(body)}
        assert refused(await shop.http.post(URL, content=body, headers=headers), 400, body)["code"] == "bad_webhook"
    assert await contents(shop) == before


async def test_a_webhook_cut_off_in_its_middle_is_no_error_of_ours(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    tasks = shop.server.server_state.tasks
    with capture_logs() as logs:
        _, writer = await asyncio.open_connection("127.0.0.1", shop.port)
        writer.write(f"POST {URL} HTTP/1.1\r\nHost: shop\r\nContent-Length: 100\r\n\r\n{{".encode())
        await until(lambda: tasks)
        writer.close()
        await until(lambda: not tasks)
    assert not [line for line in logs if line["log_level"] == "error"]
    assert not caplog.records


async def test_a_provider_that_is_not_in_use_is_404(shop: Shop, session: Session) -> None:
    signature, body = await paid_event(shop, session)
    for provider in ("stripe", "SANDBOX", "%00", "x" * 1000):
        answer = await shop.http.post(f"/payment/webhook/{provider}", content=body, headers={SIGNATURE: signature})
        refused(answer, 404, provider)


ABSURD = [
    '"amount": 1000000000000000000000000000000', '"amount": 9223372036854775808', '"amount": -1', '"amount": 0',
    '"amount": 12.5', '"amount": 1e400', '"amount": true', '"amount": "1250"', '"amount": [1250]', '"amount": {}',
    '"currency": "egp"', '"currency": "EGPX"', '"currency": 1', '"currency": "\\ud800GP"', '"currency": "E\\u0000P"',
    '"payment": 7', '"payment": ["x"]', '"payment": ""', '"payment": "\\ud800"', '"payment": "a\\u0000"',
    f'"payment": "{"x" * 121}"',
]  # fmt: skip
NOT_TO_BE_READ: dict[str, bytes] = {
    "a key twice": b'{"id": "e", "type": "payment.succeeded", "amount": 1, "amount": 2}',
    "NaN": b'{"id": "e", "type": "payment.succeeded", "amount": NaN}',
    "nested for ever": b'{"id": "e", "type": "payment.succeeded", "amount": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "only nested": b"[" * 60_000,
    "a number without end": b'{"id": "e", "type": "payment.succeeded", "amount": ' + b"9" * 5000 + b"}",
    "UTF-16": '{"id": "e", "type": "payment.succeeded"}'.encode("utf-16-le"),
    "NUL": b'{"id": "e", "type": "payment.succeeded"}\x00',
    "NUL in a text": b'{"id": "e\x00", "type": "payment.succeeded"}',
    "Latin-1": b'{"id": "e", "type": "payment.succeeded", "note": "\xe9"}',
    "a huge id": b'{"id": "' + b"e" * 121 + b'", "type": "payment.succeeded"}',
    "an id that is no text": b'{"id": {"e": 1}, "type": "payment.succeeded"}',
    "an id with a surrogate": b'{"id": "\\ud800", "type": "payment.succeeded"}',
    "an id with NUL": b'{"id": "\\u0000", "type": "payment.succeeded"}',
}  # fmt: skip


async def _signed(shop: Shop, body: bytes) -> httpx2.Response:
    return await shop.http.post(URL, content=body, headers={SIGNATURE: sandbox(shop).sign(body)})


async def test_f54_a_signed_webhook_that_makes_no_sense_is_400_recorded_and_told_once(
    shop: Shop, session: Session
) -> None:
    _, body = await paid_event(shop, session)
    good = json.loads(body)
    with capture_logs() as logs:
        for number, absurd in enumerate(ABSURD):
            name = json.loads(f"{{{absurd}}}").popitem()[0]
            rest = {**good, "id": f"evt-{number}"}
            del rest[name]
            text = (json.dumps(rest)[:-1] + f", {absurd}}}").encode()
            for _ in range(2):
                assert refused(await _signed(shop, text), 400, absurd)["code"] == "bad_webhook"
            (event,) = await shop.rows(select(provider_events).where(provider_events.c.event_id == f"evt-{number}"))
            assert (event.outcome, event.body) == ("absurd", text.decode())
            assert await shop.alarm_kinds() == ["absurd_webhook"] * (number + 1)
    assert [line for line in logs if line["log_level"] == "error"] == []
    (payment,) = await shop.payment_rows(session.id)
    assert payment.state == "open"
    assert (await _signed(shop, json.dumps({**good, "id": "evt-0"}).encode())).json() == {"outcome": "settled"}


@pytest.mark.parametrize("case", NOT_TO_BE_READ)
async def test_f54_a_signed_webhook_that_cannot_be_read_is_400_and_changes_nothing(shop: Shop, case: str) -> None:
    before = await contents(shop)
    with capture_logs() as logs:
        problem = refused(await _signed(shop, NOT_TO_BE_READ[case]), 400, case)
    assert problem["code"] == "bad_webhook"
    assert [line for line in logs if line["log_level"] == "error"] == []
    assert await contents(shop) == before


async def test_f54_what_another_provider_signs_is_judged_too(opening: OpenShop) -> None:
    acquirer = Acquirer()
    async with opening(provider=acquirer) as shop:
        for said in ({"amount": 10**30}, {"amount": -1}, {"amount": 0}, {"amount": 1, "currency": "euro"}):
            refused(await acquirer.say(shop, "succeeded", ref="acq-1", **said), 400, said)
        assert await shop.alarm_kinds() == ["absurd_webhook"] * 4
