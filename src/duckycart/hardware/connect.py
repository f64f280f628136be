"""A cart connects to this node and leaves it again: the brake, the probe, the claim, the release."""

import asyncio
import random
from typing import Final

import structlog

from duckycart.bus.messages import TakenOver
from duckycart.bus.protocol import Bus
from duckycart.clock import Clock
from duckycart.errors import DuckyCartError
from duckycart.guards.turnstile import Turnstile
from duckycart.hardware.admission import A_TURN, INSIDE, Brake, NotAdmitted
from duckycart.hardware.background import Background
from duckycart.hardware.batches import Batches
from duckycart.hardware.catchup import Filled
from duckycart.hardware.connections import Refusals
from duckycart.hardware.ending import Ended, Ending, Gone, Refused
from duckycart.hardware.link import SILENCE_SECONDS, Link
from duckycart.hardware.links import Connection, Links
from duckycart.hardware.ownership import Claim, claim_many, release_many
from duckycart.hardware.receipts import Receipts
from duckycart.refusals import STOPPING
from duckycart.store.transaction import Store, Transaction

log = structlog.get_logger()

CLAIM_SECONDS: Final = 6.0  # with PROBE_SECONDS before it: client libraries give up after 10
PROBE_SECONDS: Final = 3.0  # for an incumbent to show that it lives, before a newcomer past the brake is refused
CLAIMING: Final = 2  # transactions of claims at the store at a time: the other goes on while one waits for a lock
RELEASING: Final = 1


class Connector:
    """Lets carts connect to this node, watches over their links, and releases those that are gone."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        node: str,
        bus: Bus,
        receipts: Receipts,
        background: Background,
        *,
        handshakes: int,
        connects: int,
    ) -> None:
        self._clock = clock
        self._node = node  # in the carts' rows: this very process, so that no later one takes its links for its own
        self._bus = bus
        self._receipts = receipts
        self.links = Links()
        self.claims = Claims(store, node, background)
        self.refusals = Refusals(store)
        self.draining = False
        self.handshaking = 0
        self.turnstile = Turnstile("carts", handshakes, lambda: self.handshaking, a_turn=A_TURN, most=INSIDE)
        self.brake = Brake(connects, clock.monotonic)
        self._probes: dict[Link, set[asyncio.Future[None]]] = {}  # of pings that are not answered yet

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def link(self, cart_id: int) -> Link:
        """Make the link for a connection that asks for its cart now."""
        # Each has a silence of its own, so that carts that came at once are not pinged at once for ever.
        silence = SILENCE_SECONDS * random.uniform(0.9, 1.0)  # noqa: S311 - no secret
        return Link(cart_id, self.monotonic(), silence)

    # A cart connects

    async def connect(
        self, connection: Connection, key_hash: bytes | None, boot_id: str | None, address: str | None = None
    ) -> Filled:
        """Claim the cart for this connection. Returns what the connection must send first; raises NotAdmitted.

        When this returns the connection is the cart's current one, and an older one of this node is closing.
        """
        if self.draining:
            raise NotAdmitted(Refused.STOPPING, retry_after=STOPPING.retry_after)
        self.handshaking += 1
        try:
            await self._pass_brake(connection.link.cart_id)
            return await self._claim(connection, key_hash, boot_id, address)
        finally:
            self.handshaking -= 1
            self.turnstile.go_on()

    async def _pass_brake(self, cart_id: int) -> None:
        retry_after = self.brake.retry_after(cart_id)
        if retry_after is None:
            return
        incumbent = self.links.current(cart_id)
        if incumbent is not None and not await self._answers(incumbent):
            return  # it is dead: the newcomer wins
        raise NotAdmitted(Refused.TOO_OFTEN, retry_after=retry_after)

    async def _answers(self, incumbent: Connection) -> bool:
        link = incumbent.link
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if link not in self._probes:  # one ping serves all who ask meanwhile
            self._probes[link] = set()
            incumbent.probe()
        self._probes[link].add(answered)
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await answered
            return True
        except TimeoutError:
            return False
        finally:
            waiting = self._probes.get(link, set())
            waiting.discard(answered)
            if not waiting:
                self._probes.pop(link, None)

    async def _claim(
        self, connection: Connection, key_hash: bytes | None, boot_id: str | None, address: str | None
    ) -> Filled:
        link = connection.link
        self.links.claiming(connection)
        try:
            async with asyncio.timeout(CLAIM_SECONDS):
                await self._receipts.written(link.cart_id)  # what the old link heard must not be sent again by this one
                filled = await self.claims.claim(connection, key_hash, boot_id, address)
        except (TimeoutError, asyncio.CancelledError, DuckyCartError) as error:
            self.links.unclaim(connection)
            if isinstance(error, asyncio.CancelledError) and not connection.gone:
                raise
            raise NotAdmitted(Refused.NOT_CLAIMED, retry_after=2) from error
        if isinstance(filled, Refused):
            self.links.unclaim(connection)
            raise NotAdmitted(filled)
        link.claimed(filled.epoch, filled.generation)
        known = self._receipts.known(link)
        link.known(known)
        if has := tuple(row for row in filled.rows if row.seq <= known):
            self._receipts.received(link, has, known)  # whoever heard of it may have died before writing it
        if filled.previous_node not in (None, self._node):
            self._bus.tell(filled.previous_node, TakenOver(link.cart_id, filled.epoch))
        if connection.gone:
            self.links.unclaim(connection)
            self._release(link, Ending(Ended.NEVER_OPENED))
            raise NotAdmitted(Refused.CART_LEFT)
        self.brake.accepted(link.cart_id)
        loser = self.links.take(connection)
        if loser is connection:
            raise NotAdmitted(Refused.OVERTAKEN, retry_after=1)
        if loser is not None:
            loser.close(Ended.TAKEN_OVER)
        self.links.watch(connection, self.monotonic())
        return filled

    # A cart is connected

    def answered(self, link: Link) -> None:
        """Note that the cart answered a ping: whoever probes it gets the answer, and the next one to ask sends a ping
        anew."""
        for probe in self._probes.pop(link, ()):
            if not probe.done():
                probe.set_result(None)

    def taken_over(self, message: TakenOver) -> None:
        """Close the cart's link, which another node has claimed; a link of a later claim stays."""
        connection = self.links.current(message.cart_id)
        if connection is not None and connection.link.epoch < message.epoch:
            connection.close(Ended.TAKEN_OVER)

    def tick(self) -> None:
        """Send heartbeats, close links whose pong did not come, and forget what is old; called once a second."""
        now = self.monotonic()
        for connection in self.links.due(now):
            connection.tick()
            if not connection.gone:
                self.links.watch(connection, now)
        self.brake.forget_old()
        self._receipts.forget_old()

    # A cart is gone

    def lost(self, connection: Connection, ending: Ending) -> None:
        """Forget a connection whose socket is closed, and release its cart."""
        self.links.remove(connection)
        if connection.link.epoch:
            self._release(connection.link, ending)

    def _release(self, link: Link, ending: Ending) -> None:
        self._receipts.flush()
        self.claims.release(link.cart_id, link.epoch, ending)


