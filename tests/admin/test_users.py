"""Accounts made by hand."""

import pytest

from duckycart.lifecycle.accounts import find_account
from duckycart.passwords import Passwords
from duckycart.store.sqlite import engine_for
from tests.admin.conftest import Shell

PASSWORD = "correct horse"


async def test_an_operator_can_sign_in_with_the_password(shell: Shell) -> None:
    user = shell.json("users", "add", "Boss@Example.COM", "--operator", "--name", " Ann Boss ", typed=f"{PASSWORD}\n")
    assert user == {"id": 1, "email": "boss@example.com", "full_name": "Ann Boss", "is_operator": True}
    with engine_for(shell.database).connect() as connection:
        account = find_account(connection, "BOSS@example.com")
    assert account is not None
    assert account[0].is_operator
    assert account[0].is_active
    passwords = Passwords()
    assert await passwords.check(PASSWORD, account[1])
    passwords.close()
    assert PASSWORD.encode() not in shell.database.read_bytes()


def test_without_the_option_it_is_a_shopper(shell: Shell) -> None:
    assert shell.run("users", "add", "ann@example.com", typed=PASSWORD) == "ann@example.com can sign in.\n"
    (row,) = shell.rows("SELECT * FROM users")
    assert (row["is_operator"], row["is_active"], row["full_name"]) == (0, 1, "ann")


def test_an_e_mail_that_is_taken(shell: Shell) -> None:
    shell.run("users", "add", "ann@example.com", typed=PASSWORD)
    error = shell.json_error("users", "add", "ANN@example.com", "--operator", typed=PASSWORD)
    assert error["error"] == "account_taken"
    assert [row["is_operator"] for row in shell.rows("SELECT * FROM users")] == [0]


@pytest.mark.parametrize(
    "email", ["", "ann", "ann@", "@example.com", "ann@example", "a b@example.com", "ann@@x.y", "a@b@c.d", "a\x00@b.c",
              "a\x1b@b.c", "\udcff@b.c", "a" * 250 + "@b.cd"],
)  # fmt: skip
def test_what_is_no_e_mail(shell: Shell, email: str) -> None:
    assert shell.json_error("users", "add", email, typed=PASSWORD)["error"] == "bad_email"
    assert not shell.database.exists()


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x00", "a" * 121])
def test_what_is_no_name(shell: Shell, name: str) -> None:
    assert shell.json_error("users", "add", "a@b.cd", "--name", name, typed=PASSWORD)["error"] == "bad_name"


def test_a_password_that_phones_may_sign_up_with_is_one_here_too(shell: Shell) -> None:
    assert shell.json("users", "add", "a@b.cd", typed="12345678\n")["email"] == "a@b.cd"


@pytest.mark.parametrize("typed", ["", "\n", "1234567\n", "1" * 201, "1" * 100_000, b"caf\xe9 au lait, cold"])
def test_what_is_no_password(shell: Shell, typed: str | bytes) -> None:
    error = shell.json_error("users", "add", "a@b.cd", typed=typed)
    assert error["error"] == "bad_password"
    assert not shell.database.exists()


def test_at_a_terminal_the_password_is_asked_for_twice(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("duckycart.admin.users.at_terminal", lambda: True)
    typed = f"{PASSWORD}\nmistyped...\n{PASSWORD}\n{PASSWORD}\n"
    result = shell.invoke("users", "add", "ann@example.com", typed=typed)
    assert result.exit_code == 0
    assert "do not match" in result.output
    assert PASSWORD not in result.output
    assert len(shell.rows("SELECT * FROM users")) == 1


def test_giving_up_at_the_question_makes_nothing(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("duckycart.admin.users.at_terminal", lambda: True)
    assert shell.invoke("users", "add", "ann@example.com", typed="").exit_code == 1
    assert not shell.database.exists()
