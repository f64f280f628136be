"""The shop's steady clock counts what really passed, in one process, between two, and never back (F50, F51)."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from duckycart.clock import SystemClock
from duckycart.store.address import locate
from duckycart.store.database import engine_for, transact
from duckycart.store.steady import SteadyClock
from duckycart.store.transaction import Store
from duckycart.testing.clock import ManualClock

HOUR = 3600


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(locate(database))
    yield engine
    engine.dispose()


def keep(engine: Engine, machine: ManualClock, steady: SteadyClock) -> int:
    return transact(engine, machine, lambda tx: steady.keep(tx.connection))


def begin(engine: Engine, machine: ManualClock) -> SteadyClock:
    """A process starts."""
    steady = SteadyClock(machine)
    keep(engine, machine, steady)
    return steady


def test_f50_f51_it_begins_at_the_time_of_day_and_no_correction_bends_it(engine: Engine) -> None:
    machine = ManualClock()
    steady = begin(engine, machine)
    began = machine.now()
    assert steady.steady() == began
    for seconds in (13 * HOUR, -26 * HOUR, 87_600 * HOUR):
        machine.correct(seconds)
        assert steady.steady() == began
    machine.move(1.5)
    assert steady.steady() == began + 1500


def test_f50_f51_between_two_runs_on_one_machine_it_counts_what_passed(engine: Engine) -> None:
    machine = ManualClock()
    stood = begin(engine, machine).steady()
    machine.correct(-13 * HOUR)
    machine.move(HOUR)
    assert begin(engine, machine).steady() == stood + HOUR * 1000


def test_f50_f51_what_passed_while_the_machine_was_off_does_not_count(engine: Engine) -> None:
    machine = ManualClock()
    steady = begin(engine, machine)
    machine.move(HOUR)
    stood = keep(engine, machine, steady)
    machine.move(HOUR)
    machine.boot()
    assert begin(engine, machine).steady() == stood
    machine.boot("third boot")
    machine.move(HOUR)
    assert begin(engine, machine).steady() == stood


def test_f51_where_nobody_knows_which_boot_it_is_nothing_is_made_up(engine: Engine) -> None:
    machine = ManualClock()
    machine.boot_id = None
    stood = begin(engine, machine).steady()
    machine.move(HOUR)
    assert begin(engine, machine).steady() == stood


class Plain:
    """All that a `Clock` must have."""

    def __init__(self) -> None:
        self._clock = ManualClock()
        self.now, self.monotonic, self.move = self._clock.now, self._clock.monotonic, self._clock.move


def test_f50_a_clock_that_knows_no_machine_is_good_for_its_process(engine: Engine) -> None:
    clock = Plain()
    steady = SteadyClock(clock)
    began = transact(engine, clock, lambda tx: steady.keep(tx.connection))
    clock.move(HOUR)
    assert steady.steady() == began + HOUR * 1000
    assert transact(engine, clock, lambda tx: tx.steady) == began


def test_f50_a_machine_that_was_put_back_to_an_earlier_state_does_not_take_it_back(engine: Engine) -> None:
    machine = ManualClock()
    machine.move(HOUR)
    stood = begin(engine, machine).steady()
    assert transact(engine, ManualClock(), lambda tx: tx.steady) == stood
    assert begin(engine, ManualClock()).steady() == stood


def test_f50_f51_all_who_share_a_database_agree_and_nobody_goes_back(engine: Engine) -> None:
    machines = ManualClock(), ManualClock()
    machines[1].boot("another machine")
    machines[1].correct(600)
    one, other = (begin(engine, machine) for machine in machines)
    machines[0].move(60)
    keep(engine, machines[0], one)
    assert keep(engine, machines[1], other) == one.steady() == other.steady()
    machines[1].move(30)
    keep(engine, machines[1], other)
    keep(engine, machines[0], one)
    assert one.steady() == other.steady()


def test_f51_the_administration_reads_the_servers_clock(engine: Engine) -> None:
    machine = ManualClock()
    steady = begin(engine, machine)
    machine.correct(13 * HOUR)
    assert transact(engine, machine, lambda tx: (tx.now, tx.steady)) == (machine.now(), steady.steady())


async def test_f50_f51_every_transaction_reads_both(either: Store) -> None:
    now, steady = await either.write(lambda tx: (tx.now, tx.steady))
    assert now == steady == either.clock.now() == either.clock.steady()


def test_this_machine_knows_its_boot_and_its_uptime() -> None:
    """Linux, where this is tested; elsewhere the boot is unknown."""
    clock, again = SystemClock(), SystemClock()
    assert clock.boot_id == again.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert 0 < clock.uptime() <= again.uptime()
