"""The QR: asked for while nobody shops, drawn, renewed, and never in the way of a session."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import httpx2
import pytest
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Response

from duckycart.cart.machine import CartState
from duckycart.wire import CommandType
from tests.cart.world import (
    HTTP_NOW,
    NOW,
    Cart,
    FakeServer,
    cart,
    http_response,
    qr_response,
    qr_token,
    send,
    server,
)


class Desk:
    """The QR endpoint; each request waits until the test answers it."""

    def __init__(self, shop: FakeServer) -> None:
        self._waiting: asyncio.Queue[asyncio.Future[Response]] = asyncio.Queue()
        self._asked: list[asyncio.Future[Response]] = []
        shop.qr = self._ask

    async def _ask(self) -> Response:
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._asked.append(answer)
        self._waiting.put_nowait(answer)
        return await answer

    async def next(self) -> asyncio.Future[Response]:
        async with asyncio.timeout(10):
            return await self._waiting.get()

    def close(self) -> None:
        for answer in self._asked:
            answer.cancel()

    def nobody_waits(self) -> bool:
        return self._waiting.empty()


def url_of(token: str) -> str:
    return f"https://shop.example/s/{token}"


@pytest.fixture
async def shop() -> AsyncIterator[FakeServer]:
    async with server() as fake:
        yield fake


@pytest.fixture
def desk(shop: FakeServer) -> Iterator[Desk]:
    desk = Desk(shop)
    yield desk
    desk.close()


async def shows_qr(it: Cart, desk: Desk, link: ServerConnection) -> None:
    question = await desk.next()
    await send(link, CommandType.GENERATE_QR)
    question.set_result(qr_response(qr_token()))
    await it.driver.until("show_qr", url_of(qr_token()))


async def test_it_asks_with_its_key_and_draws_the_address(shop: FakeServer, desk: Desk) -> None:
    async with cart(shop.url, key="k1", ask_for_qr=True) as it:
        link = await shop.cart()
        await shows_qr(it, desk, link)
        assert shop.qr_requests[0].path == "/customer-session/qr/7"
        assert shop.qr_requests[0].headers["X-API-Key"] == "k1"
        assert it.program.situation.state is CartState.QR
        assert it.driver.work() == [("show_qr", url_of(qr_token()))]


async def test_a_proxy_is_not_used(shop: FakeServer, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    async with cart(shop.url, ask_for_qr=True) as it:
        await shows_qr(it, desk, await shop.cart())


async def test_the_answer_may_overtake_the_command(shop: FakeServer, desk: Desk) -> None:
    async with cart(shop.url, ask_for_qr=True) as it:
        link = await shop.cart()
        (await desk.next()).set_result(qr_response(qr_token()))
        await it.driver.until("show_qr", url_of(qr_token()))
        await send(link, CommandType.GENERATE_QR)
        await it.driver.until("show_qr", url_of(qr_token()), times=2)
        assert it.program.situation.state is CartState.QR


async def test_the_socket_is_read_while_the_server_thinks_about_a_qr(shop: FakeServer, desk: Desk) -> None:
    async with cart(shop.url, ask_for_qr=True) as it:
        link = await shop.cart()
        question = await desk.next()
        await send(link, CommandType.SESSION_STARTED, 5)
        await it.driver.until("start_shopping", 5)
        assert not question.done()


async def test_a_late_answer_does_not_disturb_a_session(shop: FakeServer, desk: Desk) -> None:
    async with cart(shop.url, ask_for_qr=True) as it:
        link = await shop.cart()
        question = await desk.next()
        await send(link, CommandType.GENERATE_QR)
        await send(link, CommandType.SESSION_STARTED, 5)
        question.set_result(qr_response(qr_token()))
        for _ in range(20):  # round trips in which the answer arrives
            await send(link, CommandType.SESSION_STARTED, 5)
        await send(link, CommandType.PAYMENT_CREATED, 5)
        await it.driver.until("hold_for_payment", 5)
        assert it.driver.work() == [("start_shopping", 5), ("hold_for_payment", 5)]


async def test_an_answer_that_comes_after_a_whole_session_is_not_shown(shop: FakeServer, desk: Desk) -> None:
    async with cart(shop.url, ask_for_qr=True) as it:
        link = await shop.cart()
        void = await desk.next()
        await send(link, CommandType.SESSION_STARTED, 5)
        await send(link, CommandType.END_SESSION, 5)
        fresh = await desk.next()
        void.set_result(qr_response(qr_token(n=1)))
        fresh.set_result(qr_response(qr_token(n=2)))
        await it.driver.until("show_qr", url_of(qr_token(n=2)))
        assert ("show_qr", url_of(qr_token(n=1))) not in it.driver.told


async def test_a_qr_is_renewed_before_it_ends(shop: FakeServer, desk: Desk) -> None:
    async with cart(shop.url, ask_for_qr=True) as it:
        link = await shop.cart()
        await shows_qr(it, desk, link)
        nap = await it.naps.next()
        assert nap.seconds == 300 - 15
        nap.wake()
        question = await desk.next()
        await send(link, CommandType.GENERATE_QR)
        question.set_result(qr_response(qr_token(n=2)))
        await it.driver.until("show_qr", url_of(qr_token(n=2)))
        assert len(it.driver.work()) == 2


@pytest.mark.parametrize(("lifetime", "delay"), [(300, 285), (20, 10), (1, 1), (10**12, 86_400 - 15), (40.5, 25.5)])
async def test_when_a_qr_is_renewed(shop: FakeServer, desk: Desk, lifetime: float, delay: float) -> None:
    async with cart(shop.url, ask_for_qr=True) as it:
        (await desk.next()).set_result(qr_response(qr_token(exp=NOW + lifetime)))
        assert (await it.naps.next()).seconds == delay


@pytest.mark.parametrize("years", [-10, 10])
async def test_f50_f51_a_server_whose_clock_is_set_while_it_answers_is_asked_again_in_time(
    shop: FakeServer, desk: Desk, years: int
) -> None:
    async with cart(shop.url, ask_for_qr=True) as it:
        token = qr_token(exp=NOW + years * 365 * 86_400)
        (await desk.next()).set_result(qr_response(token, **{"Qr-Seconds": "300"}))
        assert (await it.naps.next()).seconds == 285


async def test_a_cart_whose_clock_is_wrong_goes_by_the_servers(shop: FakeServer, desk: Desk) -> None:
    async with cart(shop.url, ask_for_qr=True) as it:
        it.clock.correct(-NOW)
        (await desk.next()).set_result(qr_response(qr_token()))
        assert (await it.naps.next()).seconds == 285


async def test_a_server_that_does_not_tell_the_time_is_believed(shop: FakeServer, desk: Desk) -> None:
    async with cart(shop.url, ask_for_qr=True) as it:
        it.clock.correct(100)
        (await desk.next()).set_result(qr_response(qr_token(), Date="today"))
        assert (await it.naps.next()).seconds == 185


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("</s/abc>; rel=alternate", "{base}/s/abc"),
        ('<https://other.example/>; rel="next", <https://shop.example/s/1>; rel="alternate"', None),
        ("", "{token}"),
    ],
)
async def test_what_the_picture_holds(shop: FakeServer, desk: Desk, link: str, url: str | None) -> None:
    async with cart(shop.url, ask_for_qr=True) as it:
        (await desk.next()).set_result(qr_response(qr_token(), Link=link))
        expected = (url or "https://shop.example/s/1").format(base=shop.url, token=qr_token())
        await it.driver.until("show_qr", expected)


def token_with(payload: bytes) -> str:
    return f"e30.{base64.urlsafe_b64encode(payload).decode().rstrip('=')}.c2ln"


@pytest.mark.parametrize(
    ("answer", "sentence", "delay"),
    [
        (http_response(200, b"<html>"), "not a QR token", 0.5),
        (http_response(200, b"\xff\xfe"), "not a QR token", 0.5),
        (http_response(200, b""), "not a QR token", 0.5),
        (http_response(200, b"[" * 100_000), "not a QR token", 0.5),
        (http_response(200, b'{"token": "a.b.c"}'), "not a QR token", 0.5),
        (http_response(200, b'"not-a-jwt"'), "not a QR token", 0.5),
        (http_response(200, b'"a.b.c"'), "not a QR token", 0.5),
        (http_response(200, '"a.é.c"'.encode()), "not a QR token", 0.5),
        (qr_response(token_with(b"[]")), "not a QR token", 0.5),
        (qr_response(token_with(b"{}")), "not a QR token", 0.5),
        (qr_response(token_with(b'{"exp": "soon"}')), "not a QR token", 0.5),
        (qr_response(token_with(b'{"exp": true}')), "not a QR token", 0.5),
        (qr_response(token_with(b'{"exp": Infinity}')), "not a QR token", 0.5),
        (qr_response(token_with(b'{"exp": 1' + b"0" * 400 + b"}")), "not a QR token", 0.5),
        (qr_response(token_with(b'{"exp": 5}')), "over already", 0.5),
        (http_response(500), "status 500", 0.5),
        (http_response(500, b'{"detail": 5}'), "status 500", 0.5),
        (http_response(500, b'["detail"]'), "status 500", 0.5),
        (http_response(409, b'{"detail": "Cart 7 is out of service."}'), "Cart 7 is out of service.", 0.5),
        (http_response(401), "set DUCKYCART_KEY", 60),
        (http_response(503, Retry_After="9"), "busy", 9),
        (http_response(307, Location="http://127.0.0.1:9/"), "status 307", 0.5),
    ],
)
async def test_no_qr_is_said_and_asked_again(
    shop: FakeServer, desk: Desk, answer: Response, sentence: str, delay: float
) -> None:
    async with cart(shop.url, ask_for_qr=True) as it:
        link = await shop.cart()
        (await desk.next()).set_result(answer)
        nap = await it.naps.next()
        assert nap.seconds == delay
        assert sentence in (await it.driver.until("notice", times=1))[1]
        nap.wake()
        await shows_qr(it, desk, link)


async def test_asking_again_slows_down_and_begins_anew_after_a_success(shop: FakeServer, desk: Desk) -> None:
    async with cart(shop.url, ask_for_qr=True) as it:
        for answer, delay in (
            (http_response(500), 0.5),
            (http_response(500), 1),
            (http_response(500), 2),
            (qr_response(qr_token()), 285),
            (http_response(500), 0.5),
        ):
            (await desk.next()).set_result(answer)
            nap = await it.naps.next()
            assert nap.seconds == delay
            nap.wake()


async def test_a_qr_that_cannot_be_renewed_is_taken_down(shop: FakeServer, desk: Desk) -> None:
    async with cart(shop.url, ask_for_qr=True) as it:
        await shows_qr(it, desk, await shop.cart())
        (await it.naps.next()).wake()
        (await desk.next()).set_result(http_response(409))
        await it.driver.until("show_idle", times=2)


async def test_a_network_that_fails_is_said_and_asked_again(
    shop: FakeServer, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[httpx2.HTTPError] = [httpx2.ReadTimeout(""), httpx2.ConnectError("no route")]
    really: Callable[..., Awaitable[httpx2.Response]] = httpx2.AsyncClient.get

    async def get(client: httpx2.AsyncClient, url: str) -> httpx2.Response:
        if failures:
            raise failures.pop(0)
        return await really(client, url)

    monkeypatch.setattr(httpx2.AsyncClient, "get", get)
    async with cart(shop.url, ask_for_qr=True) as it:
        link = await shop.cart()
        (await it.naps.next()).wake()
        (await it.naps.next()).wake()
        assert "no route" in (await it.driver.until("notice", times=2))[1]
        await shows_qr(it, desk, link)


async def test_a_qr_that_a_screen_asked_for_is_on_the_screen(shop: FakeServer, desk: Desk) -> None:
    async with cart(shop.url, ask_for_qr=True) as it:
        link = await shop.cart()
        (await desk.next()).set_result(http_response(500))
        await it.naps.next()
        await send(link, CommandType.GENERATE_QR)
        await it.driver.until("show_qr", None)
        assert it.program.situation.state is CartState.QR


async def test_a_screen_that_asks_too_leaves_our_qr_up(shop: FakeServer, desk: Desk) -> None:
    async with cart(shop.url, ask_for_qr=True) as it:
        link = await shop.cart()
        await shows_qr(it, desk, link)
        await send(link, CommandType.GENERATE_QR)
        await it.driver.until("show_qr", url_of(qr_token()), times=2)
        assert ("show_qr", None) not in it.driver.told


async def test_nothing_is_asked_during_a_session(shop: FakeServer, desk: Desk) -> None:
    async with cart(shop.url, ask_for_qr=True) as it:
        link = await shop.cart()
        await shows_qr(it, desk, link)
        await send(link, CommandType.SESSION_STARTED, 5)
        await it.driver.until("start_shopping")
        await link.close()
        (await it.naps.next()).wake()
        link = await shop.cart()
        await send(link, CommandType.PAYMENT_CREATED, 5)
        await it.driver.until("hold_for_payment")
        assert desk.nobody_waits()


async def test_it_asks_again_after_coming_back(shop: FakeServer, desk: Desk) -> None:
    """A session may have come and gone meanwhile, and every QR of before is void then."""
    async with cart(shop.url, ask_for_qr=True) as it:
        link = await shop.cart()
        await shows_qr(it, desk, link)
        await it.naps.next()  # until the renewal
        await link.close()
        (await it.naps.next()).wake()
        link = await shop.cart()
        question = await desk.next()
        await send(link, CommandType.GENERATE_QR)
        question.set_result(qr_response(qr_token(n=2)))
        await it.driver.until("show_qr", url_of(qr_token(n=2)))


async def test_away_from_the_server_it_asks_nothing_and_takes_the_qr_down_before_its_end(
    shop: FakeServer, desk: Desk
) -> None:
    async with cart(shop.url, ask_for_qr=True) as it:
        link = await shop.cart()
        await shows_qr(it, desk, link)
        renewal = await it.naps.next()
        await link.close()
        away = await it.naps.next()
        renewal.wake()
        await it.driver.until("show_idle", times=2)
        assert desk.nobody_waits()
        away.wake()
        await desk.next()


async def test_a_tokens_payload_may_need_padding() -> None:
    assert {len(json.dumps({"exp": NOW, "n": "x" * n})) % 3 for n in range(3)} == {0, 1, 2}
    for n in range(3):
        async with server() as shop:
            desk = Desk(shop)
            async with cart(shop.url, ask_for_qr=True) as it:
                payload = json.dumps({"exp": NOW + 300, "n": "x" * n}).encode()
                (await desk.next()).set_result(qr_response(token_with(payload), Date=HTTP_NOW))
                assert (await it.naps.next()).seconds == 285
