"""The demo runs real processes, with the real socket and a shopper."""

import asyncio
import csv
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx2

from duckycart.demo.transcript import Transcript
from duckycart.own_address import own_address

PATIENCE: Final = 30.0  # seconds for any one step
CART: Final = 1
SPARE_CART: Final = 2  # for whoever watches, to connect one of their own
PRODUCTS: Final = Path(__file__).parent / "products.csv"
SHOPPING: Final = Path(__file__).parent / "shopping.script"
CURRENCY: Final = "EGP"
_SEQS: Final = (1, 2, 3, 4)  # generate_qr, session_started, payment_created, end_session


class DemoFailed(Exception):
    """A step did not do what it promised; the message says which."""


def free_port(host: str, wanted: int) -> int:
    """Return `wanted` if nobody listens there, else any free port. Raises DemoFailed where there is none."""
    for port in (wanted, 0):
        try:
            with socket.create_server((host, port)) as listener:
                return int(listener.getsockname()[1])
        except OSError:
            continue
    raise DemoFailed(f"No free port on {host}.")


async def run_demo(folder: Path, port: int, *, once: bool, lan: bool) -> None:
    """Go through one session on a new database in `folder`; then stay up until interrupted, unless `once`.

    With `lan` the phones of the network reach it. Raises DemoFailed when anything of the session failed.
    """
    host = own_address() if lan else "127.0.0.1"
    if host is None:
        raise DemoFailed("This machine has no network that a phone could be in; join one, or leave LAN out.")
    running = asyncio.current_task()
    assert running is not None
    for number in (signal.SIGINT, signal.SIGTERM):  # ends the others too, in order
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    demo = _Demo(folder, host, free_port(host, port))
    async with AsyncExitStack() as stack:
        demo.say("demo", f"a new shop in {folder}")
        if port not in (0, demo.port):
            demo.say("demo", f"port {port} is taken by another program, so this one is on {demo.port}")
        keys = await demo.add_carts_and_products()
        server = await stack.enter_async_context(demo.server())
        cart = await stack.enter_async_context(demo.cart(keys[CART]))
        http = await stack.enter_async_context(httpx2.AsyncClient(base_url=demo.url, timeout=PATIENCE, trust_env=False))
        async with asyncio.timeout(PATIENCE * 4):
            await demo.shop(http)
        demo.judge()
        demo.say("demo", "a whole session: every command was queued, sent and received, in order")
        if not once:
            demo.invite(keys, lan=lan)
            await asyncio.wait(
                [asyncio.create_task(server.wait()), asyncio.create_task(cart.wait())],
                return_when=asyncio.FIRST_COMPLETED,
            )
            raise DemoFailed("The server or the cart program ended by itself.")


