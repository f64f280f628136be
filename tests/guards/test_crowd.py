"""Who takes most gives up first."""

from duckycart.guards.crowd import Crowd


def crowd(**groups: int) -> Crowd[str]:
    made: Crowd[str] = Crowd()
    for name, count in groups.items():
        for number in range(count):
            made.add(f"{name}{number}", name)
    return made


def test_f47_the_largest_group_gives_up_its_oldest() -> None:
    made = crowd(a=2, b=3, c=1)
    assert made.to_make_room_for("c") == "b0"
    made.discard("b0")
    assert made.to_make_room_for("a") == "a0", "it would be the largest"
    assert list(made.in_turn())[-1] == "c0"


def test_f47_where_each_has_one_the_newcomer_is_one_too_many() -> None:
    made = crowd(a=1, b=1)
    assert made.to_make_room_for("c") is None
    assert made.to_make_room_for("a") == "a0"


def test_f47_nothing_is_left_of_who_is_gone() -> None:
    made = crowd(a=2, b=1)
    assert made.discard("a0") == "a"
    assert made.discard("a0") is None
    assert (len(made), made.size("a"), made.size("b"), made.size("c")) == (2, 1, 1, 0)
    assert "a0" not in made
    for member in ("a1", "b0"):
        made.discard(member)
    assert list(made.in_turn()) == []
    assert made.to_make_room_for("a") is None
