"""An answer is written in one piece; the first bytes of a stream do not wait for the next."""

import asyncio
from asyncio.selector_events import _SelectorSocketTransport  # type: ignore[attr-defined]  # asyncio names no other
from typing import Any, cast
from unittest import mock

from duckycart.testing.waiting import until
from duckycart.whole_answers import WholeAnswers
from tests.world import Shop


class Wire:
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.closing = False

    def write(self, data: bytes) -> None:
        self.pieces.append(data)

    def close(self) -> None:
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing


def answers() -> tuple[WholeAnswers, Wire]:
    wire = Wire()
    return WholeAnswers(cast(asyncio.Transport, wire), asyncio.get_running_loop()), wire


async def test_head_and_body_are_one_piece_and_the_next_answer_another() -> None:
    out, wire = answers()
    for part in (b"head 1 ", b"body 1", b"head 2 ", b"body 2"):
        out.write(part)
    assert wire.pieces == [b"head 1 body 1", b"head 2 body 2"]


async def test_what_nothing_follows_goes_out_with_the_turn() -> None:
    out, wire = answers()
    out.write(b"head")
    await asyncio.sleep(0)
    assert wire.pieces == [b"head"]
    out.write(b"event")
    await asyncio.sleep(0)
    assert wire.pieces == [b"head", b"event"]


async def test_what_was_written_comes_before_the_end() -> None:
    out, wire = answers()
    out.write(b"head")
    out.close()
    assert (wire.pieces, wire.closing) == ([b"head"], True)
    out.write(b"late")
    await asyncio.sleep(0)
    assert wire.pieces == [b"head"]


async def test_a_call_is_answered_in_one_piece(shop: Shop) -> None:
    pieces: list[bytes] = []
    write = _SelectorSocketTransport.write

    def noted(self: Any, data: bytes) -> None:
        pieces.append(bytes(data))
        write(self, data)

    with mock.patch.object(_SelectorSocketTransport, "write", noted):
        answer = await shop.http.get("/healthz")
        head = await shop.http.head("/healthz")
    of_server = [piece for piece in pieces if piece.startswith(b"HTTP/1.1 ")]
    assert [piece.partition(b"\r\n\r\n")[2] for piece in of_server] == [answer.content, b""]
    assert (answer.status_code, head.status_code) == (200, 200)


async def test_a_stream_begins_before_anything_happens(shop: Shop) -> None:
    async with shop.http.stream("GET", "/sse/1", headers=shop.cart_headers()) as stream:
        assert stream.status_code == 200
        await until(lambda: len(shop.inside.channels) == 1)
