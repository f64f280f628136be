"""The link to the server: how it is opened, what comes over it, and what happens when it is gone."""

import asyncio
import logging
import re
from typing import NoReturn

import pytest

from duckycart.cart.address import base_url
from duckycart.cart.machine import CartState, Situation
from duckycart.cart.program import CartProgram
from duckycart.testing.waiting import until
from duckycart.wire import CommandType
from tests.cart.world import LongestDelays, Naps, Notebook, cart, http_response, send, server

KEY = "k-3f9a77c1"


async def test_it_says_who_it_is() -> None:
    async with server() as shop, cart(shop.url, key=KEY):
        await shop.cart()
        request = shop.handshakes[0]
        assert request.path == "/ws/hardware/7"
        assert request.headers["X-API-Key"] == KEY
        assert re.fullmatch("[0-9a-f]{32}", request.headers["Cart-Boot-Id"])
        assert "Sec-WebSocket-Extensions" not in request.headers


async def test_without_a_key_it_sends_none() -> None:
    async with server() as shop, cart(shop.url):
        await shop.cart()
        assert "X-API-Key" not in shop.handshakes[0].headers


async def test_the_boot_id_stays_for_a_run_of_the_program_and_is_new_for_the_next() -> None:
    async with server() as shop:
        async with cart(shop.url) as first:
            await (await shop.cart()).close()
            (await first.naps.next()).wake()
            await shop.cart()
        async with cart(shop.url):
            await shop.cart()
        one, again, other = (request.headers["Cart-Boot-Id"] for request in shop.handshakes)
        assert one == again != other


async def test_a_session_from_qr_to_end_in_order() -> None:
    async with server() as shop, cart(shop.url) as it:
        link = await shop.cart()
        await send(link, CommandType.GENERATE_QR)
        await send(link, CommandType.SESSION_STARTED, 5)
        await send(link, CommandType.PAYMENT_CREATED, 5)
        await it.driver.until("hold_for_payment")
        assert it.program.situation == Situation(CartState.HELD, 5)
        await send(link, CommandType.END_SESSION, 5)
        await it.driver.until("return_to_idle")
        assert it.driver.work() == [
            ("show_qr", None),
            ("start_shopping", 5),
            ("hold_for_payment", 5),
            ("return_to_idle",),
        ]
        assert it.driver.told[0] == ("show_idle",)


async def test_many_commands_at_once_keep_their_order() -> None:
    async with server() as shop, cart(shop.url) as it:
        link = await shop.cart()
        for session_id in range(1, 201):
            for kind in (CommandType.SESSION_STARTED, CommandType.PAYMENT_CREATED, CommandType.END_SESSION):
                await link.send(f'{{"type": "{kind}", "data": {session_id}}}')
        await it.driver.until("return_to_idle", times=200)
        assert it.driver.work() == [
            entry
            for session_id in range(1, 201)
            for entry in (
                ("start_shopping", session_id),
                ("hold_for_payment", session_id),
                ("return_to_idle",),
            )
        ]


async def test_a_new_session_replaces_the_one_it_had() -> None:
    async with server() as shop, cart(shop.url) as it:
        link = await shop.cart()
        await send(link, CommandType.SESSION_STARTED, 5)
        await send(link, CommandType.PAYMENT_CREATED, 6)
        await it.driver.until("hold_for_payment", 6)
        assert it.driver.work() == [
            ("start_shopping", 5),
            ("return_to_idle",),
            ("start_shopping", 6),
            ("hold_for_payment", 6),
        ]


async def test_a_session_goes_on_over_a_broken_link() -> None:
    async with server() as shop, cart(shop.url) as it:
        link = await shop.cart()
        await send(link, CommandType.SESSION_STARTED, 5)
        link.transport.abort()
        (await it.naps.next()).wake()
        link = await shop.cart()
        await send(link, CommandType.SESSION_STARTED, 5)
        await send(link, CommandType.PAYMENT_CREATED, 5)
        await it.driver.until("hold_for_payment", 5)
        assert it.driver.work() == [("start_shopping", 5), ("hold_for_payment", 5)]


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "hello",
        "null",
        "[]",
        '{"type": "generate_qr"}',
        '{"type": "generate_qr", "data": null, "more": 1}',
        '{"type": "self_destruct", "data": null}',
        '{"type": "end_session", "data": null}',
        '{"type": "session_started", "data": true}',
        '{"type": "session_started", "data": "5"}',
        "[" * 60_000,
        b'{"type": "session_started", "data": 6}',
    ],
    ids=lambda garbage: repr(garbage[:50]),
)
async def test_a_frame_that_is_no_command_is_shown_and_ignored(garbage: str | bytes) -> None:
    async with server() as shop, cart(shop.url) as it:
        link = await shop.cart()
        await link.send(garbage)
        await it.driver.until("notice")
        assert it.driver.work() == []
        await send(link, CommandType.SESSION_STARTED, 5)
        await it.driver.until("start_shopping", 5)
        assert len(shop.handshakes) == 1


