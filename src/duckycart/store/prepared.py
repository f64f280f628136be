"""A statement that is asked with every call is compiled once, and run on the driver's own connection.

SQLAlchemy writes each statement for both databases. To execute one through it costs some 20 µs of Python each time,
three times what SQLite needs, and a session asks fifty. So a constant is `prepared(...)` where it is asked often, and
given to `Connection.execute` where it is not: both run in the transaction that the connection is in, and fail alike.
"""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn, cast

from sqlalchemy import Connection, Delete, Dialect, Insert, Select, Update, bindparam
from sqlalchemy.exc import DBAPIError, NoResultFound

Statement = Select[*tuple[Any, ...]] | Insert | Update | Delete
Row = Any  # columns by name, as with SQLAlchemy; which ones there are is known to whoever wrote the statement


def prepared(statement: Statement, *columns: str) -> "Prepared":
    """Return the statement, ready to be run on either database. For an INSERT, `columns` are those that are given."""
    return Prepared(statement, columns)


def together(*prepared_ones: "Prepared") -> "Together":
    """Return several changes of different rows, of which only the last may be an INSERT, ready to be made at once."""
    return Together(prepared_ones)


class Prepared:
    """A constant statement, whose parameters are given by name with each run.

    All methods raise what `Connection.execute` raises.
    """

    def __init__(self, statement: Statement, columns: Sequence[str]) -> None:
        self.statement = statement
        self.columns = columns
        self._by_dialect: dict[str, _Compiled] = {}

    def run(self, connection: Connection, /, **values: Any) -> int:
        """Return how many rows were changed."""
        return self._on(connection).run(connection, values)[1]

    def many(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run the statement once for each of these rows of parameters, in their order."""
        self._on(connection).run_many(connection, rows)

    def all(self, connection: Connection, /, **values: Any) -> list[Row]:
        compiled = self._on(connection)
        return [compiled.row(columns) for columns in compiled.run(connection, values)[0]]

    def one_or_none(self, connection: Connection, /, **values: Any) -> Row | None:
        """Return the first row."""
        compiled = self._on(connection)
        rows = compiled.run(connection, values)[0]
        return compiled.row(rows[0]) if rows else None

    def one(self, connection: Connection, /, **values: Any) -> Row:
        """Return the first row. Raises NoResultFound when there is none."""
        row = self.one_or_none(connection, **values)
        if row is None:
            raise NoResultFound(f"no row for {self.statement}")
        return row

    def scalar_or_none(self, connection: Connection, /, **values: Any) -> Any:
        """Return the first column of the first row."""
        row = self.one_or_none(connection, **values)
        return None if row is None else row[0]

    def scalar(self, connection: Connection, /, **values: Any) -> Any:
        """Return the first column of the first row. Raises NoResultFound when there is none."""
        return self.one(connection, **values)[0]

    def _on(self, connection: Connection) -> "_Compiled":
        dialect = connection.dialect
        compiled = self._by_dialect.get(dialect.name)
        if compiled is None:
            compiled = self._by_dialect[dialect.name] = _Compiled(self.statement, self.columns, dialect)
        return compiled


class Together:
    """Several prepared statements with parameters of different names, which see nothing of each other.

    Where the way to the database costs more than the statement, they are one: data-modifying WITH (PostgreSQL, 7.8.4).
    """

    def __init__(self, statements: Sequence[Prepared]) -> None:
        *first, last = statements
        self._statements = statements
        ctes = [cast(Any, each.statement).cte(f"change_{number}") for number, each in enumerate(first)]
        # By themselves the columns would be those of the other tables too.
        given: dict[str, Any] = {name: bindparam(name) for name in last.columns}
        self._one = Prepared(cast(Any, last.statement).values(given).add_cte(*ctes), ())

    def run(self, connection: Connection, /, **values: Any) -> None:
        """Run them all. Raises what `Connection.execute` raises."""
        if connection.dialect.name == "postgresql":
            self._one.run(connection, **values)
        else:
            for statement in self._statements:
                statement.run(connection, **values)


class _Compiled:
    """A statement in the words of one database."""

    def __init__(self, statement: Statement, columns: Sequence[str], dialect: Dialect) -> None:
        errors = cast(Any, dialect).loaded_dbapi.Error
        if dialect.name == "postgresql":  # in its own words, which no driver has to translate
            dialect = cast(Any, type(dialect))(paramstyle="numeric_dollar")
        compiled: Any = statement.compile(dialect=dialect, column_keys=list(columns) if columns else None)
        self._sql: Final = str(compiled)
        assert "POSTCOMPILE" not in self._sql, f"not the same for all parameters: {self._sql}"
        self._order: list[str] = compiled.positiontup
        self._constants = {name: value for name, value in compiled.params.items() if not compiled.binds[name].required}
        returned = list(statement.exported_columns)
        named: Any = namedtuple("Row", [str(column.key) for column in returned], rename=True)  # type: ignore[misc]
        self._row: Callable[[Any], Row] = named._make
        readings = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in returned]
        self._readings = [(place, read) for place, read in enumerate(readings) if read is not None]
        self._errors: type[Exception] = errors
        self._returns = bool(returned)

    def run(self, connection: Connection, values: Mapping[str, Any]) -> tuple[Sequence[Any], int]:
        """Return the rows as the driver has them, and how many were changed."""
        parameters = self._parameters(values)
        driver: Any = connection.connection.driver_connection
        try:
            cursor = driver.execute(self._sql, parameters)
            return cursor.fetchall() if self._returns else (), cursor.rowcount
        except self._errors as error:
            self._fail(connection, error)

    def run_many(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        parameters = [self._parameters(row) for row in rows]
        driver: Any = connection.connection.driver_connection
        try:
            driver.executemany(self._sql, parameters)
        except self._errors as error:
            self._fail(connection, error)

    def _parameters(self, values: Mapping[str, Any]) -> Any:
        given = {**self._constants, **values} if self._constants else values
        return [given[name] for name in self._order]

    def row(self, columns: Sequence[Any]) -> Row:
        if self._readings:
            columns = list(columns)
            for place, read in self._readings:
                columns[place] = read(columns[place])
        return self._row(columns)

    def _fail(self, connection: Connection, error: Exception) -> NoReturn:
        """Raise what SQLAlchemy makes of a driver's error; a connection that it shows to be lost is given up."""
        dialect = connection.dialect
        lost = dialect.is_disconnect(cast(Any, error), cast(Any, connection.connection), None)
        if lost:
            connection.invalidate(error)
        raise cast(
            DBAPIError,
            DBAPIError.instance(
                self._sql,
                None,
                error,
                self._errors,
                hide_parameters=True,
                connection_invalidated=lost,
                dialect=dialect,
            ),
        ) from error
