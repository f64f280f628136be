"""One shopper's way, from the QR to the end of the session, as the people, the cart and the screen go it together."""

import asyncio
from dataclasses import dataclass
from random import Random

from duckycart.providers.sandbox import Sandbox
from duckycart.testing.caller import Caller, Lost
from duckycart.testing.fielded import FieldedCart
from duckycart.testing.furnish import BREAD, MILK, TEA
from tests.field.pace import Pace
from tests.field.phone import Phone
from tests.field.screen import FieldedScreen
from tests.hardware.helpers import end_by_force
from tests.world import Shop

PRODUCTS = (MILK, BREAD, TEA)
ENDS = {"paid": 60, "ended": 16, "forced": 16, "idle": 8}  # how a session is meant to end, of a hundred


@dataclass
class Journey:
    shop: Shop
    pace: Pace
    cart: FieldedCart
    screen: FieldedScreen
    phone: Phone
    rival: Phone | None  # scans the same QR at the same moment
    bank: Caller  # brings the provider's webhooks
    random: Random

    async def go(self) -> None:
        session_id = await self._join()
        await self.pace.until(
            lambda: self.cart.session == session_id or session_id in self.cart.ended,
            lambda: f"cart {self.cart.id} does not hear of session {session_id}; heard {self.cart.heard[-8:]}",
        )
        (meant,) = self.random.choices([*ENDS], [*ENDS.values()])
        if meant != "idle":
            await self._shop(session_id)
        await self._finish(session_id, meant)
        await self.pace.until(
            lambda: self.cart.session != session_id and session_id in self.cart.ended,
            lambda: (
                f"cart {self.cart.id} does not hear of the end of session {session_id} ({meant}): "
                f"heard {self.cart.heard[-8:]}"
            ),
        )
        if self.random.random() < 0.3 and await self.phone.active(session_id):
            self.phone.wrong.append(f"session {session_id} is over for its cart, and active for its phone")

    async def _join(self) -> int:
        while True:
            token = await self.screen.qr()
            if self.rival is None:
                session_id = await self.phone.scan(token)
            else:
                session_id, other = await asyncio.gather(self.phone.scan(token), self.rival.scan(token))
                if session_id is not None and other is not None:
                    self.phone.wrong.append(f"one QR, two sessions: {session_id} and {other}")
                if session_id is None and other is not None:
                    self.phone, self.rival, session_id = self.rival, self.phone, other
            if session_id is None:
                await self.pace.sleep(2)
                continue
            if self.rival is not None:
                await self.rival.peek(session_id)
            return session_id

    async def _shop(self, session_id: int) -> None:
        """A few things go in, some come out, and the cart tells of what else it sees."""
        cart, random = self.cart, self.random
        for _ in range(random.randint(1, 3)):
            barcode = random.choice(PRODUCTS)
            try:
                if random.random() < 0.3:
                    await cart.read(session_id, barcode)
                await cart.add(session_id, barcode, random.choice((None, 400)))
                if random.random() < 0.25 and cart.baskets[session_id].sure[barcode] > 0:
                    await cart.remove(session_id, barcode)
                if random.random() < 0.15:
                    await cart.warn(session_id, random.choice(("weight increased", "weight decreased", "battery low")))
                if random.random() < 0.15:
                    await cart.notify(session_id, random.choice((0, barcode)))
                if random.random() < 0.15:
                    await cart.locate(session_id, random.randint(1, 9))
            except Lost:
                self.screen.late.add((session_id, barcode))

    async def _finish(self, session_id: int, meant: str) -> None:
        match meant:
            case "paid":
                if await self._pay(session_id):
                    return
            case "ended":
                await self._put_back(session_id)
                if await self.phone.end(session_id) or await self._pay(session_id):
                    return
            case "idle" if not self.cart.baskets[session_id]:
                return  # the shopper walks off; the server will see
        await self.pace.sleep(self.random.randint(0, 3))
        if await self.phone.active(session_id):
            await end_by_force(self.shop, session_id)

    async def _put_back(self, session_id: int) -> None:
        basket = self.cart.baskets[session_id]
        for barcode, count in tuple(basket.sure.items()):
            for _ in range(count):
                await self.cart.remove(session_id, barcode)

    async def _pay(self, session_id: int) -> bool:
        """Whether there was something to pay, and it is paid."""
        payment_url = await self.phone.pay(session_id)
        if payment_url is None:
            return False
        if self.random.random() < 0.2:
            await self.cart.add(session_id, MILK)  # too late
        if self.random.random() < 0.7:
            await self.pace.until(
                lambda: self.cart.held or session_id in self.cart.ended,
                lambda: f"cart {self.cart.id} does not hear of the payment of session {session_id}",
            )
        if self.random.random() < 0.2 and await self.phone.pay(session_id) != payment_url:
            self.phone.wrong.append(f"session {session_id} has two payments at once")
        if self.random.random() < 0.25:
            await self.phone.press(payment_url, "decline")
        if self.random.random() < 0.3:
            await self._webhook_twice(session_id)
        else:
            await self.phone.press(payment_url, "pay")
        return True

    async def _webhook_twice(self, session_id: int) -> None:
        """The provider's "paid", which it repeats; both may be under way at once."""
        (payment,) = await self.shop.payment_rows(session_id)
        provider = self.shop.inside.checkout.provider
        assert isinstance(provider, Sandbox)
        signed, body = provider.webhook("payment.succeeded", payment.token, payment.amount, payment.currency)
        headers = {name: value for name, value in signed.items() if name != "content-type"}

        async def bring() -> None:
            while True:
                try:
                    answer = await self.bank("POST", "/payment/webhook/sandbox", body, headers)
                except Lost:
                    continue
                if not answer.ok:
                    self.phone.wrong.append(f"webhook of session {session_id}: {answer}")
                return

        await asyncio.gather(bring(), bring())
