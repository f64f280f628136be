"""Carts and their keys."""

import os
import pty
import subprocess
import sys
from contextlib import suppress
from functools import partial

import pytest

from duckycart.admin import carts
from duckycart.clock import SystemClock
from duckycart.hardware.catchup import Filled
from duckycart.hardware.ending import Refused
from duckycart.hardware.ownership import Claim, changed_hands, claim_many
from duckycart.keys import hash_of
from duckycart.store.shop_address import keep_address
from duckycart.store.sqlite import engine_for, transact
from tests.admin.conftest import Shell

KEY = "k" * 32


def connect(shell: Shell, cart_id: int, key: str) -> Filled | Refused:
    """The cart claims its row with this key, as the server does it."""
    engine = engine_for(shell.database)
    claim = Claim(cart_id, hash_of(key), None)
    return transact(engine, SystemClock(), lambda tx: claim_many(tx, [claim], "node-1"))[0]


def test_a_key_is_shown_once_and_only_its_hash_is_kept(shell: Shell) -> None:
    (added,) = shell.json("carts", "add", "7")["carts"]
    assert added["id"] == 7
    assert len(added["key"]) == 43  # 256 bits, six to a character
    (row,) = shell.rows("SELECT * FROM carts")
    assert row["key_hash"] == hash_of(added["key"])
    assert added["key"].encode() not in shell.database.read_bytes()
    assert added["key"] not in shell.run("carts", "list", "--json")
    assert isinstance(connect(shell, 7, added["key"]), Filled)


def test_a_new_cart_counts_as_offline(shell: Shell) -> None:
    shell.run("carts", "add", "7")
    (row,) = shell.rows("SELECT * FROM carts")
    assert (row["link_changed_at"], row["link_node"], row["link_epoch"]) == (0, None, 0)
    assert row["created_at"] > 0


def test_people_get_a_table_and_the_hint_beside_it(shell: Shell) -> None:
    result = shell.invoke("carts", "add", "9-10", "--database", f"sqlite:///{shell.database}")
    head, first, second = result.stdout.splitlines()
    assert head.split() == ["CART", "KEY"]
    assert first.startswith("9     ")
    assert second.startswith("10    ")
    assert "shown this once" in result.stderr


def test_a_range_makes_a_fleet_with_a_key_each(shell: Shell) -> None:
    added = shell.json("carts", "add", "3-12")["carts"]
    assert [cart["id"] for cart in added] == list(range(3, 13))
    assert len({cart["key"] for cart in added}) == 10


def test_a_given_key_is_taken(shell: Shell) -> None:
    shell.run("carts", "add", "7", "--key", KEY)
    assert isinstance(connect(shell, 7, KEY), Filled)


def test_ids_that_are_there_add_nothing_at_all(shell: Shell) -> None:
    shell.run("carts", "add", "5-11")
    assert "already a cart 7;" in shell.fails("carts", "add", "7")
    error = shell.json_error("carts", "add", "1-20")
    assert error["error"] == "cart_exists"
    assert "5, 6, 7, 8, 9 and 2 more" in error["detail"]
    assert [row["id"] for row in shell.rows("SELECT id FROM carts ORDER BY id")] == list(range(5, 12))


def test_two_carts_cannot_have_one_key(shell: Shell) -> None:
    shell.run("carts", "add", "1", "--key", KEY)
    assert shell.json_error("carts", "add", "2", "--key", KEY)["error"] == "key_taken"
    shell.run("carts", "add", "2")
    assert shell.json_error("carts", "rotate-key", "2", "--key", KEY)["error"] == "key_taken"
    assert shell.rows("SELECT link_epoch FROM carts WHERE id = 2")[0]["link_epoch"] == 0


@pytest.mark.parametrize(
    "given",
    ["0", "-", "1-", "-1", "abc", "", " 7", "7 ", "1.0", "007", "1000000000", "9-1", "1-1000000000", "1-2-3",
     "\N{ARABIC-INDIC DIGIT SEVEN}", "7\n", "1\x00"],
)  # fmt: skip
def test_what_is_no_cart_id_is_refused_before_anything_is_made(shell: Shell, given: str) -> None:
    assert shell.json_error("carts", "add", "--", given)["error"] == "bad_cart_id"
    assert not shell.database.exists()


