"""A cart's connection is here down to its frames, with doubles of a cart, named after what they do with theirs."""

import asyncio
import json
import random
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, Protocol, TypeVar

from websockets.frames import Frame, Opcode
from websockets.http11 import Response

from duckycart.testing.endpoint import Endpoint
from duckycart.testing.frames import Frames
from duckycart.testing.waiting import PATIENCE, until

Command = tuple[str, int | None]  # its type and its data, the session
AGAIN_SECONDS: Final = 0.02  # after an attempt that failed, until the next


class Runs(Protocol):
    """A double that goes on by itself."""

    async def run(self) -> None:
        """Go on for ever."""


R = TypeVar("R", bound=Runs)

_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: the close is a reset


class CartConnection:
    """A cart's WebSocket down to its frames. What comes is read at once; the test says what goes out, and when it
    breaks.

    Pings are answered as long as `answer_pings` is true, which it is unless `open` was told otherwise.
    """

    def __init__(
        self, socket: Frames, answer_pings: bool, heard: Callable[["CartConnection", str], None] | None
    ) -> None:
        self._socket = socket
        self._heard = heard
        self._reading: asyncio.Task[None] | None = None
        self.frames: list[Frame] = []  # that came, in order, also pings and the close
        self.answer_pings = answer_pings

    @classmethod
    async def open(
        cls,
        endpoint: Endpoint,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        answer_pings: bool = True,
        heard: Callable[["CartConnection", str], None] | None = None,
    ) -> "CartConnection":
        """Connect, and wait for the answer to the handshake, whichever that is: `response` holds it.

        `heard` is called with each text, before its ping is answered.

        Raises OSError when nobody takes the connection, TimeoutError when nothing is answered.
        """
        it = cls(await Frames.open(endpoint, path, headers or {}), answer_pings, heard)
        answered = asyncio.get_running_loop().create_future()
        it._reading = asyncio.create_task(it._read(answered))
        try:
            async with asyncio.timeout(PATIENCE):
                await answered
        except BaseException:
            it.cut()
            raise
        return it

    @property
    def response(self) -> Response | None:
        """The answer to the handshake; None if the connection ended before."""
        return self._socket.response

    @property
    def closed(self) -> tuple[int, str] | None:
        """Code and reason of the server's close frame, if one came."""
        return self._socket.closed

    @property
    def status(self) -> int:
        """The status that the handshake was answered with: 101 if the cart was let in."""
        assert self.response is not None, "the connection ended before the handshake was answered"
        return self.response.status_code

    @property
    def texts(self) -> list[str]:
        """The commands that came, as they were written, in order."""
        return [bytes(frame.data).decode() for frame in self.frames if frame.opcode is Opcode.TEXT]

    @property
    def pings(self) -> list[bytes]:
        """The payloads of the pings that came, in order."""
        return [bytes(frame.data) for frame in self.frames if frame.opcode is Opcode.PING]

    def pong(self, payload: bytes) -> None:
        """Send a pong, whether or not a ping asked for it."""
        self._socket.protocol.send_pong(payload)
        self._socket.answer()

    def send(self, data: bytes) -> None:
        """Send bytes as they are, past the protocol."""
        self._socket.writer.write(data)

    def send_text(self, text: bytes) -> None:
        """Send a text frame."""
        self._socket.protocol.send_text(text)
        self._socket.answer()

    def stop_reading(self) -> None:
        """Leave unread whatever comes from now on, so that what the server sends fills its buffers."""
        transport = self._socket.writer.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()

    async def gone(self, seconds: float | None = PATIENCE) -> None:
        """Wait until the connection has ended. Raises TimeoutError after so many seconds; None waits for ever."""
        assert self._reading is not None
        async with asyncio.timeout(seconds):
            await asyncio.wait([self._reading])

    def end_of_stream(self) -> None:
        """Say, in the words of TCP, that nothing more will be sent; what comes is read as before."""
        self._socket.writer.write_eof()

    def cut(self, *, reset: bool = False) -> None:
        """Break the connection without a close frame; with `reset` the server's end sees an error, not an end."""
        if self._reading is not None:
            self._reading.cancel()
        if reset:
            self._socket.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._socket.writer.transport.abort()

    async def _read(self, answered: "asyncio.Future[None]") -> None:
        try:
            while True:
                frames = await self._socket.read()
                self.frames += frames
                if self._heard is not None:
                    for frame in frames:
                        if frame.opcode is Opcode.TEXT:
                            self._heard(self, bytes(frame.data).decode())
                if self.answer_pings:
                    self._socket.answer()
                else:
                    self._socket.protocol.data_to_send()  # and never sent
                if self.response is not None and not answered.done():
                    answered.set_result(None)
        except (ConnectionError, EOFError):
            pass
        finally:
            if not answered.done():
                answered.set_result(None)
            self._socket.writer.close()


