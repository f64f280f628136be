"""A basket counts what a cart believes that it holds."""

from collections import Counter


class Basket:
    """Counts what was answered with 200. A call whose answer was lost may have happened or not: `more` and `less` say
    by how many the server may differ."""

    def __init__(self) -> None:
        self.sure: Counter[int] = Counter()  # units, by barcode
        self.more: Counter[int] = Counter()
        self.less: Counter[int] = Counter()

    def __bool__(self) -> bool:
        return self.sure.total() > 0

    def __repr__(self) -> str:
        return f"{dict(+self.sure)}, perhaps {dict(self.more)} more and {dict(self.less)} less"

    def fits(self, barcode: int, quantity: int) -> bool:
        """Return whether the server may have so many."""
        sure = self.sure[barcode]
        return sure - self.less[barcode] <= quantity <= sure + self.more[barcode]

    def is_what(self, server: Counter[int]) -> bool:
        """Return whether this is what the server has."""
        return all(self.fits(barcode, server[barcode]) for barcode in {*self.sure, *self.more, *server})

    def wipe(self) -> None:
        self.sure.clear()
        self.more.clear()
        self.less.clear()
