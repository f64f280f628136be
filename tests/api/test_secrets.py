"""F22: what an answer never carries, whatever goes wrong behind it."""

from unittest import mock

from sqlalchemy import text

from duckycart.passwords import Passwords
from duckycart.store.tables import users
from duckycart.store.transaction import Transaction
from duckycart.testing.furnish import MILK
from tests.api.doors import PASSWORD, Session, refused
from tests.world import Shop


async def test_f22_neither_password_nor_hash_is_in_an_answer(shop: Shop) -> None:
    form = {"email": "sara@example.com", "password": PASSWORD, "full_name": "Sara"}
    answers = [
        await shop.http.post("/auth/signup", json=form),
        await shop.http.post("/auth/signup", json=form),
        await shop.http.post("/auth/signup", json={**form, "email": "no address"}),
        await shop.http.post("/auth/login", data={"username": form["email"], "password": PASSWORD}),
        await shop.http.post("/auth/login", data={"username": form["email"], "password": PASSWORD + "!"}),
    ]
    assert [answer.status_code for answer in answers] == [200, 409, 422, 200, 401]
    (user,) = await shop.rows(users.select())
    assert user.password_hash.startswith("$argon2")
    for answer in answers:
        assert PASSWORD not in answer.text
        assert "argon2" not in answer.text
        assert "password_hash" not in answer.text


async def test_f22_the_kept_fingerprint_of_a_sign_up_is_no_quick_hash_of_its_password(shop: Shop) -> None:
    """The same e-mail and key with another password is the same sign-up: the password is not in what is compared."""
    form = {"email": "sara@example.com", "password": PASSWORD, "full_name": "Sara"}
    key = {"Idempotency-Key": "one"}
    first = await shop.http.post("/auth/signup", json=form, headers=key)
    again = await shop.http.post("/auth/signup", json={**form, "password": "another password"}, headers=key)
    assert (again.status_code, again.json()) == (200, first.json())
    signed_in = await shop.http.post("/auth/login", data={"username": form["email"], "password": PASSWORD})
    assert signed_in.status_code == 200


async def test_f22_a_broken_database_is_503_without_its_words(shop: Shop, session: Session) -> None:
    def damage(tx: Transaction) -> None:
        for table in ("basket_lines", "products"):
            tx.connection.execute(text(f"DROP TABLE {table}"))

    await shop.inside.store.write(damage)
    for answer in (
        await shop.add(session.id),
        await shop.http.get(f"/items/read/{MILK}", headers=session.shopper),
        await shop.http.get(f"/cart-items/session/{session.id}", headers=session.shopper),
    ):
        problem = refused(answer, 503)
        assert problem["code"] == "database_unavailable"
        assert "basket_lines" not in answer.text
        assert "products" not in answer.text
        assert answer.headers["retry-after"]


async def test_f22_what_nobody_foresaw_is_500_without_its_words(shop: Shop) -> None:
    with mock.patch.object(Passwords, "check", side_effect=RuntimeError("SELECT secret FROM signing_keys")):
        answer = await shop.http.post("/auth/login", data={"username": "a", "password": "b"})
    assert "secret" not in answer.text
    assert refused(answer, 500)["code"] == "internal_error"