class PoliteCart:
    """A cart that does what the protocol asks of it: it reads every command, answers every ping, and comes back.

    As soon as its connection ends it opens the next, as long as it runs. It acts on nothing: the commands that it read
    are there for the test to look at.

        async with running(PoliteCart(Endpoint.of("http://127.0.0.1:8000"), 1, key)) as cart:
            ...
            await cart.hears("session_started", 7)
    """

    answer_pings = True

    def __init__(
        self,
        endpoint: Endpoint | Sequence[Endpoint],
        cart_id: int,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Make a cart that is not connected yet. Of several endpoints, one is drawn for each connection, as a balancer
        would. `headers` go with the key."""
        self.id = cart_id
        self.path = f"/ws/hardware/{cart_id}"
        self.headers = {**({} if key is None else {"X-API-Key": key}), **(headers or {})}
        self.connections: list[list[Command]] = []  # what each of those that were let in was told
        self.closes: list[int | None] = []  # the code that each of them was closed with; None: it broke
        self.refusals: Counter[int] = Counter()  # by the status of the answer
        self._endpoints = [endpoint] if isinstance(endpoint, Endpoint) else list(endpoint)

    @property
    def commands(self) -> list[Command]:
        """The commands that this cart read, on all its connections, in order."""
        return [command for connection in self.connections for command in connection]

    async def hears(self, kind: str, data: int | None = None) -> None:
        """Wait until the cart has read this command. Raises TimeoutError after PATIENCE."""
        try:
            await until(lambda: (kind, data) in self.commands)
        except TimeoutError:
            raise TimeoutError(f"not {(kind, data)}, but {self.commands}") from None

    async def run(self) -> None:
        """Connect for ever."""
        while True:
            commands: list[Command] = []

            def heard(connection: CartConnection, text: str, commands: list[Command] = commands) -> None:
                message = json.loads(text)
                commands.append((message["type"], message["data"]))
                self.heard(connection)

            try:
                endpoint = random.choice(self._endpoints)
                connection = await CartConnection.open(
                    endpoint, self.path, self.headers, answer_pings=self.answer_pings, heard=heard
                )
            except (OSError, TimeoutError):
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            try:
                if connection.response is None or connection.status != 101:
                    if connection.response is not None:
                        self.refusals[connection.status] += 1
                        self.refused(connection.response)
                    await asyncio.sleep(AGAIN_SECONDS)
                    continue
                self.connections.append(commands)
                self.connected(connection)
                await connection.gone(None)
                self.closes.append(None if connection.closed is None else connection.closed[0])
            finally:
                connection.cut()

    def connected(self, connection: CartConnection) -> None:
        """Do what this double does with a connection that was let in: nothing."""

    def refused(self, response: Response) -> None:
        """Do what this double does when its handshake was refused with this answer: nothing."""

    def heard(self, connection: CartConnection) -> None:
        """Do what this double does when it has read a command, before the ping is answered: nothing."""


class SilentCart(PoliteCart):
    """A cart that reads everything and sends nothing: its pongs are lost on the way.

    A server may not take what it sent for received, and has to give the connection up in the end.
    """

    answer_pings = False


class DeafCart(PoliteCart):
    """A cart that stays connected and reads nothing: its program hangs.

    What a server sends fills its buffers, and its pings are not answered.
    """

    answer_pings = False

    def connected(self, connection: CartConnection) -> None:
        """Leave unread whatever comes from now on."""
        connection.stop_reading()


class CuttingCart(PoliteCart):
    """A cart whose connection breaks over a command: the command was read, and its pong is lost.

    A server has to say it again on the next connection, or to know better. After so many `cuts` it is polite.
    """

    cuts = 1

    def heard(self, connection: CartConnection) -> None:
        """Break the connection, while there are cuts left."""
        if self.cuts > 0:
            self.cuts -= 1
            connection.cut()


@asynccontextmanager
async def running(cart: R) -> AsyncIterator[R]:
    """Run a double for the block; at its end the connection breaks, and whatever the double failed with is raised."""
    task = asyncio.create_task(cart.run())
    try:
        yield cart
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
