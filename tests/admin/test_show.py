"""`duckycart carts show`: a cart that flaps is seen at a glance (F71)."""

import pytest

from duckycart.clock import SystemClock
from duckycart.hardware import connections
from duckycart.hardware.catchup import Filled
from duckycart.hardware.ending import Ended, Ending, Gone
from duckycart.hardware.ownership import Claim, claim_many, release_many
from duckycart.keys import hash_of
from duckycart.lifecycle.qr import get_qr
from duckycart.lifecycle.rules import Rules
from duckycart.store.address import locate
from duckycart.store.database import engine_for, transact
from duckycart.store.transaction import Transaction
from tests.admin.conftest import Shell

KEY = "k" * 32
HOUR = 3_600_000


@pytest.fixture
def place(database: str) -> str:
    """Either store, with carts 7 and 8."""
    return database


@pytest.fixture(autouse=True)
def furnished(shell: Shell, place: str) -> None:
    shell.run("carts", "add", "7", "--key", KEY, "--database", place)
    shell.run("carts", "add", "8", "--database", place)


def come_and_go(place: str, *ends: tuple[Ended | None, int, str]) -> None:
    """Cart 7 has had these connections: why each ended (None: it lasts), how long ago it began, from where."""
    engine = engine_for(locate(place))

    def work(tx: Transaction) -> None:
        now = tx.now
        for reason, ago, address in ends:
            tx.now = now - ago
            (filled,) = claim_many(tx, [Claim(7, hash_of(KEY), None, address=address)], "a/1")
            assert isinstance(filled, Filled)
            if reason is not None:
                release_many(tx, [Gone(7, filled.epoch, Ending(reason, None, 2500, 3, 2))])

    transact(engine, SystemClock(), work)
    engine.dispose()


def test_f71_a_cart_that_flaps_is_seen_at_a_glance(shell: Shell, place: str) -> None:
    come_and_go(
        place,
        (Ended.NO_PONG, 2 * HOUR, "10.0.0.7"),
        *((Ended.CART_LEFT, 1000 * ago, "10.0.0.7") for ago in range(90, 0, -10)),
        (Ended.BROKEN, 900, "10.0.0.7"),
        (None, 800, "10.0.0.7"),
    )
    shown = shell.json("carts", "show", "7", "--database", place)
    assert shown["last_hour"] == {
        "connections": 11, "at_least": False, "ended": {"cart_left": 9, "broken": 1}, "addresses": 1,
    }  # fmt: skip
    assert (shown["node"], shown["status"], shown["commands"], shown["refusals"]) == ("a/1", "available", [], [])
    lasting, broke, *_, oldest = shown["connections"]
    assert (lasting["reason"], lasting["until"], lasting["seconds"]) == (None, None, None)
    assert (lasting["address"], lasting["node"]) == ("10.0.0.7", "a/1")
    assert (broke["reason"], broke["ended_by"], broke["seconds"]) == ("broken", "network", 2.5)
    assert (broke["commands_sent"], broke["commands_received"], oldest["reason"]) == (3, 2, "no_pong")
    text = shell.run("carts", "show", "7", "--database", place).splitlines()
    assert text[0].startswith("Cart 7: available, connected to a/1 since ")
    assert text[1].startswith("11 connections in the last hour, 9 ended by cart_left: the cart's program")
    assert [line.split()[2:4] for line in text if "(lasts)" in line] == [["(lasts)", "-"]]


def test_f71_more_than_is_kept_is_said_to_be_more_and_two_addresses_make_two_carts_likely(
    shell: Shell, place: str
) -> None:
    come_and_go(place, *((Ended.TAKEN_OVER, 1000, f"10.0.0.{number % 2}") for number in range(40)))
    hour = shell.json("carts", "show", "7", "--database", place)["last_hour"]
    assert (hour["connections"], hour["at_least"], hour["addresses"]) == (20, True, 2)
    text = shell.run("carts", "show", "7", "--database", place).splitlines()[1]
    assert text.startswith("At least 20 connections in the last hour, 20 ended by taken_over")
    assert "do two carts use one key?" in text


def test_f71_what_it_has_yet_to_hear_and_what_it_was_refused_for(shell: Shell, place: str) -> None:
    come_and_go(place, (None, 0, "10.0.0.7"))
    engine = engine_for(locate(place))
    transact(engine, SystemClock(), lambda tx: get_qr(tx, 7, Rules()))
    row = {"cart": 7, "why": "wrong_key", "count": 312, "at": 0, "address": "10.0.0.9"}
    transact(engine, SystemClock(), lambda tx: tx.connection.execute(connections._REFUSED, [row]))
    engine.dispose()
    shown = shell.json("carts", "show", "7", "--database", place)
    (command,) = shown["commands"]
    assert (command["seq"], command["type"], command["state"]) == (1, "generate_qr", "queued")
    (refusal,) = shown["refusals"]
    assert (refusal["reason"], refusal["times"], refusal["address"]) == ("wrong_key", 312, "10.0.0.9")
    text = shell.run("carts", "show", "7", "--database", place)
    assert "generate_qr" in text
    assert "wrong_key    312" in text


def test_f71_a_cart_that_never_came(shell: Shell, place: str) -> None:
    shown = shell.json("carts", "show", "8", "--database", place)
    assert (shown["connections"], shown["last_hour"]["connections"]) == ([], 0)
    assert shell.run("carts", "show", "8", "--database", place).splitlines() == [
        "Cart 8: available, never connected.",
        "No new connection in the last hour.",
        "It has heard every command.",
    ]


def test_a_cart_that_is_not_there_is_not_shown(shell: Shell, place: str) -> None:
    error = shell.json_error("carts", "show", "9", "--database", place)
    assert (error["error"], error["detail"]) == (
        "unknown_cart", "There is no cart 9; `duckycart carts list` shows all.",
    )  # fmt: skip
