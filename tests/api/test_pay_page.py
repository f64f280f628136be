"""The sandbox's page, as a shopper's phone shows it: two buttons, no scripts, and nobody pays twice."""

import asyncio
from html.parser import HTMLParser

import pytest
from httpx2 import Response

from tests.api.doors import Session, contents, refused, sandbox
from tests.world import Shop


class Page(HTMLParser):
    """The tags and the forms of a page."""

    def __init__(self, answer: Response) -> None:
        super().__init__()
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        self.tags: set[str] = set()
        self.actions: list[str] = []
        self.text = ""
        self.feed(answer.text)
        assert not self.tags & {"script", "iframe", "img", "object", "link"}
        assert " on" not in "".join(part for part in answer.text.split("<style>")[0])

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not any(name.startswith("on") for name, _ in attributes)
        if tag == "form":
            self.actions.append(dict(attributes)["action"] or "")

    def handle_data(self, data: str) -> None:
        self.text += data


async def open_page(shop: Shop, session: Session) -> str:
    answer = await shop.http.post(
        f"/payment/create-payment/{session.id}",
        json={"payment_method": "<script>alert(1)</script>"},
        headers=session.shopper,
    )
    return str(answer.json()["payment_url"])


async def page(shop: Shop, url: str) -> Page:
    answer = await shop.http.get(url)
    assert answer.status_code == 200
    return Page(answer)


async def test_an_open_payment_shows_its_amount_and_two_buttons(shop: Shop, session: Session) -> None:
    url = await open_page(shop, session)
    shown = await page(shop, url)
    path = url.removeprefix(shop.url)
    assert shown.actions == [f"{path}/pay", f"{path}/decline"]
    assert "12.50 EGP" in shown.text
    assert "alert(1)" not in shown.text


async def test_paying_once_and_again_is_one_payment_and_one_end(shop: Shop, session: Session) -> None:
    url = await open_page(shop, session)
    pressed = await shop.press(url)
    assert pressed.status_code == 303
    assert pressed.headers["location"] == url.removeprefix(shop.url)
    before = await contents(shop)
    assert (await shop.press(url)).status_code == 303
    assert (await shop.press(url, "decline")).status_code == 303
    assert await contents(shop) == before
    paid = await page(shop, url)
    assert "Paid" in paid.text
    assert paid.actions == []
    assert [kind for _, kind, *_ in await shop.commands()].count("end_session") == 1


async def test_two_presses_at_one_moment_are_one_payment(shop: Shop, session: Session) -> None:
    url = await open_page(shop, session)
    answers = await asyncio.gather(*(shop.press(url) for _ in range(5)))
    assert [answer.status_code for answer in answers] == [303] * 5
    (payment,) = await shop.payment_rows(session.id)
    assert payment.state == "paid"
    assert [kind for _, kind, *_ in await shop.commands()].count("end_session") == 1
    assert await shop.alarm_kinds() == []


async def test_declining_leaves_it_open_for_another_try(shop: Shop, session: Session) -> None:
    url = await open_page(shop, session)
    declined = await shop.press(url, "decline")
    shown = await page(shop, declined.headers["location"])
    assert "declined" in shown.text
    assert len(shown.actions) == 2
    await shop.press(url)
    assert (await shop.payment_rows(session.id))[0].state == "paid"


async def test_a_closed_payment_has_no_buttons_and_takes_no_press(shop: Shop, session: Session) -> None:
    url = await open_page(shop, session)
    (payment,) = await shop.payment_rows(session.id)
    headers, body = sandbox(shop).webhook("payment.cancelled", payment.token, payment.amount, payment.currency)
    assert (await shop.http.post("/payment/webhook/sandbox", content=body, headers=headers)).status_code == 200
    before = await contents(shop)
    assert (await shop.press(url)).status_code == 303
    assert await contents(shop) == before
    closed = await page(shop, url)
    assert closed.actions == []
    assert "closed" in closed.text


@pytest.mark.parametrize("token", ["0" * 32, "x", "1", "%00", "%3Cscript%3E", "A" * 32, "0" * 31, "0" * 32 + "%0a"])
async def test_a_token_of_no_payment_is_404(shop: Shop, session: Session, token: str) -> None:
    await open_page(shop, session)
    before = await contents(shop)
    refused(await shop.http.get(f"/pay/{token}"), 404)
    for button in ("pay", "decline"):
        answer = await shop.http.post(f"/pay/{token}/{button}")
        refused(answer, 404)
        assert "<" not in answer.text
    assert await contents(shop) == before
