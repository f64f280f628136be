"""The sandbox's hosted page has two buttons, Pay and Decline: they send the signed webhook that a provider would.

Whoever the provider is, the page of a payment of nothing is here too: it says that all is done.
"""

import re
from html import escape
from typing import Final

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from duckycart.api.quick import QuickRoute
from duckycart.api.who import TheShop
from duckycart.lifecycle.payments import FREE, Payment, read_payment_by_token
from duckycart.providers.sandbox import Sandbox
from duckycart.refusals import NO_SUCH_PAYMENT
from duckycart.store.states import PaymentState

router = APIRouter(prefix="/pay", tags=["sandbox"], include_in_schema=False, route_class=QuickRoute)

_TOKEN: Final = re.compile(r"[0-9a-f]{32}")

_PAGE: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex"><title>Pay {amount}</title>
<style>
body{{font:20px/1.5 system-ui,sans-serif;max-width:26rem;margin:3rem auto;padding:0 1rem;color:#222;background:#fff}}
p.amount{{font-size:2.6rem;font-weight:700;margin:.5rem 0}}
button{{font:inherit;width:100%;padding:1rem;margin:.4rem 0;border:1px solid #777;border-radius:.5rem;background:#fff;
color:inherit}}
button.pay{{background:#0a6b3d;color:#fff;border-color:#0a6b3d;font-weight:700}}
small,a{{color:#555}}
</style>
<h1>{title}</h1><p class="amount">{amount}</p>{body}
<p><a href="../s/receipt">Back to your shopping<br><span lang="ar">العودة إلى تسوقك</span></a></p>
<p><small>{sandbox}Payment {id}, session {session}.</small></p></html>
"""
_FORMS: Final = """<form method="post" action="{url}/pay"><button class="pay">Pay</button></form>
<form method="post" action="{url}/decline"><button>Decline</button></form>{note}"""


def _page(shop: TheShop, payment: Payment, note: str = "") -> HTMLResponse:
    match payment.state:
        case PaymentState.OPEN:
            title = "Your shopping"
            body = _FORMS.format(url=f"/pay/{payment.token}", note=f"<p role=alert>{escape(note)}</p>" if note else "")
        case PaymentState.PAID if payment.provider == FREE:
            title, body = "Nothing to pay. Thank you!", "<p>You can leave with your shopping.</p>"
        case PaymentState.PAID:
            title, body = "Paid. Thank you!", "<p>You can leave with your shopping.</p>"
        case _:
            title, body = "Nothing to pay here", "<p>This payment is closed. Please look at your cart.</p>"
    html = _PAGE.format(
        title=title,
        amount=escape(shop.currency.written(payment.amount)),
        body=body,
        sandbox="" if payment.provider == FREE else "Sandbox: no money moves. ",
        id=payment.id,
        session=payment.session_id,
    )
    headers = {
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
    }
    return HTMLResponse(html, headers=headers)


async def _find(shop: TheShop, token: str) -> Payment:
    """Return the payment with this token. Raises NotFound, also for one of another provider: its page is not here."""
    if _TOKEN.fullmatch(token):
        payment = await shop.store.look_up(lambda connection: read_payment_by_token(connection, token))
        if payment.provider in (Sandbox.name, FREE):
            return payment
    raise NO_SUCH_PAYMENT()


@router.get("/{token}")
async def page(shop: TheShop, token: str, declined: bool = False) -> HTMLResponse:
    payment = await _find(shop, token)
    return _page(shop, payment, "The payment was declined; try again." if declined else "")


@router.post("/{token}/pay")
async def pay(shop: TheShop, token: str) -> Response:
    return await _press(shop, token, "payment.succeeded", "")


@router.post("/{token}/decline")
async def decline(shop: TheShop, token: str) -> Response:
    return await _press(shop, token, "payment.declined", "?declined=true")


async def _press(shop: TheShop, token: str, event_type: str, query: str) -> Response:
    payment, sandbox = await _find(shop, token), shop.checkout.provider
    if payment.state is PaymentState.OPEN and isinstance(sandbox, Sandbox):
        headers, body = sandbox.webhook(event_type, payment.token, payment.amount, payment.currency)
        await shop.checkout.record(headers, body)
    return RedirectResponse(f"/pay/{token}{query}", status_code=303)