async def test_it_comes_back_ever_more_slowly_to_a_server_that_closes_at_once() -> None:
    async with server() as shop, cart(shop.url) as it:
        delays = []
        for _ in range(9):
            await (await shop.cart()).close(1012)
            nap = await it.naps.next()
            delays.append(nap.seconds)
            nap.wake()
        assert delays == [0.5, 1, 2, 4, 8, 16, 20, 20, 20]


async def test_a_connection_that_lasted_ten_seconds_begins_the_delays_again() -> None:
    async with server() as shop, cart(shop.url) as it:
        for lasted, delay in ((9, 0.5), (9, 1), (10, 0.5), (9, 1)):
            link = await shop.cart()
            await it.driver.until("connection", True, times=len(shop.handshakes))
            it.clock.move(lasted)
            await link.close()
            nap = await it.naps.next()
            assert nap.seconds == delay
            nap.wake()


async def test_a_server_that_is_not_there_is_tried_again() -> None:
    async with server() as shop:
        url = shop.url
    async with cart(url) as it:
        (await it.naps.next()).wake()
        assert (await it.naps.next()).seconds == 1
        assert "nothing listens there" in it.driver.told[-1][2]


async def test_a_server_that_is_no_web_server_is_tried_again() -> None:
    async def slam(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    async with await asyncio.start_server(slam, "127.0.0.1", 0) as listening:
        host, port = listening.sockets[0].getsockname()
        async with cart(f"http://{host}:{port}") as it:
            (await it.naps.next()).wake()
            assert (await it.naps.next()).seconds == 1


@pytest.mark.parametrize(
    ("status", "retry_after", "delay", "sentence"),
    [
        (400, "1", 60, "check its id and the URL"),
        (401, None, 60, "set DUCKYCART_KEY"),
        (403, None, 60, "its key is wrong, or it is unknown or disabled"),
        (404, None, 60, "no cart server at this URL"),
        (429, "10", 10, "connects too often"),
        (503, "7", 7, "busy or about to stop"),
        (503, "3600", 60, "busy or about to stop"),
        (503, "0", 0.5, "busy or about to stop"),
        (503, "-5", 0.5, "busy or about to stop"),
        (503, "Sun, 17 Mar 2030 17:46:40 GMT", 0.5, "busy or about to stop"),
        (503, None, 0.5, "busy or about to stop"),
        (500, None, 0.5, "answered with status 500"),
        (200, None, 0.5, "answered with status 200"),
    ],
)
async def test_a_refusal_says_what_to_do_and_is_tried_again(
    status: int, retry_after: str | None, delay: float, sentence: str
) -> None:
    async with server() as shop:
        shop.refusals.append(http_response(status, b"", **({"Retry-After": retry_after} if retry_after else {})))
        async with cart(shop.url, key=KEY) as it:
            nap = await it.naps.next()
            assert nap.seconds == delay
            assert sentence in (await it.driver.until("connection", False))[2]
            nap.wake()
            await shop.cart()


async def test_the_longer_of_back_off_and_retry_after_counts() -> None:
    async with server() as shop:
        shop.refusals += [http_response(503, Retry_After="3") for _ in range(5)]
        async with cart(shop.url) as it:
            delays = []
            for _ in range(5):
                nap = await it.naps.next()
                delays.append(nap.seconds)
                nap.wake()
            assert delays == [3, 3, 3, 4, 8]


async def test_a_redirect_does_not_take_the_key_along() -> None:
    async with server() as shop, server() as stranger:
        shop.refusals.append(http_response(307, Location=f"{stranger.url}/ws/hardware/7"))
        async with cart(shop.url, key=KEY) as it:
            await it.naps.next()
            assert "status 307" in (await it.driver.until("connection", False))[2]
            assert stranger.handshakes == []


@pytest.mark.parametrize(
    ("code", "delay", "sentence"),
    [
        (1000, 0.5, "closed the connection"),
        (1001, 0.5, "stops"),
        (1008, 60, "withdrew this cart's key"),
        (1011, 0.5, "code 1011"),
        (4408, 0.5, "did not hear"),
        (4409, 60, "stop one of the two"),
    ],
)
async def test_a_close_says_what_to_do_and_how_long_to_stay_away(code: int, delay: float, sentence: str) -> None:
    async with server() as shop, cart(shop.url) as it:
        await (await shop.cart()).close(code)
        nap = await it.naps.next()
        assert nap.seconds == delay
        assert sentence in (await it.driver.until("connection", False))[2]
        nap.wake()
        await shop.cart()


async def test_stopping_closes_with_1000() -> None:
    async with server() as shop:
        async with cart(shop.url) as it:
            link = await shop.cart()
            await it.driver.until("connection", True)
        await link.wait_closed()
        assert link.close_code == 1000


async def test_hardware_that_fails_ends_the_program() -> None:
    class Broken(Notebook):
        def start_shopping(self, session_id: int) -> NoReturn:
            raise RuntimeError("the lock does not move")

    async with server() as shop:
        program = CartProgram(7, shop.url, Broken(), ask_for_qr=False, sleep=Naps(), random=LongestDelays())
        running = asyncio.create_task(program.run())
        link = await shop.cart()
        await link.send('{"type": "session_started", "data": 5}')
        with pytest.raises(ExceptionGroup, match="unhandled") as failure:
            await running
        assert failure.value.subgroup(RuntimeError) is not None


async def test_the_key_is_never_shown_or_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with server() as shop:
        shop.refusals.append(http_response(401))
        async with cart(shop.url, key=KEY, ask_for_qr=True) as it:
            (await it.naps.next()).wake()
            await shop.cart()
            await it.driver.until("notice")
            assert KEY not in str(it.driver.told)
            assert KEY not in repr(vars(it.program)["_http"])
    # The server of this test writes what it hears; the cart's own words must not have it.
    assert not [r for r in caplog.records if KEY in r.getMessage() and r.name != "websockets.server"]


@pytest.mark.parametrize("key", ["", " k", "k\n", "k\r\nX-Evil: 1", "schlüssel", "\x00"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ValueError, match="visible ASCII") as refusal:
        CartProgram(7, "http://shop", Notebook(), key=key)
    assert "Evil" not in str(refusal.value)
    assert "schl" not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://shop:8000", "http://shop:8000"),
        ("ws://shop:8000/", "http://shop:8000"),
        ("https://shop", "https://shop"),
        ("wss://shop:8443/carts/", "https://shop:8443/carts"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_a_url_may_be_written_in_four_ways(url: str, base: str) -> None:
    assert str(base_url(url)) == base


@pytest.mark.parametrize(
    "url",
    [
        "",
        "shop:8000",
        "ftp://shop",
        "http://",
        "http://shop:x",
        "http://shop:99999",
        "http://me:pw@shop",
        "http://shop?a=1",
        "http://shop/#a",
        f"http://{'a' * 70}",
    ],
)
def test_what_is_no_base_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="the URL"):
        base_url(url)


async def test_a_path_before_ours_is_kept() -> None:
    async with server() as shop, cart(f"{shop.url}/carts/"):
        await shop.cart()
        assert shop.handshakes[0].path == "/carts/ws/hardware/7"


async def test_a_dead_server_is_noticed_by_our_own_pings() -> None:
    async with server() as shop, cart(shop.url, heartbeat=0.01, goodbye=0.01) as it:
        link = await shop.cart()
        link.transport.pause_reading()  # from now on it answers nothing
        await it.driver.until("connection", False)
        link.transport.resume_reading()


async def test_calls_wait_no_longer_when_the_socket_is_back() -> None:
    async with server() as shop, cart(shop.url) as it:
        link = await shop.cart()
        await send(link, CommandType.SESSION_STARTED, 5)
        await it.naps.next()  # of the calls, until the basket is tried again; nobody wakes it
        assert len(shop.calls) == 1
        await link.close()
        (await it.naps.next()).wake()
        await shop.cart()
        await until(lambda: len(shop.calls) == 2)
