"""A table says what scans and weights mean while somebody shops; nothing here does any I/O.

The scale is believed: what it shows beyond what scans explain is in the cart and not in the basket. An item is scanned,
then put in; one that was put in before it was scanned counts as well. `explained` is the weight that the basket and
what lay in the cart before account for, and a difference that has settled is reported once, until it is gone or
another. A cart without a scale goes by scans alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from duckycart.cart.heard import Pressed, Scanned, Weighed

WAIT_SECONDS: Final = 30.0  # for an item to be put in, or taken out, once it was named
EARLY: Final = 20  # scans that are remembered until the basket is known
ALIKE: Final = 0.05  # of a unit's weight: by so much another of the product may differ
INCREASED: Final = "weight increased"  # as the protocol's screens know them
DECREASED: Final = "weight decreased"


class Phase(StrEnum):
    OFF = "off"  # nobody shops
    READING = "reading"  # a session began, and what is in its basket is not known yet
    READY = "ready"
    PUT_IN = "put in"  # an item was scanned and is to be put in
    TAKE_OUT = "take out"  # an item is to be taken out
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit in the basket."""

    barcode: int
    grams: int | None = None  # as it was measured; None without a scale


@dataclass(frozen=True, slots=True)
class Floor:
    """Where the shopping stands."""

    phase: Phase = Phase.OFF
    session_id: int | None = None
    barcode: int | None = None  # of the item that is to be put in or taken out
    basket: tuple["Unit", ...] = ()  # the last one last; those that wait for the network too
    weight: int | None = None  # grams, as the scale rested last; None: there is no scale, or none that speaks
    tare: int | None = None  # grams that lay in the cart when the session began
    explained: int | None = None  # grams; None while the basket is not known
    reported: int = 0  # the unexplained grams that were reported last, 0 if there is nothing to report
    early: tuple[int, ...] = ()  # barcodes that were scanned before the basket was known


# What can happen, beside what drivers hear.


@dataclass(frozen=True, slots=True)
class Began:
    session_id: int
    tare: int | None = None  # of a session that goes on after the program was started anew


@dataclass(frozen=True, slots=True)
class Held:
    pass


@dataclass(frozen=True, slots=True)
class Ended:
    pass


@dataclass(frozen=True, slots=True)
class BasketRead:
    """The server said what is in the basket."""

    units: tuple[Unit, ...]
    grams: int  # of them all