def test_a_range_is_bounded(shell: Shell) -> None:
    assert shell.json_error("carts", "add", f"1-{carts.FLEET + 1}")["error"] == "range_too_large"


@pytest.mark.parametrize("key", ["", "k" * 31, "k" * 201, "k" * 31 + " ", "k" * 31 + "\n", "ك" * 32, "k" * 32 + "\x00"])
def test_a_weak_or_unsendable_key_is_refused(shell: Shell, key: str) -> None:
    assert shell.json_error("carts", "add", "7", "--key", key)["error"] == "bad_key"
    assert not shell.database.exists()


def test_a_fleet_takes_no_key(shell: Shell) -> None:
    assert shell.json_error("carts", "add", "1-2", "--key", KEY)["error"] == "key_for_range"


def test_rotating_voids_the_old_key_and_withdraws_its_link(shell: Shell) -> None:
    (added,) = shell.json("carts", "add", "7")["carts"]
    connect(shell, 7, added["key"])
    rotated = shell.json("carts", "rotate-key", "7")
    with engine_for(shell.database).connect() as connection:
        assert changed_hands(connection, 1) == [(7, 2, None)]  # what makes the sweep close the link of epoch 1
    assert isinstance(connect(shell, 7, added["key"]), Refused)
    assert isinstance(connect(shell, 7, rotated["key"]), Filled)


def test_disabling_withdraws_the_link_and_lets_nobody_in(shell: Shell) -> None:
    (added,) = shell.json("carts", "add", "7")["carts"]
    connect(shell, 7, added["key"])
    assert shell.json("carts", "disable", "7") == {"id": 7, "disabled": True}
    with engine_for(shell.database).connect() as connection:
        assert changed_hands(connection, 1) == [(7, 2, None)]
    assert isinstance(connect(shell, 7, added["key"]), Refused)
    assert shell.json("carts", "enable", "7") == {"id": 7, "disabled": False}
    assert isinstance(connect(shell, 7, added["key"]), Filled)


def test_disabling_leaves_the_session_alone(shell: Shell) -> None:
    shell.run("carts", "add", "7")
    engine = engine_for(shell.database)
    with engine.connect() as connection:
        connection.exec_driver_sql("UPDATE carts SET status = 'in_use', session_id = 41")
    shell.run("carts", "disable", "7")
    (listed,) = shell.json("carts", "list")["carts"]
    assert (listed["status"], listed["session_id"], listed["disabled"]) == ("in_use", 41, True)


def test_a_screens_key_is_shown_once_with_the_address_to_open(shell: Shell) -> None:
    shell.run("carts", "add", "7")
    given = shell.json("carts", "screen-key", "7", DUCKYCART_PUBLIC_URL="https://shop.example/")
    assert given == {"id": 7, "key": given["key"], "url": f"https://shop.example/screen/7#{given['key']}"}
    assert len(given["key"]) == 43
    (row,) = shell.rows("SELECT * FROM carts")
    assert row["screen_key_hash"] == hash_of(given["key"])
    assert row["screen_changed_at"] > 0
    assert given["key"].encode() not in shell.database.read_bytes()
    elsewhere = shell.json("carts", "screen-key", "7", "--public-url", "http://10.0.0.2:8000")
    assert elsewhere["url"].startswith("http://10.0.0.2:8000/screen/7#")
    assert elsewhere["key"] != given["key"]
    assert "#" in shell.run("carts", "screen-key", "7")


def test_a_screen_opens_where_the_server_said_it_is(shell: Shell) -> None:
    shell.run("carts", "add", "7")
    assert shell.json("carts", "screen-key", "7")["url"].startswith("http://127.0.0.1:8000/screen/7#")
    for url in ("https://before.example", "https://shop.example"):
        transact(engine_for(shell.database), SystemClock(), partial(keep_address, url=url))
    assert shell.json("carts", "screen-key", "7")["url"].startswith("https://shop.example/screen/7#")
    here = shell.json("carts", "screen-key", "7", DUCKYCART_PUBLIC_URL="https://here.example")
    assert here["url"].startswith("https://here.example/")


