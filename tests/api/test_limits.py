"""How often one may try, per account and per address, and whose address is believed."""

from collections.abc import Awaitable, Callable
from unittest import mock

import pytest
from httpx2 import Response

from duckycart import passwords
from tests.api.doors import PASSWORD, refused
from tests.conftest import OpenShop
from tests.world import Shop

pytestmark = pytest.mark.any_store

LOGIN = {"username": "nobody@example.com", "password": "wrong"}


def attempt(shop: Shop, username: str, address: str) -> Awaitable[Response]:
    """A wrong password, by way of a proxy that names the address."""
    return shop.http.post("/auth/login", data={**LOGIN, "username": username}, headers={"X-Forwarded-For": address})


@pytest.mark.parametrize("door", ["login", "signup", "guest", "scan"])
async def test_too_many_tries_are_429_until_the_time_that_retry_after_names(opening: OpenShop, door: str) -> None:
    async with opening(offline_carts="accept", address_per_minute=2) as shop:
        shopper = await shop.shopper()
        account = {"email": "taken@example.com", "password": PASSWORD, "full_name": "A"}
        knocks: dict[str, Callable[[], Awaitable[Response]]] = {
            "login": lambda: shop.http.post("/auth/login", data=LOGIN),
            "signup": lambda: shop.http.post("/auth/signup", json=account),
            "guest": lambda: shop.http.post("/auth/guest", json={"token": "no QR"}),
            "scan": lambda: shop.scan("no QR", shopper),
        }
        knock = knocks[door]
        assert [(await knock()).status_code == 429 for _ in range(2)] == [False, False]
        limited = await knock()
        assert refused(limited, 429)["code"] == "too_many_requests"
        seconds = int(limited.headers["retry-after"])
        assert seconds == 30
        shop.clock.move(seconds - 1)
        assert (await knock()).status_code == 429
        shop.clock.move(1)
        assert (await knock()).status_code != 429
        assert (await knock()).status_code == 429
        shop.clock.move(3600)
        assert [(await knock()).status_code == 429 for _ in range(3)] == [False, False, True]


async def test_an_account_is_limited_whatever_addresses_ask(opening: OpenShop) -> None:
    async with opening(sign_in_per_minute=2, trusted_proxies="127.0.0.0/8") as shop:
        tries = [(await attempt(shop, "Mona@example.com", f"203.0.113.{n}")).status_code for n in range(3)]
        assert tries == [401, 401, 429]
        assert (await attempt(shop, "MONA@EXAMPLE.COM", "203.0.113.9")).status_code == 429
        assert (await attempt(shop, "other@example.com", "203.0.113.9")).status_code == 401


async def test_a_shopper_scans_only_so_often(opening: OpenShop) -> None:
    async with opening(scans_per_minute=2) as shop:
        mona, omar = await shop.shopper(), await shop.shopper("omar@example.com")
        assert [(await shop.scan("no QR", mona)).status_code for _ in range(3)] == [400, 400, 429]
        assert (await shop.scan("no QR", omar)).status_code == 400


async def test_an_address_is_limited_whatever_accounts_it_tries(opening: OpenShop) -> None:
    async with opening(address_per_minute=2, trusted_proxies="127.0.0.0/8") as shop:
        tries = [(await attempt(shop, f"a{n}@example.com", "203.0.113.1")).status_code for n in range(3)]
        assert tries == [401, 401, 429]
        assert (await attempt(shop, "a9@example.com", "203.0.113.2")).status_code == 401
        # The nearest address that is no trusted proxy counts; what stands before it anyone can write.
        assert (await attempt(shop, "a8@example.com", "198.51.100.7, 203.0.113.1")).status_code == 429
        assert (await attempt(shop, "a7@example.com", "203.0.113.1, 127.0.0.9")).status_code == 429


async def test_f59_each_client_has_limits_of_its_own_in_whatever_form_the_proxy_writes(opening: OpenShop) -> None:
    async with opening(address_per_minute=1, trusted_proxies="127.0.0.0/8") as shop:
        for address in ("203.0.113.7:40123", "203.0.113.8:40123", "[2001:db8:1::1]:443", "_hidden", "unknown"):
            assert (await attempt(shop, "mona@example.com", address)).status_code == 401, address
        for address in ("203.0.113.7:9", "203.0.113.8", "2001:db8:1::1", "_hidden", "rubbish"):
            assert (await attempt(shop, "mona@example.com", address)).status_code == 429, address


async def test_f57_a_host_with_a_whole_64_is_one_address(opening: OpenShop) -> None:
    async with opening(address_per_minute=2, trusted_proxies="127.0.0.0/8") as shop:
        tries = [(await attempt(shop, f"a{n}@example.com", f"2001:db8::{n}:1")).status_code for n in range(3)]
        assert tries == [401, 401, 429]
        assert (await attempt(shop, "a9@example.com", "2001:db8:0:1::1")).status_code == 401


async def test_f57_also_where_no_credential_is_needed(opening: OpenShop) -> None:
    networks = {"legacy_screens": "2001:db8::/32", "trusted_proxies": "127.0.0.0/8"}
    async with opening(offline_carts="accept", legacy_per_minute=2, **networks) as shop:
        await shop.furnish()
        for number, status in enumerate([200, 200, 429]):
            headers = {"X-Forwarded-For": f"2001:db8::{number}"}
            assert (await shop.http.get("/customer-session/qr/1", headers=headers)).status_code == status


async def test_x_forwarded_for_is_not_believed_from_anyone_else(opening: OpenShop) -> None:
    async with opening(address_per_minute=2, trusted_proxies="10.0.0.0/8") as shop:
        tries = [(await attempt(shop, f"a{n}@example.com", f"203.0.113.{n}")).status_code for n in range(3)]
        assert tries == [401, 401, 429]


async def test_an_unknown_user_costs_the_same_work_as_a_wrong_password(shop: Shop) -> None:
    account = {"email": "sara@example.com", "password": PASSWORD, "full_name": "Sara"}
    assert (await shop.http.post("/auth/signup", json=account)).status_code == 200
    await shop.add_user("guest-like@example.com")  # an account without a password
    answers = set()
    real = passwords._argon2
    with mock.patch.object(passwords, "_argon2", mock.Mock(wraps=real)) as argon2:
        for username in ("sara@example.com", "nobody@example.com", "guest-like@example.com"):
            answer = await shop.http.post("/auth/login", data={**LOGIN, "username": username})
            answers.add((answer.status_code, answer.text))
    given, hashes = zip(*(call.args for call in argon2.verify.call_args_list), strict=True)
    assert given == ("wrong",) * 3
    costs = {found.rsplit("$", 2)[0] for found in hashes}
    assert len(costs) == 1, "one algorithm with one set of parameters"
    assert len(answers) == 1
