"""The composition root is the one file that names concrete classes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from secrets import token_hex
from socket import gethostname

import structlog
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from duckycart.after_commit import AfterCommit
from duckycart.api import (
    asyncapi,
    auth,
    carts,
    errors,
    feedback,
    health,
    items,
    locations,
    openapi,
    pairing,
    pay_page,
    payments,
    screens,
    sessions,
    streams,
    upgrade,
    warnings,
)
from duckycart.api.limits import BodyLimit
from duckycart.api.methods import Head
from duckycart.api.openings import InTurn
from duckycart.api.plain import PlainForCarts
from duckycart.bus.messages import Message
from duckycart.bus.protocol import ALONE, Bus
from duckycart.channels.channels import Channels
from duckycart.channels.openings import Openings
from duckycart.channels.room import Room
from duckycart.clock import Clock, SystemClock
from duckycart.guards.places import Places, descriptors
from duckycart.guards.rate import RateLimit
from duckycart.hardware.background import Background
from duckycart.hardware.connect import Connector
from duckycart.hardware.dispatch import Dispatch
from duckycart.hardware.ownership import release_all
from duckycart.hardware.receipts import Receipts
from duckycart.hardware.sweep import SWEEP_SECONDS, Sweep
from duckycart.housekeeping import HOUSEKEEPING_SECONDS, Housekeeping, keep_time
from duckycart.nodes.heartbeat import BEAT_SECONDS, Heartbeat
from duckycart.pages import assets, missing, reference, screen, shopper, start
from duckycart.passwords import Passwords
from duckycart.payments.checkout import Checkout
from duckycart.providers.protocol import Provider
from duckycart.providers.sandbox import Sandbox
from duckycart.settings import Settings
from duckycart.shop import LifespanState, Shop
from duckycart.store.currency import KnownCurrency, settle_currency
from duckycart.store.database import Database
from duckycart.store.keys import read_or_make_signing_keys
from duckycart.store.readiness import Readiness
from duckycart.store.shop_address import keep_address
from duckycart.store.steady import SteadyClock
from duckycart.timers import every, running
from duckycart.tokens import Tokens

log = structlog.get_logger()


ProviderFactory = Callable[[Settings, bytes, SteadyClock], Provider]


def sandbox(settings: Settings, signing_key: bytes, clock: SteadyClock) -> Provider:
    return Sandbox(settings.url, signing_key, clock.steady)


def nats(
    settings: Settings, oldest_key: bytes, node: str, heard: Callable[[Message], None], knows: Callable[[str], bool]
) -> Bus:
    from duckycart.bus.nats import NatsBus, sealing_key  # its library is for servers that are not alone

    key = sealing_key(oldest_key)
    return NatsBus(settings.bus, key, node, heard, knows, credentials=settings.bus_credentials, ca=settings.bus_ca)


@asynccontextmanager
async def open_shop(
    settings: Settings, database: Database, machine: Clock, provider: ProviderFactory
) -> AsyncIterator[Shop]:
    """Open everything of a running server but its sockets and timers, for the block; closed in the reverse order."""
    after_commit = AfterCommit()
    async with AsyncExitStack() as stack:
        stack.callback(database.release)
        store = database.open(machine, after_commit.committed)
        clock = store.clock
        stack.push_async_callback(store.close)
        await store.write(lambda tx: clock.keep(tx.connection))
        stack.push_async_callback(keep_time, store)
        node = f"{settings.node or gethostname()[:64]}/{token_hex(4)}"
        keys = await store.write(read_or_make_signing_keys)
        await store.write(lambda tx: keep_address(tx, settings.url))
        heartbeat = Heartbeat(store, clock, node, lambda: len(dispatch.links)) if settings.bus else None
        secrets = list(keys.values())  # the oldest first
        bus = ALONE if heartbeat is None else nats(settings, secrets[0], node, after_commit.heard, heartbeat.knows)
        stack.push_async_callback(bus.close)
        places = Places(descriptors(), settings.connections_per_address, clock.monotonic)
        room = Room(
            per_topic=settings.listeners_per_session,
            per_address=settings.listeners_per_address,
            in_all=max(1, places.places // 4),
            ran_short=places.ran_short,
            count=RateLimit(settings.listens_per_minute, clock.monotonic).take,
        )
        channels = Channels(store, clock, bus, room)
        receipts, background = Receipts(store, clock), Background()
        connector = Connector(
            store, clock, node, bus, receipts, background, handshakes=settings.handshakes, connects=settings.connects
        )
        dispatch = Dispatch(store, node, bus, connector.links, receipts, background)
        after_commit.reach(dispatch, connector, channels)
        if heartbeat is None:
            await store.write(release_all)
        else:
            stack.push_async_callback(heartbeat.end)
            await heartbeat.begin()
        stack.push_async_callback(connector.refusals.write)
        stack.push_async_callback(dispatch.finish)
        prices = KnownCurrency(store, await store.write(lambda tx: settle_currency(tx, settings.wanted_currency)))
        passwords = Passwords()
        stack.callback(passwords.close)
        taking_money = provider(settings, secrets[-1], clock)
        checkout = Checkout(store, settings.rules, taking_money, settings.provider_seconds, settings.url)
        yield Shop(
            settings=settings,
            rules=settings.rules,
            clock=clock,
            store=store,
            readiness=Readiness(store),
            prices=prices,
            connector=connector,
            dispatch=dispatch,
            channels=channels,
            openings=Openings(room.in_all),
            places=places,
            checkout=checkout,
            tokens=Tokens(keys, clock, clock.steady),
            passwords=passwords,
            sign_ins=RateLimit(settings.sign_in_per_minute, clock.monotonic),
            scans=RateLimit(settings.scans_per_minute, clock.monotonic),
            addresses=RateLimit(settings.address_per_minute, clock.monotonic),
            legacy_screens=RateLimit(settings.legacy_per_minute, clock.monotonic),
            wrong_codes=RateLimit(pairing.WRONG_CODES, clock.monotonic),
            sweep=Sweep(store, connector, dispatch),
            housekeeping=Housekeeping(store, settings.rules, checkout),
            heartbeat=heartbeat,
        )


def build_app(
    settings: Settings, database: Database, clock: Clock | None = None, provider: ProviderFactory = sandbox
) -> FastAPI:
    """Return the ASGI application. Its lifespan owns the database, the links and the timers."""
    machine = clock or SystemClock()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[LifespanState]:
        async with open_shop(settings, database, machine, provider) as shop:
            if settings.legacy_screens:
                networks = ", ".join(map(str, settings.legacy_screens))
                log.warning("screens need no credential from some networks", networks=networks)
            rounds = [
                every(1.0, "tick", shop.connector.tick),
                every(1.0, "channels", shop.channels.tick),
                every(SWEEP_SECONDS, "sweep", shop.sweep),
                every(SWEEP_SECONDS, "channels' sweep", shop.channels.sweep),
                every(HOUSEKEEPING_SECONDS, "housekeeping", shop.housekeeping),
            ]
            if database.hold is not None:
                rounds.append(every(SWEEP_SECONDS, "hold on the database", partial(asyncio.to_thread, database.hold)))
            if shop.heartbeat is not None:
                rounds.append(every(BEAT_SECONDS, "heartbeat", shop.heartbeat))
            async with running(*rounds):
                yield {"shop": shop}

    app = FastAPI(
        title="DuckyCart",
        version="1",
        description=openapi.DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # or each request asks for what nobody set up
    )
    openapi.install(app)
    errors.install(app)
    missing.install(app)
    app.add_middleware(InTurn)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "HEAD", "POST", "PUT", "DELETE"],
            allow_headers=["authorization", "cart-boot-id", "content-type", "idempotency-key", "prefer"],
            expose_headers=["Hardware-Delivery"],
        )
    app.add_middleware(BodyLimit)
    app.add_middleware(Head)
    if settings.tls_cert is not None and settings.plain_carts:
        app.add_middleware(PlainForCarts)
    for resource in (
        carts,
        sessions,
        items,
        warnings,
        locations,
        streams,
        screens,
        pairing,
        auth,
        payments,
        pay_page,
        feedback,
        health,
        asyncapi,
        upgrade,
        assets,
        shopper,
        screen,
        reference,
        start,
    ):
        # One flat table. What `include_router` adds for prefixes and overrides, which nobody here uses, costs each
        # request a walk through all routers, and each start 20 ms.
        app.router.routes.extend(resource.router.routes)
    return app
