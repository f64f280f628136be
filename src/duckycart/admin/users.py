"""`duckycart users` makes accounts by hand, above all the first operator's."""

import re
import sys
from typing import Annotated

import typer

from duckycart import defaults
from duckycart.admin.refusals import BAD_EMAIL, BAD_NAME, BAD_PASSWORD, LONG_NAME, PASSWORD_NOT_UTF_8
from duckycart.admin.shell import DatabaseOption, JsonOption, Shell, quoted
from duckycart.names import EMAIL, MAX_EMAIL, MAX_FULL_NAME, MAX_PASSWORD, MIN_PASSWORD, account_name

app = typer.Typer(no_args_is_help=True, help="Make accounts for operators and shoppers.")


@app.callback()
def _group() -> None:
    # Without a callback Typer would leave out the name of an only command.
    pass


@app.command()
def add(
    email: Annotated[str, typer.Argument(help="What they sign in with.", show_default=False)],
    operator: Annotated[
        bool, typer.Option("--operator", help="May see every cart and session, and ask for any QR.")
    ] = False,
    name: Annotated[
        str | None, typer.Option("--name", help="Full name. Without it: the e-mail up to the @.", show_default=False)
    ] = None,
    database: DatabaseOption = defaults.DATABASE,
    as_json: JsonOption = False,
) -> None:
    """Make an account. Asks for the password twice; when a program calls, it is the first line of standard input.

    The first operator: duckycart users add boss@example.com --operator

    From a program: duckycart users add boss@example.com --operator < password.txt
    """
    with Shell(database, as_json) as shell:
        email, full_name = _email(email), _name(name, email)
        shell.place(create=True)  # a wrong --database is told before anybody types a password
        password = _password()

        from sqlalchemy import update

        from duckycart.lifecycle.accounts import User, sign_up
        from duckycart.passwords import hash_password
        from duckycart.store.tables import users
        from duckycart.store.transaction import Transaction

        password_hash = hash_password(password)  # takes long on purpose, so before the transaction

        def make(tx: Transaction) -> User:
            user = sign_up(
                tx, email=email, password_hash=password_hash, full_name=full_name, username=None, mobile_number=None
            )
            tx.connection.execute(update(users).where(users.c.id == user.id).values(is_operator=operator))
            return user

        user = shell.write(make, create=True)
        shell.answer(
            {"id": user.id, "email": user.email, "full_name": user.full_name, "is_operator": operator},
            f"{email} can sign in{' as an operator' if operator else ''}.",
        )


def _email(given: str) -> str:
    email = account_name(given)
    if len(email) > MAX_EMAIL or not email.isprintable() or re.fullmatch(EMAIL, email) is None:
        raise BAD_EMAIL(given=quoted(given))
    return email


def _name(given: str | None, email: str) -> str:
    name = email.partition("@")[0] if given is None else given.strip()
    if not name or not name.isprintable():
        raise BAD_NAME(given=quoted(name))
    if given is not None and len(name) > MAX_FULL_NAME:
        raise LONG_NAME(most=MAX_FULL_NAME)
    return name[:MAX_FULL_NAME]


def _password() -> str:
    if at_terminal():
        password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        try:
            password = sys.stdin.readline(MAX_PASSWORD + 3).rstrip("\r\n")
            password.encode()
        except UnicodeError:
            raise PASSWORD_NOT_UTF_8() from None
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise BAD_PASSWORD(least=MIN_PASSWORD, most=MAX_PASSWORD)
    return password


def at_terminal() -> bool:
    return sys.stdin.isatty()
