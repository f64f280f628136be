"""Carts speak RFC 6455 by many libraries, so the carts' socket passes Autobahn's cases, as kosoku runs them.

The cases want an echo, and a cart's socket says nothing to what a cart says. So whole messages are echoed by the
protocol behind it; the handshake, the guards, the turns and every byte of the parsing are the carts' own. What is cut
away are our bounds on what a cart may send: the cases send up to 16 MiB, and thousands of frames.
"""

import pytest
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Event, Protocol, State

from tests.clients.library import library
from tests.world import open_shop

pytestmark = pytest.mark.proof

NOT_OURS = ["12.*", "13.*"]  # compression, which no cart is offered
OTHERWISE = {
    # A text that is wrong is noticed when the message is whole; of carts' texts nobody reads one.
    **dict.fromkeys(("6.4.1", "6.4.2", "6.4.3", "6.4.4"), ("NON-STRICT", "OK")),
    "7.1.5": ("FAILED", "WRONG CODE"),  # the library answers 1002 to a close within a message in fragments
}
GOOD = {"OK", "INFORMATIONAL"}
LIMIT = 64 * 1024 * 1024


class Echo(Protocol):
    """Says each whole message again. A text that is not UTF-8 fails the connection, as RFC 6455 has it (8.1)."""

    _opcode = Opcode.TEXT
    _parts: list[bytes]

    def events_received(self) -> list[Event]:
        events = super().events_received()
        for event in events:
            if isinstance(event, Frame) and self.state is State.OPEN:
                self._echo(event)
        return events

    def _echo(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._opcode, self._parts = frame.opcode, []
        elif frame.opcode is not Opcode.CONT:
            return
        self._parts.append(bytes(frame.data))
        if not frame.fin:
            return
        message = b"".join(self._parts)
        if self._opcode is Opcode.BINARY:
            self.send_binary(message)
            return
        try:
            message.decode()
        except UnicodeDecodeError:
            self.fail(CloseCode.INVALID_DATA)
        else:
            self.send_text(message)


@pytest.mark.timeout(600)
async def test_the_carts_socket_passes_autobahns_cases(sqlite_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kosoku = library("kosoku", "the carts' socket by RFC 6455")
    monkeypatch.setattr("duckycart.hardware.socket.Protocol", Echo)
    for bound in ("MAX_FRAME", "MAX_EARLY", "MAX_UNREAD"):
        monkeypatch.setattr(f"duckycart.hardware.socket.{bound}", LIMIT)
    monkeypatch.setattr("duckycart.guards.frames.FLOOD_FRAMES", LIMIT)
    async with open_shop(sqlite_database, connects=10_000) as shop:
        await shop.furnish()
        url = f"ws://127.0.0.1:{shop.port}/ws/hardware/1?key={shop.keys[1]}"
        try:
            results = await kosoku.run_fuzzingclient(url, ["*"], NOT_OURS)
        except kosoku.FailureError as failure:
            results = failure.results
    verdicts = {result.case_id: (result.behavior.value, result.behavior_close.value) for result in results}
    assert {case: verdict for case, verdict in verdicts.items() if not GOOD.issuperset(verdict)} == OTHERWISE
    assert len(verdicts) > 240
