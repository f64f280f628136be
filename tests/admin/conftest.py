"""A shell in an empty directory: what a person types, what comes back, and the database it was done to."""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from duckycart import logs
from duckycart.cli import app


@dataclass
class Shell:
    """`run` and `json` are for what must succeed, `fails` and `json_error` for what must not."""

    folder: Path
    database: Path

    def invoke(self, *arguments: object, typed: str | bytes | None = None, **environment: str) -> Any:
        result = CliRunner().invoke(
            app,
            list(map(str, arguments)),
            input=typed,
            env={"DUCKYCART_DATABASE": f"sqlite:///{self.database}", **environment},
        )
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    def run(self, *arguments: object, typed: str | bytes | None = None, **environment: str) -> str:
        result = self.invoke(*arguments, typed=typed, **environment)
        assert result.exit_code == 0, result.output
        return str(result.stdout)

    def json(self, *arguments: object, typed: str | bytes | None = None, **environment: str) -> Any:
        return json.loads(self.run(*arguments, "--json", typed=typed, **environment))

    def fails(self, *arguments: object, typed: str | bytes | None = None, **environment: str) -> str:
        """What was said on standard error; standard output stays empty."""
        result = self.invoke(*arguments, typed=typed, **environment)
        assert result.exit_code == 1
        assert result.stdout == ""
        return str(result.stderr)

    def json_error(self, *arguments: object, typed: str | bytes | None = None, **environment: str) -> Any:
        """The error object; standard error stays empty."""
        result = self.invoke(*arguments[:2], "--json", *arguments[2:], typed=typed, **environment)
        assert result.exit_code == 1
        assert result.stderr == ""
        return json.loads(result.stdout)

    def rows(self, sql: str, *parameters: object) -> list[Any]:
        connection = sqlite3.connect(self.database)
        try:
            connection.row_factory = sqlite3.Row
            return connection.execute(sql, parameters).fetchall()
        finally:
            connection.close()

    def file(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logs, "configure", lambda _: None)  # loggers would keep the shell's stream, which then closes
    return Shell(tmp_path, tmp_path / "shop.db")


Csv = Callable[..., Path]
HEADER = "barcode,description,description_ar,product_size,unit_price,weight_grams,image_url"


@pytest.fixture
def csv_file(shell: Shell) -> Csv:
    """A file with the usual header and these lines below it."""
    return lambda *lines: shell.file("products.csv", "\n".join((HEADER, *lines)) + "\n")
