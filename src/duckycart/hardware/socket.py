"""A cart's WebSocket is a protocol class of our own, to which uvicorn's HTTP class hands the upgrade.

server.py chooses it for every WebSocket upgrade at or below `/ws/hardware` (`asks_for_cart`), and hands it the request
that uvicorn has parsed; frames are parsed by websockets' sans-I/O protocol. The handshake stays open while the claim
runs in its thread, so that a cart that may not connect is refused with an HTTP status; bytes that arrive meanwhile wait
in a small buffer.
"""

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import parse_qs

import structlog
from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.frames import Frame, Opcode
from websockets.protocol import SEND_EOF, Protocol, Side, State

from duckycart.addresses import Client, client_of, within
from duckycart.errors import BadRequest
from duckycart.guards.frames import FrameGuard
from duckycart.guards.places import Places
from duckycart.guards.turns import InTurns
from duckycart.handshake import FIRST_FRAME_SECONDS, origin_form
from duckycart.hardware.admission import NotAdmitted
from duckycart.hardware.catchup import Filled
from duckycart.hardware.ending import Ended, Ending, Refused
from duckycart.hardware.link import Close, Link, NeedRows, Outputs, Ping, Read, Send
from duckycart.hardware.opening import Headers, Opening, accepted, opening_of, rejected
from duckycart.keys import bearer, hash_of
from duckycart.lifecycle.boots import checked_boot_id
from duckycart.origins import refusal
from duckycart.settings import Settings
from duckycart.wire import ID, MAX_ID, Command, encode

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from duckycart.hardware.connect import Connector
    from duckycart.hardware.dispatch import Dispatch

log = structlog.get_logger()

PATH: Final = b"/ws/hardware"
MAX_FRAME: Final = 4096  # bytes; carts owe nothing but pongs (125 at most)
MAX_ADDRESS: Final = 45  # characters that are kept of where a cart comes from: an IPv6 address, at the most
MAX_ASKED: Final = 16_384  # bytes of a handshake's target and headers; what carts send is a twentieth of that
MAX_EARLY: Final = 4096  # bytes before the handshake is answered
MAX_UNREAD: Final = 16_384  # bytes our kernel cannot pass on; 200 commands, so the reader is dead (F24)
CLOSE_SECONDS: Final = 3.0  # for the cart to answer our close frame, or to read our refusal

# Ends that somebody should look at.
_TROUBLE: Final = frozenset(
    {Ended.PROTOCOL_ERROR, Ended.FRAME_TOO_BIG, Ended.FLOOD, Ended.DID_NOT_READ, Ended.NO_PONG, Ended.WITHDRAWN,
     Ended.ERROR}
)  # fmt: skip
_CART_ID: Final = re.compile(rf"/ws/hardware/({ID})")
_quiet: Final = logging.getLogger("duckycart.websockets")  # the library's own lines: URLs with keys, once per frame


