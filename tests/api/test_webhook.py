"""F20: a webhook is believed for its signature alone; without it nothing changes."""

import asyncio

import pytest
from structlog.testing import capture_logs

from tests.api.doors import Session, contents, refused, sandbox
from tests.world import Shop, until

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
