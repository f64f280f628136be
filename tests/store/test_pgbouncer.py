"""Behind a pooler: one that gives each client a session is as good as none, one that lends them is refused (F64)."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from duckycart.errors import DuckyCartError
from duckycart.store.address import locate
from duckycart.store.database import open_database
from duckycart.store.pooler import SharedSessions, refuse_shared_sessions
from duckycart.store.postgres import engine_for
from duckycart.testing.waiting import until
from tests.admin.conftest import Shell
from tests.hardware.helpers import raw
from tests.pgbouncer import PgBouncer, some_pgbouncer
from tests.world import open_shop

Behind = Callable[..., PgBouncer]


@pytest.fixture
def behind(postgres_database: str) -> Iterator[Behind]:
    """`behind(mode, size)` is a PgBouncer before the database."""
    with some_pgbouncer(make_url(postgres_database)) as pooler:

        def start(mode: str, size: int = 40, *, round_robin: bool = False) -> PgBouncer:
            pooler.configure(mode, size, round_robin=round_robin)
            pooler.start()
            return pooler

        yield start


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    return Shell(tmp_path, tmp_path / "shop.db")


def named(pooler: PgBouncer) -> str:
    return pooler.url.render_as_string(hide_password=False)


async def test_f64_in_session_mode_a_shop_works_as_without(behind: Behind) -> None:
    async with open_shop(named(behind("session"))) as shop:
        await shop.furnish()
        cart = await raw(shop)
        for _ in range(12):  # more often than a statement is run before it is prepared
            await shop.qr()
        await until(lambda: len(cart.texts) == 12)
        assert set(await shop.settled()) == {"received"}
        cart.cut()


def test_f64_the_limits_of_a_session_are_set_without_words_in_its_start(behind: Behind) -> None:
    engine = engine_for(behind("session").url)
    with engine.connect() as connection:
        limits = [
            connection.execute(text(f"SHOW {name}")).scalar_one()
            for name in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
        ]
    engine.dispose()
    assert limits == ["3s", "3500ms", "15s"]


@pytest.mark.parametrize(
    ("mode", "size", "round_robin"),
    [("transaction", 40, False), ("transaction", 40, True), ("transaction", 1, False), ("statement", 40, False)],
)
def test_f64_a_pooler_that_lends_sessions_is_refused_with_a_sentence_even_when_it_is_idle(
    behind: Behind, shell: Shell, mode: str, size: int, round_robin: bool
) -> None:
    pooler = behind(mode, size, round_robin=round_robin)
    for _ in range(2):  # its sessions are there the second time
        with pytest.raises(SharedSessions, match="pool_mode = session"):
            open_database(named(pooler))
    for command in (("db", "check"), ("db", "upgrade"), ("carts", "list")):
        assert "pool_mode = session" in shell.fails(*command, "--database", named(pooler)), command
    shell.run("carts", "add", "1")
    assert "pool_mode = session" in shell.fails("db", "copy", named(pooler))


def test_f64_a_pooler_with_many_idle_sessions_is_found_out_too(behind: Behind) -> None:
    pooler = behind("transaction", 40, round_robin=True)
    engine = engine_for(pooler.url)
    connections = [engine.connect() for _ in range(10)]
    for connection in connections:
        connection.execute(text("SELECT 1"))
    for connection in connections:
        connection.close()
    with pytest.raises(SharedSessions):
        refuse_shared_sessions(engine, "it")
    engine.dispose()


async def test_f64_a_mode_that_changes_later_is_noticed(behind: Behind) -> None:
    """As soon as somebody else's work was done by the session that has our lock."""
    pooler = behind("session")
    opened = open_database(named(pooler))
    engine = engine_for(pooler.url)
    assert opened.hold is not None
    hold = opened.hold
    hold()
    pooler.configure("transaction", 40)

    def noticed() -> bool:
        with engine.connect() as other:
            try:
                hold()
                other.execute(text("SELECT 1"))
                hold()
            except DuckyCartError as error:
                return error.code == "shared_sessions"
        return False

    await until(noticed)
    with pytest.raises(SharedSessions):  # and for as long as it is so
        hold()
    opened.release()
    engine.dispose()


def test_f64_postgresql_itself_is_no_pooler(postgres_database: str) -> None:
    place = locate(postgres_database)
    assert not isinstance(place, Path)
    engine = engine_for(place)
    refuse_shared_sessions(engine, "it")
    engine.dispose()