class HardwareSocket(InTurns, asyncio.Protocol):
    """One connection of a cart, from the handshake to its end. All parts of the server that it uses come from the
    lifespan state, under `shop`."""

    __slots__ = (
        "_abort_timer",
        "_connector",
        "_dispatch",
        "_early",
        "_ended",
        "_guard",
        "_loop",
        "_moment",
        "_opened_at",
        "_places",
        "_protocol",
        "_server_state",
        "_settings",
        "_task",
        "_transport",
        "bucket",
        "link",
    )

    link: Link

    def __init__(self, config: "Config", server_state: "ServerState", app_state: dict[str, Any]) -> None:
        super().__init__()
        self._connector: Connector = app_state["shop"].connector
        self._dispatch: Dispatch = app_state["shop"].dispatch
        self._settings: Settings = app_state["shop"].settings
        self._places: Places = app_state["shop"].places
        self._server_state = server_state
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None  # None before the connection and after its end
        self._protocol: Protocol | None = None  # None until it is open, and after the end
        self._early: bytearray | None = None  # what arrived while the claim runs; None at other times
        self._task: asyncio.Task[None] | None = None  # the handshake
        self._moment: asyncio.TimerHandle | None = None  # before the first frame
        self._abort_timer: asyncio.TimerHandle | None = None
        self._opened_at: float | None = None  # None until the handshake was answered with 101 (monotonic)
        self._ended: Ended | Refused | None = None  # the first cause of its end, None while there is none
        self.bucket = -1

    @property
    def gone(self) -> bool:
        transport = self._transport  # once: claims ask from a writer's thread
        return transport is None or transport.is_closing()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server_state.connections.add(self)  # type: ignore[arg-type]  # uvicorn knows its own classes only

    def data_received(self, data: bytes) -> None:
        if self._early is not None:
            self._early += data
            if len(self._early) > MAX_EARLY:
                self._abort(Refused.TOO_EARLY)
        else:
            self._came(data)

    def eof_received(self) -> None:
        self._ends(Ended.CART_LEFT)
        self._abort_after()  # the transport closes itself now, but only once its buffer is read

    def pause_writing(self) -> None:
        self._abort(Ended.DID_NOT_READ)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server_state.connections.discard(self)
        if self._transport is not None:
            self._places.leave(self._transport)
        self._transport = None
        self._stop()
        self._ends(Ended.CART_LEFT if exc is None else Ended.BROKEN)
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.parser.close()  # a generator that holds the protocol that holds it
        for timer in (self._moment, self._abort_timer):
            if timer is not None:
                timer.cancel()
        self._moment = self._abort_timer = None
        if self._task is not None:
            self._task.cancel()
        if hasattr(self, "link"):
            self.link.lost()
            ending = self._ending(protocol)
            if self._opened_at is not None:
                self._log_ended(ending, protocol)
            self._connector.lost(self, ending)
        if protocol is not None:
            protocol.parser_exc = None  # its traceback holds that generator

    def shutdown(self) -> None:
        """Close the connection since uvicorn stops; the cart is to come back when the server does."""
        if hasattr(self, "link") and self.link.epoch:
            self.close(Ended.SERVER_STOPPED)
        else:
            self._abort(Refused.STOPPING)

    # The handshake

    def open(self, target: bytes, headers: Headers) -> None:
        """Judge the cart's request, and answer it when its claim is done; the headers' names are in lower case."""
        self._early = bytearray()
        self._task = self._loop.create_task(self._handshake(opening_of(target, headers)))

    async def _handshake(self, opening: Opening) -> None:
        cart_id: int | None = None
        client = client_of(self._peer(), opening.header, self._settings.trusted_proxies)
        try:
            cart_id = _cart_id(opening.path)
            key_hash, boot_id = self._read_request(opening, client)
            self.link = self._connector.link(cart_id)
            filled = await self._connector.connect(self, key_hash, boot_id, client.name[:MAX_ADDRESS])
            if self.gone:
                self.link.lost()
            else:
                self._opens(opening, client, filled)
        except NotAdmitted as refusal:
            if cart_id is not None:
                self._connector.refusals.add(cart_id, refusal.why, client.name[:MAX_ADDRESS])
            self._refuse(opening, client, refusal)
        except asyncio.CancelledError:  # the connection is lost
            self._log_refused(opening, client, Refused.CART_LEFT)
            raise
        except Exception:
            log.exception("handshake failed")
            self._abort(Refused.ERROR)
        finally:
            self._task = None

    def _opens(self, opening: Opening, client: Client, filled: Filled) -> None:
        """Let the cart in, which is claimed."""
        assert self._transport is not None
        self._transport.set_write_buffer_limits(high=MAX_UNREAD)
        self._places.admit(self._transport)
        self._transport.write(accepted(opening, self._server_state.default_headers))
        self._protocol = Protocol(Side.SERVER, state=State.OPEN, max_size=MAX_FRAME, logger=_quiet)
        self._opened_at = self._connector.monotonic()
        self._guard = FrameGuard(self._opened_at)
        log.info(
            "cart connected",
            cart=self.link.cart_id,
            epoch=filled.epoch,
            boot=filled.generation,
            address=client.name,
            catch_up=[row.seq for row in filled.rows],
        )
        early, self._early = self._early, None
        # Until then the link waits for its rows, whatever is offered; if it is gone by then, they are for the next one.
        self._moment = self._loop.call_later(FIRST_FRAME_SECONDS, self._first_frame, filled)
        if early:
            self._came(bytes(early))

    def _first_frame(self, filled: Filled) -> None:
        self._moment = None  # it would keep the rows for as long as the connection lasts
        self.fill(filled.rows, filled.through)

    def _read_request(self, opening: Opening, client: Client) -> tuple[bytes | None, str | None]:
        """Return the SHA-256 of the cart's key (None where none is needed) and the boot id. Raises NotAdmitted."""
        if opening.size > MAX_ASKED:
            raise NotAdmitted(Refused.BAD_REQUEST, f"URL and headers may have {MAX_ASKED} bytes.")
        try:
            query = parse_qs(opening.query, max_num_fields=10)
        except ValueError:
            raise NotAdmitted(Refused.BAD_REQUEST, "Too many fields in the query string.") from None
        try:
            boot_id = checked_boot_id(_header(opening, "Cart-Boot-Id") or query.get("boot", [None])[0])
        except BadRequest as error:
            raise NotAdmitted(Refused.BAD_REQUEST, error.detail) from None
        key = _header(opening, "X-API-Key") or bearer(_header(opening, "Authorization"))
        key = key or query.get("key", [None])[0]
        if key is not None:
            return hash_of(key), boot_id
        if within(client.address, self._settings.keyless_carts):
            self._require_no_foreign_page(opening)
            return None, boot_id
        raise NotAdmitted(Refused.NO_KEY)

    def _require_no_foreign_page(self, opening: Opening) -> None:
        """Raise NotAdmitted for a web page of another origin: a browser in a keyless network lets each page open
        sockets."""
        tls = self._transport is not None and self._transport.get_extra_info("sslcontext") is not None
        foreign = refusal(self._settings, opening.header, socket=True, peer=self._peer(), tls=tls)
        if foreign is not None:
            raise NotAdmitted(Refused.FOREIGN_PAGE, foreign.sentence)

    def _peer(self) -> str | None:
        peer = self._transport.get_extra_info("peername") if self._transport is not None else None
        return peer[0] if peer else None

    def _refuse(self, opening: Opening, client: Client, refusal: NotAdmitted) -> None:
        """Answer the handshake with this refusal, unless nobody is there any more to hear it."""
        if self.gone:
            self._log_refused(opening, client, Refused.CART_LEFT)
            return
        assert self._transport is not None
        why, sentence = refusal.why, refusal.sentence
        self._log_refused(opening, client, why, why.status, sentence)
        self._ends(why)
        self._early = None
        self._stop()
        self._abort_after()
        every_answer_s = self._server_state.default_headers
        self._transport.write(rejected(why.status, sentence, refusal.retry_after, every_answer_s))
        self._transport.close()

    def _log_refused(
        self, opening: Opening, client: Client, why: Refused, status: int | None = None, detail: str = ""
    ) -> None:
        if status is None and isinstance(self._ended, Refused):
            return  # it was logged when it was cut off
        log.info(
            "cart refused",
            path=opening.path[:100],
            reason=str(why),
            status=status,
            detail=detail[:200],
            address=client.name,
        )

    # The open connection

    def _open_transport(self) -> asyncio.Transport | None:
        return None if self.gone else self._transport

    def _parse(self, data: bytes, begin: int, end: int) -> int:
        protocol = self._protocol
        assert protocol is not None
        end = self._guard.end_of_frame(data, begin, end)
        protocol.receive_data(data[begin:end])
        now = self._connector.monotonic()
        for event in protocol.events_received():
            if isinstance(event, Frame) and event.opcode is Opcode.PONG:
                self._ponged(bytes(event.data), now)
            else:
                self.link.heard(now)
                self._count(now)
        if protocol.parser_exc is not None or protocol.close_expected():
            self._peer_closes(protocol)
        self._flush()
        return end

    def _failed(self) -> None:
        self._abort(Ended.ERROR)

    def _ponged(self, payload: bytes, now: float) -> None:
        if not self.link.awaits(payload):
            self._count(now)
        self._connector.answered(self.link)
        self._do(self.link.pong(payload, now))

    def _count(self, now: float) -> None:
        if self._guard.one_more(now):
            return
        self._do(self.link.close(Ended.FLOOD))
        self._stop()
        if self._transport is not None:
            self._transport.pause_reading()  # it goes on sending, and nobody parses that

    def _peer_closes(self, protocol: Protocol) -> None:
        match protocol.parser_exc:
            case PayloadTooBig():
                self._ends(Ended.FRAME_TOO_BIG)
            case ProtocolError() | UnicodeDecodeError():
                self._ends(Ended.PROTOCOL_ERROR)
            case _ if protocol.close_rcvd is not None:
                self._ends(Ended.CART_CLOSED)
        if isinstance(protocol.parser_exc, ProtocolError | UnicodeDecodeError) or protocol.close_sent is not None:
            self.link.lost()
        self._abort_after()

    def offer(self, seq: int, command: Command) -> None:
        self._act(self.link.offer(seq, command, self._connector.monotonic()))

    def behind(self, seq: int) -> None:
        self._act(self.link.behind(seq))

    def fill(self, rows: tuple[Send, ...], through: int) -> None:
        self._act(self.link.fill(rows, through, self._connector.monotonic()))

    def probe(self) -> None:
        self._act(self.link.probe(self._connector.monotonic()))

    def tick(self) -> None:
        self._act(self.link.tick(self._connector.monotonic()))

    def close(self, why: Ended) -> None:
        self._act(self.link.close(why))

    def _act(self, outputs: Outputs) -> None:
        """Do what the link says. An error ends this connection only: whoever calls has others to serve as well."""
        try:
            self._do(outputs)
            self._flush()
        except Exception:
            log.exception("connection failed", cart=self.link.cart_id)
            self._abort(Ended.ERROR)

    def _do(self, outputs: Outputs) -> None:
        protocol = self._protocol
        if protocol is None:
            return
        for output in outputs:
            match output:
                case Send(_, command):
                    protocol.send_text(encode(command))
                    self._dispatch.sent(self.link, output)
                case Ping(payload):
                    protocol.send_ping(payload)
                case Read(sent):
                    self._dispatch.read(self.link, sent)
                case NeedRows(after_seq):
                    self._dispatch.need_rows(self, after_seq)
                case Close(why):
                    self._ends(why)
                    if not protocol.close_expected():
                        protocol.send_close(output.code, output.reason)
                    self._abort_after()

    def _flush(self) -> None:
        protocol, transport = self._protocol, self._transport
        if protocol is None or transport is None:
            return
        chunks = protocol.data_to_send()
        if not chunks:
            return
        if data := b"".join(chunk for chunk in chunks if chunk is not SEND_EOF):
            transport.write(data)
        if chunks[-1] is SEND_EOF:
            transport.close()

    def _abort_after(self) -> None:
        """End the connection in CLOSE_SECONDS, whatever the other side does."""
        if self._abort_timer is None and self._transport is not None:
            self._abort_timer = self._loop.call_later(CLOSE_SECONDS, self._transport.abort)

    def _abort(self, why: Ended | Refused) -> None:
        self._ends(why)
        cart_id = None
        if hasattr(self, "link"):
            self.link.lost()
            cart_id = self.link.cart_id
        if isinstance(why, Refused):
            log.warning("cart refused", cart=cart_id, reason=str(why), status=None)
        if self._transport is not None:
            self._transport.abort()

    # Its end

    def _ends(self, why: Ended | Refused) -> None:
        if self._ended is None:
            self._ended = why

    def _ending(self, protocol: Protocol | None) -> Ending:
        """Return what is known of the connection now that it is over."""
        if self._opened_at is None or not isinstance(self._ended, Ended):
            return Ending(Ended.NEVER_OPENED)
        close = None
        if protocol is not None:
            first = protocol.close_rcvd if protocol.close_rcvd_then_sent else protocol.close_sent
            close = first or protocol.close_rcvd
        return Ending(
            self._ended,
            None if close is None else int(close.code),
            round((self._connector.monotonic() - self._opened_at) * 1000),
            self.link.commands_sent,
            self.link.commands_read,
        )

    def _log_ended(self, ending: Ending, protocol: Protocol | None) -> None:
        sent, received = (None, None) if protocol is None else (protocol.close_sent, protocol.close_rcvd)
        write = log.warning if ending.reason in _TROUBLE else log.info
        write(
            "cart disconnected",
            cart=self.link.cart_id,
            epoch=self.link.epoch,
            reason=str(ending.reason),
            ended_by=ending.reason.by,
            code_sent=None if sent is None else int(sent.code),
            code_received=None if received is None else int(received.code),
            seconds=ending.milliseconds / 1000,
            commands_sent=ending.sent,
            commands_received=ending.received,
        )


def asks_for_cart(target: bytes) -> bool:
    """Return whether a request's target is a path at or below /ws/hardware."""
    path = origin_form(target).split(b"?", 1)[0]
    return path == PATH or path.startswith(PATH + b"/")


def begins_for_cart(request: bytes) -> bool:
    """Return whether the request line, as far as it has come, asks for a path at or below /ws/hardware."""
    target = request.split(b"\r\n", 1)[0].split(b" ")[1:2]
    return bool(target) and asks_for_cart(target[0])


def _cart_id(path: str) -> int:
    """Return the cart's id from the path. Raises NotAdmitted when there is none."""
    match = _CART_ID.fullmatch(path)
    if match is None:
        sentence = f"The cart id must be an integer from 1 to {MAX_ID}: /ws/hardware/<cart id>"
        raise NotAdmitted(Refused.BAD_REQUEST, sentence)
    return int(match[1])


def _header(opening: Opening, name: str) -> str | None:
    values = opening.header(name)
    if len(values) > 1:
        raise NotAdmitted(Refused.BAD_REQUEST, f"{name} may be given only once.")
    return values[0] if values else None