class _Demo:
    def __init__(self, folder: Path, host: str, port: int) -> None:
        self.port = port
        self.url = f"http://{host}:{port}"
        self._transcript = Transcript()
        self.say = self._transcript.say
        self._environment = os.environ | {
            "DUCKYCART_DATABASE": f"sqlite:///{folder / 'demo.db'}",
            "DUCKYCART_HOST": host,
            "DUCKYCART_PORT": str(port),
            "DUCKYCART_PUBLIC_URL": self.url,
            "DUCKYCART_SANDBOX_PUBLIC": "yes",  # for phones of the network: nobody's money is in it
            "DUCKYCART_LOG_FORMAT": "json",
            "DUCKYCART_CURRENCY": CURRENCY,
            "DUCKYCART_CURRENCY_DIGITS": "2",
            "DUCKYCART_KEYLESS_CARTS": "127.0.0.0/8",
            "DUCKYCART_LEGACY_SCREENS": "127.0.0.0/8",
        }
        self._qr_url: asyncio.Queue[str] = asyncio.Queue()
        self._cart_events: asyncio.Queue[str] = asyncio.Queue()
        self._in_basket: set[int] = set()  # barcodes, as the cart last showed them

    async def _start(self, *arguments: str, **environment: str) -> Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "duckycart",
            *arguments,
            env=self._environment | environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,  # Ctrl-C is the demo's; it stops the others in order
        )

    async def _admin(self, *arguments: str) -> Any:
        process = await self._start(*arguments, "--json")
        out, err = await process.communicate()
        if process.returncode != 0:
            raise DemoFailed(f"duckycart {' '.join(arguments)}: {(err or out).decode().strip()}")
        return json.loads(out)

    async def add_carts_and_products(self) -> dict[int, str]:
        """Add carts and products, as an administrator would; returns the carts' keys."""
        added = await self._admin("carts", "add", f"{CART}-{SPARE_CART}")
        await self._admin("products", "import", str(PRODUCTS))
        self.say("demo", "two carts and three products added from the shell")
        return {cart["id"]: cart["key"] for cart in added["carts"]}

    @asynccontextmanager
    async def server(self) -> AsyncIterator[Process]:
        process = await self._start("serve")
        assert process.stderr is not None
        reading = asyncio.create_task(_lines(process.stderr, self._transcript.server_line))
        try:
            await self._ready(process)
            self.say("demo", f"server ready at {self.url}")
            yield process
        finally:
            await _stop(process, reading)

    async def _ready(self, process: Process) -> None:
        async with asyncio.timeout(PATIENCE), httpx2.AsyncClient(trust_env=False) as http:
            while process.returncode is None:
                try:
                    if (await http.get(f"{self.url}/readyz")).status_code == 200:
                        return
                except httpx2.TransportError:
                    await asyncio.sleep(0.05)
        raise DemoFailed("The server did not start.")

    @asynccontextmanager
    async def cart(self, key: str) -> AsyncIterator[Process]:
        """Run the cart program for the block, as its own process that shops by a script.

        Its key travels in the environment, where `ps` does not show it.
        """
        how = ("--driver", "lines", "--simulate", str(SHOPPING))
        process = await self._start("cart", str(CART), "--url", self.url, *how, DUCKYCART_KEY=key)
        assert process.stdout is not None
        assert process.stderr is not None
        reading = asyncio.gather(
            _lines(process.stdout, self._cart_line),
            _lines(process.stderr, lambda line: self.say("cart", line.rstrip())),
        )
        try:
            yield process
        finally:
            await _stop(process, reading)

    def _cart_line(self, line: str) -> None:
        self._cart_events.put_nowait(self._transcript.cart_line(line))
        event = json.loads(line)
        if event["event"] == "show_qr" and event.get("url"):
            self._qr_url.put_nowait(event["url"])
        elif event["event"] == "basket":
            self._in_basket = {item["barcode"] for item in event["items"]}

    async def _cart_shows(self, wanted: str) -> None:
        """Wait until the cart's hardware has done what is wanted. Raises DemoFailed when it never does."""
        try:
            async with asyncio.timeout(PATIENCE):
                while await self._cart_events.get() != wanted:
                    pass
        except TimeoutError as error:
            raise DemoFailed(f"The cart never did {wanted}.") from error

    async def _cart_took(self, product: dict[str, str]) -> None:
        """Wait until the product is in the basket that the cart shows. Raises DemoFailed when it never is."""
        try:
            async with asyncio.timeout(PATIENCE):
                while int(product["barcode"]) not in self._in_basket:
                    await self._cart_events.get()
        except TimeoutError as error:
            raise DemoFailed(f"The cart never took {product['description']}.") from error
        self.say("shopper", f"put {product['description']} into the cart, {product['unit_price']} {CURRENCY}")

    async def shop(self, http: httpx2.AsyncClient) -> None:
        """Scan, see the cart take in what its script scans and weighs, pay. Raises DemoFailed for any other answer."""
        url = await asyncio.wait_for(self._qr_url.get(), PATIENCE)
        await self._received(1)  # a QR that is scanned before makes its command void: then the cart never hears it
        guest = await self._post(http, "/auth/guest", {}, {"token": url})
        shopper = {"Authorization": f"Bearer {guest['access_token']}"}
        self.say("shopper", "scans the QR and goes on as a guest")
        session = await self._post(http, "/customer-session/scan-qr", shopper | {"Prefer": "wait=5"}, {"token": url})
        await self._cart_shows("start_shopping")
        for product in products():
            await self._cart_took(product)
        payment = await self._post(
            http, f"/payment/create-payment/{session['session_id']}", shopper | {"Prefer": "wait=5"}, {}
        )
        self.say("shopper", f"wants to pay {_price(payment['amount'], payment)}")
        await self._cart_shows("hold_for_payment")
        self.say("shopper", "presses Pay on the provider's page")
        pressed = await http.post(payment["payment_url"] + "/pay")
        if pressed.status_code != 303:
            raise DemoFailed(f"The pay page answered {pressed.status_code}: {pressed.text}")
        await self._cart_shows("return_to_idle")
        self.paid_url = payment["payment_url"]
        await self._received(*_SEQS)

    async def _received(self, *seqs: int) -> None:
        """Wait until the log has the receipts of these commands. Raises DemoFailed when one never comes."""
        try:
            async with asyncio.timeout(PATIENCE):
                for seq in seqs:
                    await self._transcript.received(seq)
        except TimeoutError as error:
            raise DemoFailed(f"Not every command was received: {self._transcript.commands}") from error

    async def _post(self, http: httpx2.AsyncClient, path: str, headers: dict[str, str], body: dict[str, Any]) -> Any:
        answer = await http.post(path, headers=headers, json=body)
        if answer.status_code != 200:
            raise DemoFailed(f"{path} answered {answer.status_code}: {answer.text}")
        delivery = answer.headers.get("Hardware-Delivery")
        if delivery is not None:
            self.say("demo", f"{path.rsplit('/', 1)[0] if path[-1].isdigit() else path}: Hardware-Delivery: {delivery}")
        return answer.json()

    def judge(self) -> None:
        """Raise DemoFailed unless each command went from queued over sent to received, once, without any error."""
        for seq in _SEQS:
            states = self._transcript.commands[seq]
            if states != ["queued", "sent", "received"]:
                raise DemoFailed(f"Command {seq} went {' → '.join(states)}.")
        if self._transcript.errors:
            raise DemoFailed(f"The server logged errors: {', '.join(self._transcript.errors)}.")

    def invite(self, keys: dict[int, str], *, lan: bool) -> None:
        def say(line: str = "") -> None:
            self.say("demo", line)

        camera = "scan the QR with a phone in the same network" if lan else "open the URL below the QR in a browser"
        say("the shop stays open; Ctrl-C closes it. To look at:")
        say(f"  {self.url}/            the start page")
        say(f"  {self.url}/screen/{CART}    the screen of cart {CART}")
        say(f"  {self.url}/docs        every call, to try out")
        say(f"  {self.paid_url}    the paid payment")
        say("and from another terminal, to shop by hand with a cart of your own:")
        say(f"  DUCKYCART_KEY={keys[SPARE_CART]} .venv/bin/duckycart cart {SPARE_CART} --url {self.url}")
        say(f"  1. {camera}, and go on as a guest")
        say("  2. type barcodes where the cart runs, as its scanner would:")
        for product in products():
            name = f"{product['description']}, {product['product_size']}"
            say(f"     {product['barcode']}  {name:<24}  {product['unit_price']} {CURRENCY}")
        say("  3. pay there; the cart is free again")
        say(f"keys, for clients of your own: {', '.join(f'cart {cart} {key}' for cart, key in keys.items())}")
        if lan:
            say(f"Everybody in this network can open {self.url}, without TLS: keep no secret in it.")
        else:
            say("For real phones: make demo LAN=1.")


def products() -> list[dict[str, str]]:
    """Return what the demo's shop sells, as its file has it."""
    with PRODUCTS.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


async def _lines(stream: asyncio.StreamReader, each: Callable[[str], object]) -> None:
    async for line in stream:
        each(line.decode(errors="replace"))


async def _stop(process: Process, reading: "asyncio.Future[Any]") -> None:
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(PATIENCE):
            await process.wait()
            await reading
    except TimeoutError:
        process.kill()
        reading.cancel()


def _price(amount: float, shown_with: dict[str, Any]) -> str:
    return f"{amount:.{shown_with['currency_digits']}f} {shown_with['currency']}"