class Claims:
    """Claims and releases wait here for the store; many carts share a transaction."""

    def __init__(self, store: Store, node: str, background: Background) -> None:
        self._background = background
        self._claims = Batches[Claim, Filled | Refused](
            store, background, CLAIMING, lambda tx, claims: claim_many(tx, claims, node)
        )
        self._releases = Batches[Gone, None](store, background, RELEASING, _release)
        self._unreleased: dict[tuple[int, int], Gone] = {}  # by (cart, epoch): what the database could not release yet

    def __len__(self) -> int:
        """Return how many claims and releases are not settled yet."""
        return len(self._claims) + len(self._releases) + len(self._unreleased)

    async def claim(
        self, connection: Connection, key_hash: bytes | None, boot_id: str | None, address: str | None
    ) -> Filled | Refused:
        """Claim the cart for this connection. Returns what to send on it, or why the connection may not have the cart:
        CART_LEFT if it was gone before its turn came. Raises DuckyCartError when the database did not do it.

        Cancelling does not undo a claim that was made: the claim is then released by its epoch.
        """
        cart_id = connection.link.cart_id
        given_up = False
        wanted = Claim(cart_id, key_hash, boot_id, lambda: not (given_up or connection.gone), address)
        done = self._claims.ask(cart_id, wanted)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            given_up = True
            self._background.begin(self._release_late(cart_id, done))
            raise
        finally:
            del done  # a failure's traceback holds this frame, so the frame must not hold the failure

    async def _release_late(self, cart_id: int, done: "asyncio.Future[Filled | Refused]") -> None:
        try:
            filled = await done
        except DuckyCartError:
            return  # it never happened
        if isinstance(filled, Filled):
            await self._release(Gone(cart_id, filled.epoch, Ending(Ended.NEVER_OPENED)))

    def release(self, cart_id: int, epoch: int, ending: Ending | None = None) -> None:
        """Release the cart from its link of this epoch, which is gone; without `ending` no process knows how it
        ended."""
        self._background.begin(self._release(Gone(cart_id, epoch, ending)))

    async def _release(self, gone: Gone) -> None:
        try:
            await self._releases.ask(gone.cart_id, gone)
        except DuckyCartError as error:
            if error.refusal is not STOPPING:  # the next start releases every link
                log.error("link not released, trying again", cart=gone.cart_id, epoch=gone.epoch, reason=error.code)
                key = gone.cart_id, gone.epoch
                self._unreleased[key] = gone if gone.ending is not None else self._unreleased.get(key, gone)

    def release_again(self) -> None:
        """Release what the database could not when the link was lost: else the cart would count as online for ever."""
        unreleased, self._unreleased = self._unreleased, {}
        for gone in unreleased.values():
            self._background.begin(self._release(gone))


def _release(tx: Transaction, links: list[Gone]) -> list[None]:
    release_many(tx, links)
    return [None] * len(links)
