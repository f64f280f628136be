"""What scans and weights mean: every row of the table, and any order of things."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duckycart.cart.heard import TAKE_BACK, Pressed, Scanned, Weighed
from duckycart.cart.shopping import (
    DECREASED,
    EARLY,
    INCREASED,
    TABLE,
    AddItem,
    BasketRead,
    Began,
    Ended,
    Floor,
    Happening,
    Held,
    Order,
    Phase,
    ReadBasket,
    ReadItem,
    Refused,
    RemoveItem,
    Say,
    Unit,
    Unknown,
    Waited,
    Warn,
    step,
)

MILK, BREAD = 6221000000012, 6221000000029
GRAMS = {MILK: 1030, BREAD: 400}
TOLERANCE = 15
KINDS = (Began, Held, Ended, BasketRead, Unknown, Refused, Waited, Scanned, Weighed, Pressed)


def happen(*happenings: Happening, floor: Floor | None = None) -> tuple[Floor, list[Order]]:
    """Where it stands after all of these, and all that was to be done but what is said."""
    floor = floor or Floor()
    done: list[Order] = []
    for happening in happenings:
        floor, orders = step(floor, happening, TOLERANCE)
        done += [order for order in orders if not isinstance(order, Say)]
    return floor, done


def said(floor: Floor, happening: Happening) -> list[str]:
    return [order.sentence for order in step(floor, happening, TOLERANCE)[1] if isinstance(order, Say)]


BEGUN = (Began(7), BasketRead((), 0))


def test_the_table_has_a_row_for_everything() -> None:
    assert set(TABLE) == {(phase, kind) for phase in Phase for kind in KINDS}


def test_without_a_scale_a_scan_is_an_item() -> None:
    floor, done = happen(*BEGUN, Scanned(MILK), Scanned(MILK))
    assert done == [
        ReadBasket(7),
        *(ReadItem(7, MILK), AddItem(7, MILK, None)),
        *(ReadItem(7, MILK), AddItem(7, MILK, None)),
    ]
    assert floor.basket == (Unit(MILK), Unit(MILK))


def test_with_a_scale_an_item_is_scanned_and_then_put_in() -> None:
    floor, done = happen(Weighed(200), *BEGUN, Scanned(MILK))
    assert done == [ReadBasket(7), ReadItem(7, MILK)]
    assert floor.phase is Phase.PUT_IN
    floor, done = happen(Weighed(1230), floor=floor)
    assert done == [AddItem(7, MILK, 1030)]
    assert (floor.phase, floor.explained, floor.basket) == (Phase.READY, 1230, (Unit(MILK, 1030),))


def test_an_item_that_was_put_in_first_counts_when_it_is_scanned() -> None:
    _, done = happen(Weighed(0), *BEGUN, Weighed(1030), Scanned(MILK))
    assert done == [ReadBasket(7), Warn(7, INCREASED), ReadItem(7, MILK), AddItem(7, MILK, 1030)]


def test_what_nobody_scanned_is_reported_once_and_again_when_it_is_more() -> None:
    floor, done = happen(Weighed(0), *BEGUN, Weighed(500), Weighed(505), Weighed(900))
    assert done == [ReadBasket(7), Warn(7, INCREASED), Warn(7, INCREASED)]
    assert said(floor, Weighed(3)) == ["All is well again."]


def test_what_is_put_in_little_by_little_is_reported_too() -> None:
    """Each step is within the tolerance, and all of them together are not."""
    _, done = happen(Weighed(0), *BEGUN, *(Weighed(grams) for grams in range(0, 50, 5)))
    assert done == [ReadBasket(7), Warn(7, INCREASED), Warn(7, INCREASED)]


def test_what_is_taken_out_is_reported() -> None:
    floor, _ = happen(Weighed(0), *BEGUN, Scanned(MILK), Weighed(1030))
    assert happen(Weighed(0), floor=floor)[1] == [Warn(7, DECREASED)]


def test_the_last_item_is_taken_back_when_it_is_taken_out() -> None:
    floor, _ = happen(Weighed(0), *BEGUN, Scanned(BREAD), Weighed(400), Scanned(MILK), Weighed(1430))
    floor, done = happen(TAKE_BACK, Weighed(400), floor=floor)
    assert done == [RemoveItem(7, MILK)]
    assert (floor.basket, floor.explained, floor.phase) == ((Unit(BREAD, 400),), 400, Phase.READY)


def test_another_item_is_taken_back_when_it_is_scanned() -> None:
    floor, _ = happen(Weighed(0), *BEGUN, Scanned(BREAD), Weighed(400), Scanned(MILK), Weighed(1430))
    floor, done = happen(TAKE_BACK, Scanned(BREAD), Weighed(1030), floor=floor)
    assert done == [RemoveItem(7, BREAD)]
    assert floor.basket == (Unit(MILK, 1030),)


def test_what_is_taken_out_is_known_by_its_weight_whatever_was_named() -> None:
    floor, _ = happen(Weighed(0), *BEGUN, Scanned(BREAD), Weighed(400), Scanned(MILK), Weighed(1430))
    assert happen(TAKE_BACK, Weighed(1030), floor=floor)[1] == [RemoveItem(7, BREAD)]
    assert happen(TAKE_BACK, Weighed(700), floor=floor)[1] == [Warn(7, DECREASED)]  # that is none of them


def test_an_item_that_was_taken_out_first_is_taken_back_by_the_button() -> None:
    floor, _ = happen(Weighed(0), *BEGUN, Scanned(MILK), Weighed(1030))
    assert happen(Weighed(0), TAKE_BACK, floor=floor)[1] == [Warn(7, DECREASED), RemoveItem(7, MILK)]


def test_without_a_scale_the_button_takes_back_at_once() -> None:
    assert happen(*BEGUN, Scanned(MILK), TAKE_BACK, TAKE_BACK)[1][-1] == RemoveItem(7, MILK)


@pytest.mark.parametrize("press", [TAKE_BACK, Waited()])
def test_who_thinks_better_of_it_does_nothing(press: Happening) -> None:
    floor, _ = happen(Weighed(0), *BEGUN, Scanned(MILK))
    floor, done = happen(press, floor=floor)
    assert (floor.phase, done) == (Phase.READY, [])
    assert happen(Weighed(1030), floor=floor)[1] == [Warn(7, INCREASED)]


def test_an_unknown_product_is_not_waited_for() -> None:
    floor, _ = happen(Weighed(0), *BEGUN, Scanned(MILK))
    assert happen(Unknown(BREAD), floor=floor)[0].phase is Phase.PUT_IN
    assert happen(Unknown(MILK), floor=floor)[0].phase is Phase.READY


def test_what_the_server_refused_is_read_again_and_what_it_leaves_in_the_cart_reported() -> None:
    floor, _ = happen(Weighed(0), *BEGUN, Scanned(MILK), Weighed(1030))
    floor, done = happen(Refused(), BasketRead((), 0), floor=floor)
    assert done == [ReadBasket(7), Warn(7, INCREASED)]
    assert floor.basket == ()


def test_after_a_reboot_nothing_is_counted_before_the_basket_is_read() -> None:
    floor, done = happen(Began(7, 200), Weighed(1630), TAKE_BACK, Weighed(1230))
    assert done == [ReadBasket(7)]
    floor, done = happen(BasketRead((Unit(MILK, 1030),), 1030), floor=floor)
    assert (done, floor.phase, floor.explained) == ([], Phase.READY, 1230)


def test_what_is_scanned_before_the_basket_is_known_counts_once_it_is() -> None:
    _, done = happen(Began(7), Scanned(MILK), Scanned(BREAD), BasketRead((), 0))
    assert [order for order in done if isinstance(order, AddItem)] == [AddItem(7, MILK, None), AddItem(7, BREAD, None)]
    floor, done = happen(Weighed(200), Began(7), Scanned(MILK), BasketRead((), 0), Weighed(1230))
    assert done == [ReadBasket(7), ReadItem(7, MILK), AddItem(7, MILK, 1030)]
    _, done = happen(Weighed(200), Began(7), Scanned(MILK), Weighed(1230), BasketRead((), 0))
    assert done == [ReadBasket(7), ReadItem(7, MILK), AddItem(7, MILK, 1030)]
    assert happen(Began(8), BasketRead((), 0), floor=floor)[1] == [ReadBasket(8)]  # and in no other session
    assert happen(Began(7), Scanned(MILK), Held(), BasketRead((), 0))[1] == [ReadBasket(7)]


def test_what_is_gone_when_the_basket_becomes_known_is_reported_though_an_item_is_waited_for() -> None:
    floor, done = happen(Weighed(0), Began(7), Scanned(MILK), BasketRead((Unit(BREAD, 400),), 400))
    assert done == [ReadBasket(7), ReadItem(7, MILK), Warn(7, DECREASED)]
    assert floor.phase is Phase.PUT_IN


def test_so_many_scans_are_remembered_and_no_more() -> None:
    _, done = happen(Began(7), *[Scanned(MILK)] * 50, BasketRead((), 0))
    assert len([order for order in done if isinstance(order, AddItem)]) == EARLY


def test_what_changed_while_the_cart_was_off_is_reported() -> None:
    assert happen(Began(7, 200), Weighed(200), BasketRead((Unit(MILK, 1030),), 1030))[1] == [
        ReadBasket(7),
        Warn(7, DECREASED),
    ]


def test_where_the_tare_is_not_known_what_is_there_is_believed() -> None:
    floor, done = happen(Began(7), BasketRead((Unit(MILK, 1030),), 1030), Weighed(1500))
    assert (done, floor.explained) == ([ReadBasket(7)], 1500)


def test_while_held_scans_and_weights_are_reported_and_change_nothing() -> None:
    floor, _ = happen(Weighed(0), *BEGUN, Scanned(MILK), Weighed(1030), Held())
    after, done = happen(Scanned(BREAD), Weighed(1430), TAKE_BACK, Weighed(0), floor=floor)
    assert done == [
        Warn(7, f"item {BREAD} scanned while a payment is open"),
        Warn(7, INCREASED),
        Warn(7, DECREASED),
    ]
    assert after.basket == floor.basket


def test_a_cart_that_rebooted_while_held_judges_by_the_basket_too() -> None:
    floor, _ = happen(Began(7, 0), Held(), BasketRead((Unit(MILK, 1030),), 1030), Weighed(1030))
    assert floor.phase is Phase.HELD
    assert happen(Weighed(0), floor=floor)[1] == [Warn(7, DECREASED)]


def test_the_tare_is_what_lay_in_the_cart_when_the_session_began() -> None:
    floor, _ = happen(Weighed(300), Began(7), BasketRead((), 0))
    assert (floor.tare, floor.explained) == (300, 300)
    assert happen(Ended(), Weighed(0), Began(8), floor=floor)[0].tare == 0


@pytest.mark.parametrize("phase", Phase)
def test_a_new_session_begins_anew_whatever_was(phase: Phase) -> None:
    floor = Floor(phase, 7, MILK, (Unit(MILK),), 500, 0, 500, 30)
    after, done = happen(Began(8), floor=floor)
    assert after == Floor(Phase.READING, 8, weight=500, tare=500)
    assert done == [ReadBasket(8)]


UNITS = st.builds(Unit, st.sampled_from([MILK, BREAD]), st.none() | st.integers(1, 2000))
MOMENTS: st.SearchStrategy[Happening] = st.one_of(
    st.sampled_from([Held(), Ended(), Refused(), Waited(), TAKE_BACK, Pressed("help")]),
    st.builds(Began, st.integers(1, 3), st.none() | st.integers(-50, 3000)),
    st.builds(Scanned, st.sampled_from([MILK, BREAD, 4])),
    st.builds(Unknown, st.sampled_from([MILK, BREAD, 4])),
    st.builds(Weighed, st.integers(-100, 5000)),
    st.builds(BasketRead, st.lists(UNITS, max_size=4).map(tuple), st.integers(0, 4000)),
)


@settings(max_examples=400)
@given(st.lists(MOMENTS, max_size=40))
def test_in_any_order_nothing_breaks_and_the_rules_hold(moments: Sequence[Happening]) -> None:
    floor = Floor()
    for moment in moments:
        before = floor
        floor, orders = step(before, moment, TOLERANCE)
        changes = [order for order in orders if isinstance(order, AddItem | RemoveItem)]
        assert (floor.session_id is None) == (floor.phase is Phase.OFF)
        assert (floor.barcode is not None) == (floor.phase in (Phase.PUT_IN, Phase.TAKE_OUT))
        assert len(changes) <= 1 or isinstance(moment, BasketRead)
        if changes and not isinstance(moment, BasketRead):
            assert before.phase in (Phase.READY, Phase.PUT_IN, Phase.TAKE_OUT)  # never held, never unread, never idle
            assert floor.weight == floor.explained or before.explained is None
        for order in orders:
            if not isinstance(order, Say):
                assert order.session_id == floor.session_id
            if isinstance(order, AddItem):
                assert order.grams is None or order.grams > TOLERANCE
        if floor.phase is Phase.READY and floor.weight is not None and floor.explained is not None:
            difference = floor.weight - floor.explained
            told = abs(difference) <= TOLERANCE or abs(difference - floor.reported) <= TOLERANCE
            assert told  # what differs is known to the server


def deeds() -> st.SearchStrategy[list[tuple[str, int]]]:
    return st.lists(st.tuples(st.sampled_from(["buy", "late", "return", "steal", "restore", "reboot"]),
                              st.sampled_from([MILK, BREAD])), max_size=25)  # fmt: skip


@settings(max_examples=300)
@given(deeds())
def test_the_basket_is_what_honest_shoppers_put_in_and_every_theft_is_reported(deeds: list[tuple[str, int]]) -> None:
    """A shopper scans and puts in, or the other way round, and takes back; or puts in without a scan, and out again;
    and the power fails. The server's basket is what was bought, and a theft is reported in the moment it is done."""
    floor, _ = happen(Weighed(150), *BEGUN)
    basket: list[tuple[int, int]] = []  # the server's: barcode and grams of each unit
    weight, stolen = 150, 0

    def do(*happenings: Happening) -> list[Order]:
        nonlocal floor
        floor, done = happen(*happenings, floor=floor)
        for order in done:
            match order:
                case AddItem(_, barcode, grams):
                    assert grams is not None
                    basket.append((barcode, grams))
                case RemoveItem(_, barcode):
                    basket.remove(next(unit for unit in reversed(basket) if unit[0] == barcode))
        return done

    bought: list[int] = []
    for deed, barcode in deeds:
        grams = GRAMS[barcode]
        if stolen and deed != "restore":
            continue  # the shopper is told to put it right first
        match deed:
            case "buy":
                weight += grams
                do(Scanned(barcode), Weighed(weight))
                bought.append(barcode)
            case "late":
                weight += grams
                do(Weighed(weight), Scanned(barcode))
                bought.append(barcode)
            case "return" if bought:
                last = bought.pop()
                weight -= GRAMS[last]
                do(TAKE_BACK, Weighed(weight))
            case "steal":
                weight += grams
                stolen = grams
                assert do(Weighed(weight)) == [Warn(7, INCREASED)]
            case "restore" if stolen:
                weight, stolen = weight - stolen, 0
                assert do(Weighed(weight)) == []
            case "reboot":
                read = tuple(Unit(unit, grams) for unit, grams in sorted(basket))  # a server knows lines, and no order
                floor = replace(Floor(), weight=None)
                assert do(Began(7, 150), Weighed(weight), BasketRead(read, sum(grams for _, grams in basket))) == [
                    ReadBasket(7)
                ]
        assert sorted(unit for unit, _ in basket) == sorted(bought)
        assert sum(grams for _, grams in basket) + 150 + stolen == weight
