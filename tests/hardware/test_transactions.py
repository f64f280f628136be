"""claim_many, fill, release_many, behind and changed_hands as transactions on the real store."""

from dataclasses import replace

from sqlalchemy import select, update

from duckycart.hardware.catchup import Filled, fill
from duckycart.hardware.ending import Gone, Refused
from duckycart.hardware.link import Send
from duckycart.hardware.ownership import Claim, behind, changed_hands, claim_many, release_all, release_many
from duckycart.lifecycle.carts import lock_cart, queue_command
from duckycart.store.tables import commands
from duckycart.store.transaction import Transaction
from duckycart.wire import Command, CommandType
from tests.hardware.helpers import rotate_key
from tests.world import Shop

QR = Command(CommandType.GENERATE_QR, None)


async def claimed(shop: Shop, node: str = "here", boot: str | None = None) -> Filled | Refused:
    return (await claimed_many(shop, Claim(1, None, boot), node=node))[0]


async def claimed_many(shop: Shop, *claims: Claim, node: str = "here") -> list[Filled | Refused]:
    return await shop.inside.store.write(lambda tx: claim_many(tx, claims, node))


async def qr(shop: Shop, valid: bool = True) -> int:
    def queue(tx: Transaction) -> int:
        cart = replace(lock_cart(tx, 1), qr_expires_at=tx.now + 1000 if valid else 0)
        return queue_command(tx, cart, CommandType.GENERATE_QR, None)

    return await shop.inside.store.write(queue)


async def attempted(shop: Shop) -> list[bool]:
    return [row.attempted for row in await shop.rows(select(commands.c.attempted).order_by(commands.c.seq))]


async def test_a_claim_raises_the_epoch_and_names_the_node(shop: Shop) -> None:
    assert await claimed(shop) == Filled(1, 0, (), 0)
    assert await claimed(shop, "there") == Filled(2, 0, (), 0, previous_node="here")
    row = await shop.cart_row()
    assert (row.link_epoch, row.link_node, row.link_changed_at) == (2, "there", shop.clock.now())


async def test_a_claim_without_the_right_changes_nothing(shop: Shop) -> None:
    before = await shop.cart_row()
    assert await claimed_many(shop, Claim(1, b"wrong", "b"), Claim(99, None, None)) == [
        Refused.WRONG_KEY,
        Refused.UNKNOWN_CART,
    ]
    assert await shop.cart_row() == before
    await rotate_key(shop, "another", disabled=True)
    assert await claimed(shop) is Refused.DISABLED


async def test_f31_what_a_claim_hands_out_is_attempted_in_its_own_transaction(shop: Shop) -> None:
    await qr(shop)
    assert await attempted(shop) == [False]
    assert await claimed(shop) == Filled(1, 0, (Send(1, QR),), 1)
    assert await attempted(shop) == [True]
    await qr(shop)
    assert await attempted(shop) == [True, True]


async def test_f29_what_a_claim_drops_is_superseded(shop: Shop) -> None:
    await qr(shop, valid=False)
    assert await claimed(shop) == Filled(1, 0, (), 1)
    assert await shop.states() == ["superseded"]


async def test_f41_each_boot_keeps_the_number_of_its_first_connection(shop: Shop) -> None:
    generations = [await claimed(shop, boot=boot) for boot in (None, "one", "one", None, "two", "one")]
    assert [filled.generation for filled in generations if isinstance(filled, Filled)] == [0, 2, 2, 0, 5, 2]


async def test_fill_reads_what_comes_after_for_the_owner_alone(shop: Shop) -> None:
    await claimed(shop)
    for _ in range(3):
        await qr(shop)
    assert await shop.inside.store.write(lambda tx: fill(tx, 1, 1, 1)) == Filled(1, 0, (Send(3, QR),), 3)
    assert await shop.states() == ["queued", "superseded", "queued"]
    assert await shop.inside.store.write(lambda tx: fill(tx, 1, 1, 3)) == Filled(1, 0, (), 3)
    await claimed(shop)
    assert await shop.inside.store.write(lambda tx: fill(tx, 1, 1, 1)) is None


async def test_f02_release_is_for_the_epoch_it_names(shop: Shop) -> None:
    await claimed(shop)
    await claimed(shop)
    await shop.inside.store.write(lambda tx: release_many(tx, [Gone(1, 1)]))
    assert (await shop.cart_row()).link_node == "here"
    await shop.inside.store.write(lambda tx: release_many(tx, [Gone(1, 2)]))
    assert (await shop.cart_row()).link_node is None


async def test_at_the_start_every_cart_is_offline(shop: Shop) -> None:
    await claimed(shop)
    await shop.inside.store.write(release_all)
    row = await shop.cart_row()
    assert (row.link_node, row.link_epoch) == (None, 1)


async def test_behind_names_this_node_s_carts_with_something_queued(shop: Shop) -> None:
    async def lagging() -> dict[int, int]:
        return await shop.inside.store.read(lambda connection: behind(connection, "here"))

    await qr(shop)
    assert await lagging() == {}
    await claimed(shop)
    await qr(shop)
    assert await lagging() == {1: 2}
    await shop.inside.store.write(lambda tx: tx.connection.execute(update(commands).values(state="sent")))
    assert await lagging() == {}
    await qr(shop)
    await claimed(shop, "there")
    assert await lagging() == {}


async def test_changed_hands_names_what_changed_since(shop: Shop) -> None:
    await shop.add_cart(2)
    await claimed(shop)
    since = shop.clock.now()
    assert await shop.inside.store.read(lambda connection: changed_hands(connection, since)) == [(1, 1, "here")]
    shop.clock.move(1)
    await rotate_key(shop, "another", 2)
    assert await shop.inside.store.read(lambda connection: changed_hands(connection, since + 1)) == [(2, 1, None)]


async def test_f34_the_lock_is_taken_before_the_rows_are_read(shop: Shop) -> None:
    """Under READ COMMITTED a statement does not see what the lock it waited for was protecting."""
    order: list[str] = []

    def watched(tx: Transaction) -> None:
        original = tx.connection.execute

        def execute(statement: object, *rest: object) -> object:
            order.append(str(statement).split()[0])
            return original(statement, *rest)  # type: ignore[call-overload]

        tx.connection.execute = execute  # type: ignore[method-assign,assignment]
        try:
            claim_many(tx, [Claim(1, None, None)], "here")
        finally:
            del tx.connection.execute

    await shop.inside.store.write(watched)
    assert order == ["SELECT", "UPDATE", "SELECT", "INSERT"]
