"""Some DUCKYCART_… variables are not for us: what is empty, what an orchestrator put there, what nobody knows."""

import re
from collections.abc import MutableMapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

PREFIX: Final = "DUCKYCART_"
# The fields of `settings.Settings`, whose own list needs what a cart has not installed; a test holds them together.
SETTINGS: Final = (
    "host",
    "port",
    "database",
    "tls_cert",
    "tls_key",
    "keep_alive_seconds",
    "public_url",
    "node",
    "bus",
    "bus_credentials",
    "bus_ca",
    "drain_per_second",
    "keyless_carts",
    "plain_carts",
    "legacy_screens",
    "trusted_proxies",
    "cors_origins",
    "currency",
    "currency_digits",
    "feedback_items",
    "offline_carts",
    "qr_seconds",
    "idle_seconds",
    "payment_seconds",
    "payment_provider",
    "sandbox_public",
    "provider_seconds",
    "handshakes",
    "connects",
    "sign_in_per_minute",
    "scans_per_minute",
    "address_per_minute",
    "connections_per_address",
    "listeners_per_address",
    "listens_per_minute",
    "listeners_per_session",
    "legacy_per_minute",
    "log_format",
)
_OF_OTHERS: Final = ("CA", "CONFIG", "DRIVERS", "KEY", "STATE", "URL")  # the cart's program
_OF_TESTS: Final = "DUCKYCART_TEST_"

# What Kubernetes, and Docker's old links, tell a container of each service, here of those whose names begin with
# `duckycart`: DUCKYCART_SERVICE_HOST, DUCKYCART_PORT=tcp://10.96.12.7:8000, DUCKYCART_PORT_8000_TCP_ADDR.
_SERVICE: Final = re.compile(r"DUCKYCART(_\w+)?_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")
_ADDRESS: Final = re.compile(r"(tcp|udp|sctp)://.*")


@dataclass(frozen=True, slots=True)
class Ignored:
    """Variables that are as good as not set."""

    event: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"{', '.join(self.names)}: {self.event}"


def tidy(environ: MutableMapping[str, str]) -> list[Ignored]:
    """Take out of `environ` what is not for us; returns what a person should hear of that.

    An empty variable is one that is not set, whatever it is for; nobody hears of that.
    """
    known = [name.upper() for name in (*SETTINGS, *_OF_OTHERS)]
    services: list[str] = []
    notes: list[Ignored] = []
    for name in sorted(name for name in environ if name.startswith(PREFIX) and not name.startswith(_OF_TESTS)):
        value = environ[name]
        if not value.strip():
            del environ[name]
        elif _SERVICE.fullmatch(name) or (name.endswith("_PORT") and _ADDRESS.fullmatch(value)):
            del environ[name]
            services.append(name)
        elif (short := name.removeprefix(PREFIX)) not in known:
            nearest = get_close_matches(short, known, 1)
            meant = f"; did you mean {PREFIX}{nearest[0]}?" if nearest else ""
            notes.append(Ignored(f"no such setting{meant}", (name,)))
    if services:
        event = "ignored, for they tell of a service of that name (Kubernetes: enableServiceLinks: false)"
        notes.append(Ignored(event, tuple(services)))
    return notes
