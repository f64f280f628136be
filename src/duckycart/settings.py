"""A server has these settings, each with its unit, its default and the reason for it. Each is also an environment
variable DUCKYCART_…."""

from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from duckycart import defaults
from duckycart.currency import Currency, currency_of
from duckycart.errors import BadRequest
from duckycart.lifecycle.rules import Rules
from duckycart.own_address import in_url

_RULES = Rules()  # and their defaults
Network = IPv4Network | IPv6Network


def _networks(value: Any) -> Any:
    """Read comma-separated CIDR networks."""
    if isinstance(value, str):
        return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
    return value


def _words(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]


class OfflineCarts(StrEnum):
    REFUSE = "refuse"
    ACCEPT = "accept"


class Settings(BaseSettings):
    """Read once at start, from DUCKYCART_… variables and what the command line says."""

    model_config = SettingsConfigDict(env_prefix="DUCKYCART_", frozen=True, extra="ignore")

    # Where it listens and what it keeps
    host: str = defaults.HOST
    port: int = Field(defaults.PORT, ge=0, le=65535)
    database: str = defaults.DATABASE
    tls_cert: Path | None = None
    tls_key: Path | None = None
    keep_alive_seconds: int = Field(75, ge=2)  # for a next request; longer than proxies and clients keep theirs
    public_url: str | None = None  # what phones open; default: http(s)://host:port
    node: str | None = Field(
        None, pattern=r"^[\w.-]{1,64}$"
    )  # this server's name in the log and for people; default: the host's

    # Several servers on one PostgreSQL database
    bus: Words = ()  # NATS servers, nats:// or tls://, that carry what the nodes tell each other
    bus_credentials: Path | None = None  # a .creds file, as NATS accounts give out
    bus_ca: Path | None = None  # who signed the NATS servers' certificates (PEM), if not a public authority
    drain_per_second: int = Field(500, ge=1)  # carts sent away when this node ends and others live: what they can claim

    # Who may come in
    keyless_carts: Networks = ()  # from these networks carts connect without a key, as the protocol document shows it
    plain_carts: Networks = ()  # from these, carts come to the port of TLS without it, as fielded ones fall back to ws://
    legacy_screens: Networks = ()  # from these, QR, /sse and /ws need no credential: screens that cannot be updated
    trusted_proxies: Networks = ()  # from these, X-Forwarded-For or Forwarded names the client
    cors_origins: Words = ()  # of screens' pages; `*` for any

    # The shop
    currency: str | None = None  # ISO 4217; the database's own, or EGP for a new one
    currency_digits: int | None = None  # follow from the currency; who gives them is told when they are others
    feedback_items: Words = ()  # CATEGORY:LABEL, what fielded screens let a shopper tick after a payment
    offline_carts: OfflineCarts = OfflineCarts.REFUSE  # whether a cart away for over 60 s may start a session
    # How long a QR can be scanned: long enough to find the app, short enough to be the one on the screen.
    qr_seconds: int = Field(_RULES.qr_seconds, ge=10, le=86_400)
    idle_seconds: int = Field(_RULES.idle_seconds, ge=60)  # a shopper who walked off
    payment_seconds: int = Field(_RULES.payment_seconds, ge=60)  # a pay page left open

    # Money
    payment_provider: Literal["sandbox"] = "sandbox"
    sandbox_public: Literal["yes", "no"] = "no"  # the sandbox takes no money: off loopback it must be asked for
    provider_seconds: float = Field(10.0, gt=0, le=60)  # time limit of one call to a provider

    # Limits
    # Carts that connect or wait for it at one moment; the others get 503. Client libraries give up after 10 s and about
    # 1,000 a second are let in: more than these would wait in vain. One that waits takes 7 KiB.
    handshakes: int = Field(10_000, ge=1)
    connects: int = Field(5, ge=1)  # accepted connects of one cart in 10 s; more are two carts with one key
    sign_in_per_minute: int = Field(10, ge=1)  # per account; who guesses passwords tries one account often
    scans_per_minute: int = Field(30, ge=1)  # per shopper
    address_per_minute: int = Field(300, ge=1)  # sign-ins, sign-ups, guests and scans of one address: a shop's Wi-Fi

    # Connections that are no carts', and listeners among them. Over these nobody is refused: whoever has most gives up
    # its oldest one. A shop's Wi-Fi, or a proxy that is not among the trusted ones, is one address for a whole shop.
    connections_per_address: int = Field(2000, ge=1)
    listeners_per_address: int = Field(2000, ge=1)
    listens_per_minute: int = Field(120, ge=1)  # of one session or cart from one address, one after the other
    listeners_per_session: int = Field(32, ge=1)  # or cart: its screen, phones, an operator, and what they left open

    legacy_per_minute: int = Field(120, ge=1)  # calls without a credential, per address and cart or session

    log_format: Literal["auto", "text", "json"] = "auto"  # auto: text for a terminal, JSON for a pipe

    @model_validator(mode="after")
    def _tls_is_a_pair(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("--tls-cert and --tls-key belong together: give both or neither")
        return self

    @model_validator(mode="after")
    def _bus_is_nats(self) -> Self:
        for server in self.bus:
            if urlsplit(server).scheme not in ("nats", "tls") or not urlsplit(server).hostname:
                raise ValueError("name NATS servers, like nats://HOST:4222,nats://HOST2:4222 or tls://HOST:4222")
        return self

    @model_validator(mode="after")
    def _currency_is_one(self) -> Self:
        try:
            currency = self.wanted_currency
        except BadRequest as error:
            raise ValueError(error.detail) from error
        if self.currency_digits is not None and (currency is None or currency.digits != self.currency_digits):
            raise ValueError(
                "the decimals follow from the currency (ISO 4217): leave DUCKYCART_CURRENCY_DIGITS out, and name the "
                "currency with DUCKYCART_CURRENCY"
                + ("" if currency is None else f"; {currency.code} has {currency.digits}")
            )
        return self

    @property
    def wanted_currency(self) -> Currency | None:
        """The currency that the settings name; None agrees with whatever the database has."""
        return None if self.currency is None else currency_of(self.currency)

    @property
    def url(self) -> str:
        """The address where phones and screens find this server, without a slash at the end."""
        if self.public_url is not None:
            return self.public_url.rstrip("/")
        return f"{'https' if self.tls_cert else 'http'}://{in_url(self.host)}:{self.port}"

    @property
    def rules(self) -> Rules:
        """The settings that transitions need, in one value."""
        return Rules(
            currency=self.wanted_currency,
            qr_seconds=self.qr_seconds,
            refuse_offline=self.offline_carts is OfflineCarts.REFUSE,
            idle_seconds=self.idle_seconds,
            payment_seconds=self.payment_seconds,
        )
