"""Whole sessions on PostgreSQL

The same shoppers as on SQLite, with one server and then with two, which NATS connects. PostgreSQL, the servers and
those who ask share the machine.

The reference is pgbench on the same PostgreSQL with eight clients: the writes of a session as plain SQL, 17 statements
in three transactions, prepared, with nobody between pgbench and the database.
"""

import asyncio
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import URL

from bench.figures import Figure, Target
from bench.shop import furnish, postgres, serving
from bench.shoppers import EIGHT, Shoppers

CARTS = 200
TABLES = """
CREATE TABLE cart (id int PRIMARY KEY, seq int NOT NULL, status text NOT NULL, session bigint);
CREATE TABLE command (cart int, seq int, type text, session bigint, PRIMARY KEY (cart, seq));
CREATE TABLE session (id bigserial PRIMARY KEY, cart int, active bool NOT NULL, held bool NOT NULL DEFAULT false);
CREATE UNIQUE INDEX ON session (cart) WHERE active;
CREATE TABLE line (session bigint, product int, quantity int, price int, PRIMARY KEY (session, product));
CREATE TABLE payment (id bigserial PRIMARY KEY, session bigint, state text, amount int);
CREATE TABLE summary (session bigint PRIMARY KEY, units int, total int);
INSERT INTO cart SELECT number, 0, 'available', NULL FROM generate_series(1, 200) number;
"""
SCRIPT = """\\set cart (:client_id + 1)
BEGIN;
UPDATE cart SET seq = seq + 1 WHERE id = :cart RETURNING seq \\gset
INSERT INTO command VALUES (:cart, :seq, 'generate_qr', NULL);
COMMIT;
BEGIN;
UPDATE cart SET seq = seq + 1, status = 'in_use' WHERE id = :cart RETURNING seq \\gset
INSERT INTO session (cart, active) VALUES (:cart, true) RETURNING id AS session \\gset
UPDATE cart SET session = :session WHERE id = :cart;
INSERT INTO command VALUES (:cart, :seq, 'session_started', :session);
INSERT INTO line VALUES (:session, 1, 1, 1250);
COMMIT;
BEGIN;
INSERT INTO payment (session, state, amount) VALUES (:session, 'open', 1250) RETURNING id AS payment \\gset
UPDATE payment SET state = 'paid' WHERE id = :payment;
UPDATE session SET active = false, held = true WHERE id = :session;
INSERT INTO summary SELECT :session, sum(quantity), sum(quantity * price) FROM line WHERE session = :session;
UPDATE cart SET seq = seq + 2, status = 'available', session = NULL WHERE id = :cart RETURNING seq \\gset
INSERT INTO command VALUES (:cart, :seq - 1, 'payment_created', :session), (:cart, :seq, 'end_session', :session);
COMMIT;
"""


def measure(quick: bool) -> Iterator[Figure]:
    from tests.nats import nats_server  # with a program from a wheel, as the database's

    sessions, seconds = (80, 2) if quick else (1200, 10)
    with ExitStack() as stack:
        url = stack.enter_context(postgres())
        if url is None:
            return
        plain = pgbench(url, seconds)
        shop = furnish(url, CARTS)
        with serving(url, shop) as one:
            shoppers = Shoppers([one], EIGHT)
            rate, cost = asyncio.run(shoppers(sessions))
        share = Target(0.15, ratio=True, at_least=True)
        yield Figure("sessions, one server", rate, "/s", "pgbench", plain, share)
        yield Figure("CPU per session, one server", cost * 1e3, "ms")
        yield Figure("scan to cart, p50", shoppers.percentile(50), "ms")
        yield Figure("scan to cart, p99", shoppers.percentile(99), "ms")
        bus = stack.enter_context(nats_server()).url
        with ExitStack() as both:
            two = [
                both.enter_context(serving(url, shop, DUCKYCART_BUS=bus, DUCKYCART_NODE=name)) for name in ("a", "b")
            ]
            rate, cost = asyncio.run(Shoppers(two, EIGHT)(sessions))
        share = Target(0.25, ratio=True, at_least=True)
        yield Figure("sessions, two servers", rate, "/s", "pgbench", plain, share)


def pgbench(url: URL, seconds: int) -> float:
    """Sessions per second in plain SQL, on a database of its own."""
    from tests.postgres import Postgres, programs

    with Postgres(url).database() as own, TemporaryDirectory() as folder:
        Postgres(own).execute(TABLES)
        script = Path(folder) / "session.sql"
        script.write_text(SCRIPT)
        how = ["-n", "-M", "prepared", "-c", str(EIGHT), "-T", str(seconds), "-f", str(script)]
        said = subprocess.run(
            [programs() / "pgbench", *how, libpq(own)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    found = re.search(r"tps = ([\d.]+)", said)
    assert found is not None, said
    return float(found[1])


def libpq(url: URL) -> str:
    """The address as PostgreSQL's own programs take it."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)
