"""Who has a place, and who gives one up. Carts come first. Time is handed in."""

from structlog.testing import capture_logs

from duckycart.guards.places import SHORT_SECONDS, Places


class Peer:
    """A connection."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.idle = True
        self.gone = False

    def abort(self) -> None:
        self.gone = True

    def is_idle(self) -> bool:
        return self.idle


class World:
    def __init__(self, places: int, per_address: int = 1000) -> None:
        self.now = 1000.0
        self.places = Places(places, per_address, lambda: self.now)

    def short(self) -> bool:
        return self.places.short

    def full(self) -> bool:
        return self.places.full

    def stranger(self, address: str = "a", *, bounded: bool = True) -> Peer:
        peer = Peer(address)
        self.places.enter(peer, address, peer.is_idle, bounded=bounded)
        return peer

    def guest(self, address: str = "a", *, idle: bool = True) -> Peer:
        peer = self.stranger(address)
        peer.idle = idle
        if not self.places.settle(peer, peer.is_idle):
            peer.abort()
            self.places.leave(peer)
        return peer

    def knocking(self, address: str = "a") -> Peer:
        peer = self.stranger(address)
        self.places.knock(peer)
        return peer

    def cart(self, address: str = "a") -> Peer:
        peer = self.knocking(address)
        if not peer.gone:
            self.places.admit(peer)
        return peer


def gone(*peers: Peer) -> list[bool]:
    return [peer.gone for peer in peers]


def test_f47_half_of_all_places_is_for_carts() -> None:
    world = World(10)
    guests = [world.guest() for _ in range(20)]
    assert gone(*guests) == [True] * 15 + [False] * 5
    assert gone(*(world.cart() for _ in range(5))) == [False] * 5
    assert gone(*guests[15:]) == [False] * 5


def test_f47_a_cart_gets_in_whatever_strangers_and_guests_do() -> None:
    world = World(10)
    for _ in range(20):
        world.stranger("evil")
    for _ in range(20):
        world.guest("evil", idle=False)
    for _ in range(20):
        world.knocking("evil")
    assert gone(*(world.cart("good") for _ in range(5))) == [False] * 5


def test_f47_who_was_admitted_as_a_cart_is_never_sent_away() -> None:
    world = World(10)
    carts = [world.cart() for _ in range(10)]
    assert world.full() is True
    assert world.stranger().gone
    assert world.cart().gone
    assert gone(*carts) == [False] * 10
    world.places.leave(carts[0])
    assert world.full() is False
    assert not world.cart().gone


def test_f47_the_address_that_has_most_gives_up_its_oldest() -> None:
    world = World(12)
    good = world.guest("good")
    evil = [world.guest("evil") for _ in range(5)]
    newcomer = world.guest("good")
    assert gone(good, *evil, newcomer) == [False, True, False, False, False, False, False]


def test_f47_whoever_is_served_is_left_alone() -> None:
    world = World(4)
    busy = [world.guest(idle=False), world.guest(idle=False)]
    assert world.guest().gone
    busy[1].idle = True
    assert not world.guest().gone
    assert gone(*busy) == [False, True]


def test_f47_one_address_has_so_many_and_no_more() -> None:
    world = World(1000, per_address=3)
    strangers = [world.stranger("a") for _ in range(4)]
    assert gone(*strangers) == [True, False, False, False]
    assert not world.stranger("b").gone
    assert gone(*strangers[1:]) == [False] * 3


def test_f47_carts_and_proxies_have_many_from_one_address() -> None:
    world = World(1000, per_address=3)
    assert not any(world.knocking().gone for _ in range(50))
    assert not any(world.cart().gone for _ in range(50))
    assert not any(world.stranger("proxy", bounded=False).gone for _ in range(50))


def test_f47_running_short_is_said_once_in_a_while() -> None:
    world = World(4)
    with capture_logs() as said:
        world.guest()
        assert world.short() is False
        for _ in range(10):
            world.guest()
        assert world.short() is True
        world.now += SHORT_SECONDS - 1
        world.guest()
        assert len(said) == 1
        world.now += SHORT_SECONDS
        assert world.short() is False
        world.guest()
    assert [(line["log_level"], line["places"]) for line in said] == [("warning", 4)] * 2


def test_f47_nothing_is_left_of_who_is_gone() -> None:
    world = World(10)
    peers = [world.stranger(), world.guest(), world.knocking(), world.cart()]
    assert len(world.places) == 4
    for peer in peers:
        world.places.leave(peer)
        world.places.leave(peer)
    assert len(world.places) == 0
    assert not any(vars(world.places)[name] for name in ("_guests", "_carts", "_idle"))


def test_f47_without_a_descriptor_left_somebody_idle_goes() -> None:
    world = World(100)
    busy, idle, cart = world.guest(idle=False), world.guest(), world.cart()
    world.places.make_room()
    world.places.make_room()
    assert gone(busy, idle, cart) == [False, True, False]
