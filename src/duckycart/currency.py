"""A shop takes one currency, and its prices have so many decimals: ISO 4217, from a library."""

from dataclasses import dataclass
from typing import Final

from duckycart.errors import BadRequest, Conflict, Refusal

DEFAULT: Final = "EGP"  # of a database that nobody told otherwise


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency as a database has it. `digits` are its decimals: money is kept in units of 10 ** -digits."""

    code: str  # ISO 4217, upper case
    digits: int

    def written(self, minor: int) -> str:
        """Return an amount for people, with all its decimals: `12.500 KWD`."""
        sign, minor = "-" * (minor < 0), abs(minor)
        whole, part = divmod(minor, 10**self.digits)
        return f"{sign}{whole}{f'.{part:0{self.digits}}' * bool(self.digits)} {self.code}"

    def major(self, minor: int) -> float:
        """Return an amount as a JSON number."""
        return float(round(minor / 10**self.digits, self.digits))


class WrongCurrency(Conflict):
    """Somebody's settings and the database name two currencies."""


UNKNOWN_CURRENCY: Final = Refusal(
    BadRequest, "unknown_currency", "{code!a} is no currency of ISO 4217 that one can pay with; give one like EGP."
)
WRONG_CURRENCY: Final = Refusal(
    WrongCurrency,
    "wrong_currency",
    "The settings say DUCKYCART_CURRENCY={wanted}, but the prices of this database are in {present}, with {digits} "
    "decimals. Leave DUCKYCART_CURRENCY out, or set it to {present}; `duckycart db currency {wanted}` changes the "
    "database, as long as nobody has shopped yet.",
)


def currency_of(code: str) -> Currency:
    """Return what ISO 4217 says of this code. Raises BadRequest, with a sentence, for one that is no currency to pay
    with."""
    import iso4217  # reads its table of all countries: 40 ms that only those spend who name a currency

    try:
        digits = iso4217.Currency(code).exponent
    except ValueError:
        digits = None
    if digits is None:  # also for gold, for tests and for no currency
        raise UNKNOWN_CURRENCY(code=code[:20])
    return Currency(code, digits)
