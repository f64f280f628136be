"""F67: who somebody is does not hang on a keyboard, a paste or a Unicode form, and neither does a password."""

import unicodedata

import pytest
from pwdlib import PasswordHash
from sqlalchemy import insert

from duckycart.lifecycle.accounts import find_account
from duckycart.names import account_name, password_forms
from duckycart.passwords import _argon2
from duckycart.store.tables import users
from duckycart.store.transaction import Transaction
from tests.api.doors import refused
from tests.world import Shop

NFC, NFD = "Zoë@exämple.com", unicodedata.normalize("NFD", "Zoë@exämple.com")
NAMES = [
    NFC, NFD, f" {NFC}", f"{NFC} ", f"\t{NFC}\r\n", f"\u00a0{NFC}\u2003", f"\u200f{NFC}\u200b", f"\ufeff{NFC}",
    NFC.upper(), NFD.swapcase(), "\uff3a\uff4fë\uff20exämple.com", f"\u2066{NFD}\u2069",
]  # fmt: skip
SECRET = "Pässe wörtlich 1"
PASSWORDS = [
    SECRET,
    unicodedata.normalize("NFD", SECRET),
    SECRET.replace(" ", "\u00a0"),
    unicodedata.normalize("NFD", SECRET).replace(" ", "\u2003"),
]
OTHER_PASSWORDS = [SECRET.lower(), f" {SECRET}", f"{SECRET} ", SECRET.replace("ä", "a"), SECRET.replace("ss", "ß")]


async def sign_up(shop: Shop, email: str, password: str, **more: str) -> int:
    form = {"email": email, "password": password, "full_name": "Zoë", **more}
    return (await shop.http.post("/auth/signup", json=form)).status_code


async def sign_in(shop: Shop, name: str, password: str) -> int:
    form = {"username": name, "password": password}
    return (await shop.http.post("/auth/login", data=form)).status_code


@pytest.mark.parametrize("written", [NAMES[1], NAMES[7]])
async def test_f67_an_account_is_found_however_its_name_was_written_then_and_now(shop: Shop, written: str) -> None:
    assert await sign_up(shop, written, SECRET, username="Zoë.B") == 200
    for typed in NAMES:
        assert await sign_in(shop, typed, SECRET) == 200, ascii(typed)
    for typed in NAMES[:3]:
        assert await sign_up(shop, typed, SECRET) == 409, ascii(typed)
    for typed in ("zoë.b", " ZOË.B ", unicodedata.normalize("NFD", "Zoë.B")):
        assert await sign_in(shop, typed, SECRET) == 200, ascii(typed)
    assert await sign_in(shop, "zoe@exämple.com", SECRET) == 401


@pytest.mark.parametrize("written", PASSWORDS[1:3])
async def test_f67_a_password_is_right_in_whatever_form_it_is_typed(shop: Shop, written: str) -> None:
    assert await sign_up(shop, "zoe@example.com", written) == 200
    for typed in PASSWORDS:
        assert await sign_in(shop, "zoe@example.com", typed) == 200, ascii(typed)
    for wrong in OTHER_PASSWORDS:
        assert await sign_in(shop, "zoe@example.com", wrong) == 401, ascii(wrong)


async def test_f67_a_form_that_is_utf8_and_not_escaped_is_the_same(shop: Shop) -> None:
    """As `curl -d` and small devices send it."""
    assert await sign_up(shop, NFC, SECRET) == 200
    body = f"username={NFC}&password={SECRET}"
    for headers in ({}, {"Content-Type": "application/x-www-form-urlencoded"}):
        answer = await shop.http.post("/auth/login", content=body.encode(), headers=headers)
        assert answer.status_code == 200, headers
    refused(await shop.http.post("/auth/login", content=body.encode("latin-1")), 401)


@pytest.mark.parametrize("kept", PASSWORDS)
async def test_f67_a_password_that_was_kept_as_it_was_typed_goes_on_working(shop: Shop, kept: str) -> None:
    def add(tx: Transaction) -> None:
        values = {"email": "old@example.com", "full_name": "Old", "is_active": True, "is_operator": False}
        tx.connection.execute(insert(users).values(**values, password_hash=_argon2.hash(kept), created_at=tx.now))

    await shop.inside.store.write(add)
    assert await sign_in(shop, "old@example.com", kept) == 200
    assert await sign_in(shop, "old@example.com", "something else") == 401


async def test_f67_an_unknown_user_costs_as_many_hashes_as_a_known_one(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await sign_up(shop, "zoe@example.com", SECRET) == 200
    verified: list[str] = []
    verify = type(_argon2).verify

    def counted(hasher: PasswordHash, password: str | bytes, kept: str | bytes) -> bool:
        verified.append("")
        return verify(hasher, password, kept)

    monkeypatch.setattr(type(_argon2), "verify", counted)
    counts = []
    for name in ("zoe@example.com", "nobody@example.com"):
        for password in (SECRET, "Pässe falsch 22", "ascii only 33"):
            verified.clear()
            await sign_in(shop, name, password)
            counts.append(len(verified))
    assert (
        counts[:3] == counts[3:] == [len(password_forms(one)) for one in (SECRET, "Pässe falsch 22", "ascii only 33")]
    )


async def test_f67_guessing_in_many_forms_is_counted_as_one_account(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []
    monkeypatch.setattr(shop.inside.sign_ins, "take", taken.append)
    for typed in NAMES:
        await sign_in(shop, typed, "ascii only 33")
    assert set(taken) == {account_name(NFC)}


async def test_f67_what_grows_when_it_is_brought_into_its_form_is_measured_then(shop: Shop) -> None:
    """A letter may become eighteen: no store is given more than it keeps."""
    grows = "\ufdfa" * 14  # 252 in its form
    for name in ("İ" * 41, grows, "\ufdfa" * 5):
        form = {"email": "a@example.com", "password": SECRET, "full_name": "A", "username": name}
        refused(await shop.http.post("/auth/signup", json=form), 422, ascii(name))
    form = {"email": f"{grows}@example.com", "password": SECRET, "full_name": "A"}
    refused(await shop.http.post("/auth/signup", json=form), 422)


@pytest.mark.parametrize("name", NAMES)
def test_f67_the_form_of_a_form_is_itself(name: str) -> None:
    assert account_name(account_name(name)) == account_name(name) == "zoë@exämple.com"


async def test_f67_an_account_made_at_the_shell_is_the_same(shop: Shop) -> None:
    from duckycart.admin.users import _email

    assert {_email(typed) for typed in NAMES} == {account_name(NFC)}
    assert await shop.inside.store.read(lambda connection: find_account(connection, NFC)) is None
