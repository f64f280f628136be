"""The bus on NATS has a subject for each node and one for all, of this database alone.

Messages are sealed with a key that is in the database, and name their node, which must be one of the database's: so
neither somebody else on the same NATS nor a copy of the database can tell a cart or a screen anything.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from hashlib import blake2b, sha256
from hmac import compare_digest
from pathlib import Path
from typing import Any, Final

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from duckycart.bus.messages import Message, NotAMessage, decode, encode

log = structlog.get_logger()

MAX_WAITING: Final = 10_000  # messages not handed to the connection yet; beyond it they are dropped
MAX_UNSENT: Final = 1_048_576  # bytes the connection could not pass on; from twice as many on the library would wait
PING_SECONDS: Final = 3  # a connection that answers two of these with silence is dead
CONNECT_SECONDS: Final = 2
RECONNECT_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 1.0  # between two looks whether the connection lives
CLOSE_SECONDS: Final = 2.0  # for what was handed over to leave, at the end
MAX_REASON: Final = 200

_ALL: Final = "all"


def sealing_key(oldest_key: bytes) -> bytes:
    """Return a key that all servers of one database know, and nobody else: the same NATS may serve others.

    The key comes from the oldest of the database's signing keys, so it stays when another is added.
    """
    return sha256(b"the bus of " + oldest_key).digest()


class NatsBus:
    """A `Bus` that connects to NATS in the background, again and again, for as long as it takes; the log says so.

    The library's own reconnecting is not used: it gives up for good where a server refuses a login once.
    """

    def __init__(
        self,
        servers: tuple[str, ...],
        key: bytes,
        node: str,
        heard: Callable[[Message], None],
        knows: Callable[[str], bool],
        *,
        credentials: Path | None = None,
        ca: Path | None = None,
    ) -> None:
        """Begin to connect. `key` (16 to 64 bytes) is what the nodes of one database share. `heard` is called in the
        event loop with each message of a node that `knows` knows. Raises OSError for a `ca` that cannot be used."""
        self._key = key
        self._prefix = f"duckycart.{sha256(key).hexdigest()[:16]}"
        self._node = node
        self._heard = heard
        self._knows = knows
        self._options: dict[str, Any] = {
            "servers": list(servers),
            "name": node,
            "no_echo": True,
            "allow_reconnect": False,
            "max_reconnect_attempts": 1,  # of each server, until another round begins
            "reconnect_time_wait": 0,
            "connect_timeout": CONNECT_SECONDS,
            "ping_interval": PING_SECONDS,
            "max_outstanding_pings": 2,
            "flush_timeout": CLOSE_SECONDS,
            "error_cb": self._on_error,
        }
        if credentials is not None:
            self._options["user_credentials"] = str(credentials)
        if ca is not None:
            self._options["tls"] = ssl.create_default_context(cafile=str(ca))
        self._client: Client | None = None  # while it is connected and hears
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._changed = asyncio.Event()  # something waits, or it is the end
        self._dropped = 0  # since the last connection
        self._complained = False  # of the present outage; one line is enough
        self._closing = False
        self._work = asyncio.get_running_loop().create_task(self._run())

    @property
    def connected(self) -> bool:
        """Whether messages leave now, and those for this node are heard."""
        return self._client is not None and self._client.is_connected

    def tell(self, node: str, message: Message) -> None:
        self._hand_over(self._subject_of(node), message)

    def tell_others(self, message: Message) -> None:
        self._hand_over(f"{self._prefix}.{_ALL}", message)

    async def close(self) -> None:
        self._closing = True
        self._changed.set()
        if not self.connected:
            self._work.cancel()  # it is waiting for a server
        await asyncio.wait([self._work], timeout=CLOSE_SECONDS)
        self._work.cancel()
        await asyncio.gather(self._work, return_exceptions=True)

    def _subject_of(self, node: str) -> str:
        # A node's name may hold what a subject may not: dots, spaces.
        return f"{self._prefix}.node.{sha256(node.encode()).hexdigest()[:16]}"

    def _hand_over(self, subject: str, message: Message) -> None:
        # Kept for later it would only be stale: by then the sweeps have done it.
        client = self._client
        unsent = 0 if client is None else client.pending_data_size
        if not self.connected or len(self._waiting) >= MAX_WAITING or unsent >= MAX_UNSENT:
            self._dropped += 1
            return
        self._waiting.append((subject, self._seal(encode(message))))
        self._changed.set()

    def _seal(self, words: bytes) -> bytes:
        """Return the words with the name of this node before them, and the proof that a node of this database sent
        them."""
        named = b"%b\n%b" % (self._node.encode(), words)
        return b"%b\n%b" % (self._tag(named), named)

    def _open(self, payload: bytes) -> bytes | None:
        """Return the words, None if they come from a node that is none of this database's now: a server on a copy of
        the database has the key too.

        Raises NotAMessage for anything that was not sealed with the key.
        """
        tag, _, named = payload.partition(b"\n")
        if not compare_digest(tag, self._tag(named)):
            raise NotAMessage("not sealed with this shop's key")
        node, _, words = named.partition(b"\n")
        return words if self._knows(node.decode()) else None

    def _tag(self, named: bytes) -> bytes:
        return blake2b(named, digest_size=16, key=self._key).hexdigest().encode()

    async def _run(self) -> None:
        while not self._closing:
            client = Client()
            try:
                await self._connect(client)
                await self._pass_on(client)
            except Exception as error:  # whatever it is: a bus that is away hurts nobody
                self._complain(_reason(error))
            finally:
                self._client = None
                self._waiting.clear()
                await _leave(client)
            if not self._closing:
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _connect(self, client: Client) -> None:
        await client.connect(**self._options)
        for subject in (self._subject_of(self._node), f"{self._prefix}.{_ALL}"):
            await client.subscribe(subject, cb=self._on_message)
        await _reach(client)
        self._client = client
        url = client.connected_url
        log.info("bus connected", server=None if url is None else url.hostname, dropped=self._dropped)
        self._complained = False
        self._dropped = 0

    async def _pass_on(self, client: Client) -> None:
        """Publish what is handed over until the connection is lost, or until the end when everything has left.

        Whether the connection is lost is looked at: with a peer that does not read, the library waits for it and tells
        nobody.
        """
        publishing = asyncio.get_running_loop().create_task(self._publish(client))
        publishing.add_done_callback(self._on_published)
        try:
            while client.is_connected and not publishing.done():
                await asyncio.wait([publishing], timeout=LOOK_SECONDS)
        finally:
            publishing.cancel()
            await asyncio.wait([publishing], timeout=CLOSE_SECONDS)
        if not self._closing:
            self._complain("the connection is lost")

    async def _publish(self, client: Client) -> None:
        while not self._closing:
            self._changed.clear()
            await self._publish_waiting(client)
            await self._changed.wait()
        await self._publish_waiting(client)
        await _reach(client)

    async def _publish_waiting(self, client: Client) -> None:
        while self._waiting and client.is_connected:
            subject, payload = self._waiting.popleft()
            await client.publish(subject, payload)

    async def _on_message(self, message: Msg) -> None:
        try:
            words = self._open(message.data)
            if words is not None:
                self._heard(decode(words))
        except NotAMessage as error:
            log.warning("bus message not understood", reason=str(error))
        except Exception:
            log.exception("bus message not acted upon")  # the next one may be fine

    def _on_published(self, publishing: asyncio.Task[None]) -> None:
        if not publishing.cancelled() and (error := publishing.exception()) is not None:
            self._complain(_reason(error))

    async def _on_error(self, error: Exception) -> None:
        self._complain(_reason(error))

    def _complain(self, reason: str) -> None:
        if not self._complained:
            self._complained = True
            log.warning("bus away, the sweeps do its work until it is back", reason=reason)


async def _reach(client: Client) -> None:
    """Return when the server has read all that was handed to the client.

    The library's PING overtakes what it has not written yet; by the time it is answered, that is written.
    """
    await client.flush()
    await client.flush()


async def _leave(client: Client) -> None:
    if not client.is_connected:
        # Its own close would wait for a peer that does not read.
        writer = getattr(client._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await client.close()
    except Exception as error:
        log.info("bus left in a hurry", reason=_reason(error))


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:MAX_REASON]