@dataclass(frozen=True, slots=True)
class Unknown:
    """No product has this barcode."""

    barcode: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The server refused a change of the basket that was made here already."""


@dataclass(frozen=True, slots=True)
class Waited:
    """WAIT_SECONDS have passed since the last scan or press."""


Happening = Began | Held | Ended | BasketRead | Unknown | Refused | Waited | Scanned | Weighed | Pressed


# What is to be done.


@dataclass(frozen=True, slots=True)
class ReadItem:
    session_id: int
    barcode: int


@dataclass(frozen=True, slots=True)
class AddItem:
    session_id: int
    barcode: int
    grams: int | None  # None without a scale: the product's own weight counts


@dataclass(frozen=True, slots=True)
class RemoveItem:
    session_id: int
    barcode: int


@dataclass(frozen=True, slots=True)
class Warn:
    session_id: int
    words: str


@dataclass(frozen=True, slots=True)
class ReadBasket:
    session_id: int


@dataclass(frozen=True, slots=True)
class Say:
    sentence: str


Order = ReadItem | AddItem | RemoveItem | Warn | ReadBasket | Say
Step = tuple[Floor, tuple[Order, ...]]


def step(floor: Floor, happening: Happening, tolerance: int) -> Step:
    """Return where the shopping stands after what happened, and what is to be done, in order.

    `tolerance` is how many grams of difference are none.
    """
    return TABLE[floor.phase, type(happening)](floor, happening, tolerance)


def _of(floor: Floor) -> int:
    assert floor.session_id is not None
    return floor.session_id


def _nothing(floor: Floor, happening: Happening, tolerance: int) -> Step:
    return floor, ()


def _began(floor: Floor, happening: Began, tolerance: int) -> Step:
    tare = floor.weight if happening.tare is None else happening.tare
    return Floor(Phase.READING, happening.session_id, weight=floor.weight, tare=tare), (
        ReadBasket(happening.session_id),
    )


def _ended(floor: Floor, happening: Ended, tolerance: int) -> Step:
    return Floor(weight=floor.weight), ()


def _held(floor: Floor, happening: Held, tolerance: int) -> Step:
    return replace(floor, phase=Phase.HELD, barcode=None, early=()), ()


def _basket_read(floor: Floor, happening: BasketRead, tolerance: int) -> Step:
    tare = floor.tare
    if tare is None and floor.weight is not None:
        tare = floor.weight - happening.grams  # nobody knows better
    explained = None if tare is None else tare + happening.grams
    phase = Phase.READY if floor.phase is Phase.READING else floor.phase
    early = floor.early
    floor = replace(floor, phase=phase, basket=happening.units, tare=tare, explained=explained, reported=0, early=())
    orders: tuple[Order, ...] = ()
    for barcode in early:
        floor, more = step(floor, Scanned(barcode), tolerance)
        orders += more
    floor, more = _judged(floor, tolerance)
    return floor, orders + more


def _refused(floor: Floor, happening: Refused, tolerance: int) -> Step:
    phase = Phase.HELD if floor.phase is Phase.HELD else Phase.READING
    return replace(floor, phase=phase, barcode=None, explained=None), (ReadBasket(_of(floor)),)


def _weighed_off(floor: Floor, happening: Weighed, tolerance: int) -> Step:
    return replace(floor, weight=happening.grams), ()


def _weighed(floor: Floor, happening: Weighed, tolerance: int) -> Step:
    floor = replace(floor, weight=happening.grams)
    if floor.explained is None and floor.phase is not Phase.READING:
        # A scale that speaks for the first time: what it shows now is what there is.
        floor = replace(floor, explained=happening.grams)
    if floor.explained is None:
        return replace(floor, tare=happening.grams if floor.tare is None else floor.tare), ()
    return _judged(floor, tolerance)


def _surplus(floor: Floor) -> int:
    """Return the grams that the scale shows beyond what is explained, fewer than none if something is gone."""
    return 0 if floor.weight is None or floor.explained is None else floor.weight - floor.explained


def _judged(floor: Floor, tolerance: int) -> Step:
    """Report the surplus, unless it was reported; or say that all is well again."""
    surplus = _surplus(floor)
    if abs(surplus) <= tolerance:
        well = (Say("All is well again."),) if floor.reported else ()
        return replace(floor, reported=0), well
    if abs(surplus - floor.reported) <= tolerance:
        return floor, ()
    words = INCREASED if surplus > floor.reported else DECREASED
    if floor.phase is Phase.HELD:
        todo = "Nothing may be put in or taken out now."
    elif surplus > 0:
        todo = "Scan what you put in, or take it out."
    else:
        todo = "Put back what you took, or take it back here."
    return replace(floor, reported=surplus), (Warn(_of(floor), words), Say(todo))


def _weighed_put_in(floor: Floor, happening: Weighed, tolerance: int) -> Step:
    floor = replace(floor, weight=happening.grams)
    if _surplus(floor) > tolerance:
        assert floor.barcode is not None
        return _add(floor, floor.barcode)
    return _judged(floor, tolerance)


def _weighed_take_out(floor: Floor, happening: Weighed, tolerance: int) -> Step:
    floor = replace(floor, weight=happening.grams)
    return _take_out(floor, tolerance) if _surplus(floor) < -tolerance else _judged(floor, tolerance)


def _take_out(floor: Floor, tolerance: int) -> Step:
    """Take that unit out of the basket which weighs what is gone: the one that was named if it may be, else the one
    that was put in last."""
    gone = -_surplus(floor)
    fitting = [unit for unit in floor.basket if unit.grams is None or _alike(unit.grams, gone, tolerance)]
    named = [unit for unit in fitting if unit.barcode == floor.barcode]
    if not fitting:
        return _judged(floor, tolerance)
    return _remove(floor, (named or fitting)[-1])


def _alike(one: int, other: int, tolerance: int) -> bool:
    """Return whether the weights may be the same unit's; several of a product count with their middle."""
    return abs(one - other) <= tolerance + one * ALIKE


def _add(floor: Floor, barcode: int) -> Step:
    grams = None if floor.weight is None else _surplus(floor)
    after = replace(
        floor,
        phase=Phase.READY,
        barcode=None,
        basket=(*floor.basket, Unit(barcode, grams)),
        explained=floor.weight,
        reported=0,
    )
    return after, (AddItem(_of(floor), barcode, grams),)


def _remove(floor: Floor, unit: Unit) -> Step:
    units = list(floor.basket)
    del units[len(units) - 1 - units[::-1].index(unit)]
    after = replace(floor, phase=Phase.READY, barcode=None, basket=tuple(units), explained=floor.weight, reported=0)
    return after, (RemoveItem(_of(floor), unit.barcode),)


def _scanned_off(floor: Floor, happening: Scanned, tolerance: int) -> Step:
    return floor, (Say("Nobody shops with this cart: scan its QR with your phone first."),)


