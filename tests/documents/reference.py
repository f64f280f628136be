"""`make docs` writes docs/api.md from what the server says of itself: `/openapi.json` and `/asyncapi.json`."""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from duckycart.api.asyncapi import describe
from duckycart.app import build_app
from duckycart.settings import Settings
from duckycart.store.database import open_database
from duckycart.store.migrate import migrate_sqlite
from tests.documents.declared import Json, follow

HEAD = """\
# Every call and every message

Written by `make docs` from the server's `/openapi.json` and `/asyncapi.json`; a test holds it to them. A running server
shows the same at `/docs`, to try out.
"""

_BOUNDS = {
    "minimum": "at least",
    "maximum": "at most",
    "minLength": "length at least",
    "maxLength": "length at most",
}


def written(calls: Json, messages: Json) -> str:
    """Return docs/api.md of both documents."""
    parts = [HEAD, calls["info"]["description"].strip(), "## Who may", *_schemes(calls), "## Calls"]
    for path, methods in calls["paths"].items():
        for method, operation in methods.items():
            parts += _call(calls, method, path, operation)
    parts += ["## What is sent to carts, screens and phones"]
    for name, channel in messages["channels"].items():
        parts += _channel(messages, name, channel)
    parts += ["## Shapes", *_shapes(calls)]
    return "\n\n".join(filter(None, (part.strip() for part in parts))) + "\n"


def _schemes(calls: Json) -> Iterator[str]:
    schemes = calls["components"]["securitySchemes"].items()
    yield _table(
        ["name", "where", "what it opens"],
        ((f"`{name}`", _where(it), it.get("description", "")) for name, it in schemes),
    )


def _where(scheme: Json) -> str:
    if scheme["type"] == "apiKey":
        return f"{scheme['in']} `{scheme['name']}`"
    return "header `Authorization: Bearer …`" if scheme["type"] == "http" else str(scheme["type"])


def _call(calls: Json, method: str, path: str, operation: Json) -> Iterator[str]:
    yield f"### `{method.upper()} {path}`"
    yield operation["summary"] + "."
    description = operation.get("description", "").strip()
    if not description.startswith(operation["summary"]):
        yield description
    elif rest := description.removeprefix(operation["summary"]).lstrip(". \n"):
        yield rest
    yield f"Opened by: {_opened_by(operation)}."
    if parameters := [follow(one, calls) for one in operation.get("parameters", [])]:
        yield _table(
            ["parameter", "in", "what"],
            ((f"`{one['name']}`{_must(one)}", one["in"], _what(one | one.get("schema", {}))) for one in parameters),
        )
    for kind, body in operation.get("requestBody", {}).get("content", {}).items():
        yield f"Body, `{kind}`: {_shape(body.get('schema', {}))}"
        yield from _example(body)
    for status, answer in operation["responses"].items():
        if status.startswith("2"):
            for kind, body in answer.get("content", {}).items():
                yield f"Answer {status}, `{kind}`: {_shape(body.get('schema', {}))}"
                yield from _example(body)
    refused = {status: it for status, it in operation["responses"].items() if not status.startswith("2")}
    if refused:
        yield _table(["refused with", "and the codes"], ((status, it["description"]) for status, it in refused.items()))


def _opened_by(operation: Json) -> str:
    ways = [" with ".join(f"`{name}`" for name in one) for one in operation.get("security", [])]
    return " or ".join(way or "nothing" for way in ways) or "nothing, it asks for no credential"


def _channel(messages: Json, name: str, channel: Json) -> Iterator[str]:
    yield f"### `{channel['address']}`"
    yield str(channel["description"])
    rows = []
    for one in channel["messages"].values():
        message = follow(one, messages)
        example = message["examples"][0]["payload"] if message.get("examples") else None
        rows.append((f"`{message['name']}`", message.get("description") or message["summary"], f"`{_json(example)}`"))
    yield _table(["message", "when", "for example"], rows)


def _shapes(calls: Json) -> Iterator[str]:
    for name, schema in sorted(calls["components"]["schemas"].items()):
        required = schema.get("required", [])
        fields = schema.get("properties", {})
        names = [f"`{field}`" if field in required else f"`{field}` (optional)" for field in fields]
        rows = ((said, _type(it), _what(it)) for said, it in zip(names, fields.values(), strict=True))
        yield f"### {name}"
        yield str(schema.get("description", ""))
        yield _table(["field", "type", "what"], rows)


def _type(schema: Json) -> str:
    if "$ref" in schema:
        return _shape(schema)
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(_type(one) for one in schema[several])
    if "const" in schema:
        return f"`{_json(schema['const'])}`"
    if "enum" in schema:
        return " or ".join(f"`{_json(one)}`" for one in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type", "anything"))


def _shape(schema: Json) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    return _type(schema)


def _must(parameter: Json) -> str:
    return "" if parameter.get("required") else " (optional)"


def _what(schema: Json) -> str:
    said = schema.get("description", "")
    bounds = [f"{words} {schema[key]}" for key, words in _BOUNDS.items() if key in schema]
    return "; ".join(filter(None, [said.rstrip(".") if bounds else said, *bounds]))


def _example(body: Json) -> Iterator[str]:
    if "example" in body:
        yield f"```json\n{json.dumps(body['example'], indent=2, ensure_ascii=False)}\n```"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _table(heads: list[str], rows: Iterable[Iterable[str]]) -> str:
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in rows]
    lines = [heads, ["---"] * len(heads), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) if cells else ""


def of_this_code() -> str:
    """Return docs/api.md as the present code has it."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "shop.db"
        migrate_sqlite(path)
        settings = Settings(database=f"sqlite:///{path}")
        app = build_app(settings, open_database(settings.database))
        return written(app.openapi(), describe(settings.url))


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(of_this_code(), encoding="utf-8")