@pytest.mark.parametrize(("name", "beginning"), [("a.png", b"\x89PNG"), ("b.SVG", b"<?xml")])
def test_a_screens_address_is_a_picture_for_the_tablets_camera(shell: Shell, name: str, beginning: bytes) -> None:
    shell.run("carts", "add", "7")
    picture = shell.folder / name
    shell.run("carts", "screen-key", "7", "--picture", picture)
    assert picture.read_bytes().startswith(beginning)
    assert picture.stat().st_mode & 0o777 == 0o600
    (row,) = shell.rows("SELECT screen_key_hash FROM carts")
    error = shell.json_error("carts", "screen-key", "7", "--picture", shell.folder / "a.gif")
    assert error["error"] == "bad_picture"
    assert shell.json_error("carts", "screen-key", "7", "--picture", shell.folder / "no" / name)["detail"]
    assert tuple(shell.rows("SELECT screen_key_hash FROM carts")[0]) == tuple(row)


def test_in_a_terminal_the_address_is_drawn(shell: Shell) -> None:
    shell.run("carts", "add", "7")
    command = [sys.executable, "-m", "duckycart", "carts", "screen-key", "7"]
    ours, terminal = pty.openpty()
    drawn = b""
    with subprocess.Popen(
        [*command, "--database", f"sqlite:///{shell.database}"], stdout=subprocess.DEVNULL, stderr=terminal
    ):
        os.close(terminal)
        with suppress(OSError):  # Linux says so when nobody has it open any more
            while part := os.read(ours, 65_536):
                drawn += part
    os.close(ours)
    assert "\u2588\u2580" in drawn.decode()
    assert "\u2588" not in shell.run("carts", "screen-key", "7")


def test_a_screens_key_is_withdrawn(shell: Shell) -> None:
    shell.run("carts", "add", "7")
    shell.run("carts", "screen-key", "7")
    assert shell.json("carts", "screen-key", "7", "--remove") == {"id": 7, "key": None}
    assert shell.rows("SELECT screen_key_hash FROM carts")[0]["screen_key_hash"] is None
    assert "no screen key" in shell.run("carts", "screen-key", "7", "--remove")


def test_a_screens_key_is_not_made_where_the_settings_cannot_be_read(shell: Shell) -> None:
    shell.run("carts", "add", "7")
    error = shell.invoke("carts", "screen-key", "7", DUCKYCART_PORT="many")
    assert (error.exit_code, error.stdout) == (1, "")
    assert "--public-url" in error.stderr
    assert shell.rows("SELECT screen_key_hash FROM carts")[0]["screen_key_hash"] is None


@pytest.mark.parametrize("command", ["rotate-key", "disable", "enable", "screen-key"])
def test_a_cart_that_is_not_there(shell: Shell, command: str) -> None:
    shell.run("carts", "add", "7")
    assert shell.json_error("carts", command, "8")["error"] == "unknown_cart"
    assert "no cart 8" in shell.fails("carts", command, "8")
    assert shell.json_error("carts", command, "7-8")["error"] == "bad_cart_id"
    assert shell.json_error("carts", command, "x")["error"] == "bad_cart_id"


def test_the_list_says_what_each_cart_does(shell: Shell) -> None:
    shell.run("carts", "add", "1-2")
    shell.run("carts", "add", "3", "--key", KEY)
    shell.run("carts", "disable", "2")
    connect(shell, 3, KEY)
    first, second, third = shell.json("carts", "list")["carts"]
    assert first.keys() == {
        "id", "status", "session_id", "disabled", "out_of_service", "node", "link_changed_at", "created_at",
    }  # fmt: skip
    assert (first["node"], first["link_changed_at"], first["disabled"]) == (None, None, False)
    assert second["disabled"] is True
    assert (third["node"], third["status"]) == ("node-1", "available")
    head, *lines = shell.run("carts", "list").splitlines()
    assert head.split()[:3] == ["CART", "STATE", "SESSION"]
    assert [line.split()[1] for line in lines] == ["available", "disabled", "available"]
    assert lines[0].endswith("never")


def test_an_empty_list_is_a_list(shell: Shell) -> None:
    shell.run("carts", "add", "1")
    with engine_for(shell.database).connect() as connection:
        connection.exec_driver_sql("DELETE FROM carts")
    assert shell.json("carts", "list") == {"carts": []}
    assert len(shell.run("carts", "list").splitlines()) == 1