def _scanned_reading(floor: Floor, happening: Scanned, tolerance: int) -> Step:
    if len(floor.early) == EARLY:
        return floor, (Say("One moment, and then scan it again."),)
    return replace(floor, early=(*floor.early, happening.barcode)), (Say("One moment."),)


def _scanned(floor: Floor, happening: Scanned, tolerance: int) -> Step:
    read = ReadItem(_of(floor), happening.barcode)
    if floor.weight is None or _surplus(floor) > tolerance:  # there is no scale, or it was put in first
        after, orders = _add(floor, happening.barcode)
        return after, (read, *orders)
    return replace(floor, phase=Phase.PUT_IN, barcode=happening.barcode), (read, Say("Put it in."))


def _scanned_put_in(floor: Floor, happening: Scanned, tolerance: int) -> Step:
    if happening.barcode == floor.barcode:
        return floor, (Say("Put it in."),)
    after, orders = _scanned(replace(floor, phase=Phase.READY, barcode=None), happening, tolerance)
    return after, (Say("The item before was not put in."), *orders)


def _scanned_take_out(floor: Floor, happening: Scanned, tolerance: int) -> Step:
    if all(unit.barcode != happening.barcode for unit in floor.basket):
        return floor, (Say("That one is not in the basket."),)
    return replace(floor, barcode=happening.barcode), (Say("Take it out."),)


def _scanned_held(floor: Floor, happening: Scanned, tolerance: int) -> Step:
    words = f"item {happening.barcode} scanned while a payment is open"
    return floor, (Warn(_of(floor), words), Say("Nothing may be put in or taken out now."))


def _unknown(floor: Floor, happening: Unknown, tolerance: int) -> Step:
    if happening.barcode != floor.barcode:
        return floor, ()
    return replace(floor, phase=Phase.READY, barcode=None), ()


def _pressed(floor: Floor, happening: Pressed, tolerance: int) -> Step:
    if happening.button != "take_back":
        return floor, ()
    if not floor.basket:
        return floor, (Say("The basket is empty."),)
    last = floor.basket[-1]
    if floor.weight is None:
        return _remove(floor, last)
    if _surplus(floor) < -tolerance:  # it was taken out first
        return _take_out(floor, tolerance)
    return replace(floor, phase=Phase.TAKE_OUT, barcode=last.barcode), (
        Say("Take out the last item, or scan the one to take out."),
    )


def _pressed_waiting(floor: Floor, happening: Pressed, tolerance: int) -> Step:
    """Take back the wish: nothing is to be put in or taken out."""
    if happening.button != "take_back":
        return floor, ()
    return replace(floor, phase=Phase.READY, barcode=None), (Say("Never mind, then."),)


def _pressed_held(floor: Floor, happening: Pressed, tolerance: int) -> Step:
    return floor, (Say("Nothing may be put in or taken out now."),) if happening.button == "take_back" else ()


def _waited(floor: Floor, happening: Waited, tolerance: int) -> Step:
    words = "put in" if floor.phase is Phase.PUT_IN else "taken out"
    return replace(floor, phase=Phase.READY, barcode=None), (Say(f"Nothing was {words}; scan it again."),)


Rule = Callable[[Floor, Happening, int], Step]
_ROWS: Final[dict[type[object], tuple[object, ...]]] = {
    # what happens: OFF, READING, READY, PUT_IN, TAKE_OUT, HELD
    Began: (_began,) * 6,
    Held: (_nothing, _held, _held, _held, _held, _nothing),
    Ended: (_nothing, _ended, _ended, _ended, _ended, _ended),
    BasketRead: (_nothing, _basket_read, _nothing, _nothing, _nothing, _basket_read),
    Unknown: (_nothing, _nothing, _nothing, _unknown, _nothing, _nothing),
    Refused: (_nothing, _nothing, _refused, _refused, _refused, _refused),
    Waited: (_nothing, _nothing, _nothing, _waited, _waited, _nothing),
    Weighed: (_weighed_off, _weighed, _weighed, _weighed_put_in, _weighed_take_out, _weighed),
    Scanned: (_scanned_off, _scanned_reading, _scanned, _scanned_put_in, _scanned_take_out, _scanned_held),
    Pressed: (_nothing, _nothing, _pressed, _pressed_waiting, _pressed_waiting, _pressed_held),
}
TABLE: Final[dict[tuple[Phase, type[object]], Rule]] = {
    (phase, kind): rule  # type: ignore[misc]  # each takes the kind of its row
    for kind, rules in _ROWS.items()
    for phase, rule in zip(Phase, rules, strict=True)
}
