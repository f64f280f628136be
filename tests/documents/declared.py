"""Holds what a server really says to what its documents declare."""

import json
import re
from functools import cache
from typing import Any

import httpx2
from jsonschema import Draft202012Validator

from tests.world import Shop

Json = dict[str, Any]


def check(instance: Any, schema: Json, document: Json) -> None:
    """Raises where the instance does not fit a schema that stands in this document."""
    Draft202012Validator({**schema, "components": document["components"]}).validate(instance)


def follow(node: Json, document: Json) -> Json:
    """What a reference of the document leads to; anything else as it is."""
    while "$ref" in node and node.keys() == {"$ref"}:
        found = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part.replace("~1", "/")]
        node = found
    return node


class Declared:
    """An OpenAPI document, and which of its answers were seen."""

    def __init__(self, document: Json) -> None:
        self.document = document
        self.seen: set[tuple[str, int]] = set()  # "GET /path", status
        self._validators: dict[int, Draft202012Validator] = {}  # by the identity of a schema in the document
        templates = sorted(document["paths"], key=lambda path: path.count("{"))
        self._paths = [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), path) for path in templates]

    async def see(self, answer: httpx2.Response) -> None:
        """Raises for an answer that its operation does not declare. Anything but an operation passes."""
        path = next((path for form, path in self._paths if form.fullmatch(answer.request.url.path)), None)
        operation = self.document["paths"].get(path, {}).get(answer.request.method.lower())
        if operation is None:
            return
        declared = operation["responses"].get(str(answer.status_code))
        assert declared is not None, f"{answer.request.method} {path} does not declare {answer.status_code}"
        media_type = answer.headers["content-type"].split(";")[0]
        content = declared["content"][media_type]
        if media_type.endswith("json"):
            await answer.aread()
            self._validator(content["schema"]).validate(answer.json())
        for name in ("hardware-delivery", "preference-applied", "retry-after", "www-authenticate"):
            if name in answer.headers:
                assert name in {header.lower() for header in declared.get("headers", ())}, (path, name)
        self.seen.add((f"{answer.request.method} {path}", answer.status_code))

    def _validator(self, schema: Json) -> Draft202012Validator:
        validator = self._validators.get(id(schema))
        if validator is None:
            validator = Draft202012Validator({**schema, "components": self.document["components"]})
            self._validators[id(schema)] = validator
        return validator


@cache
def _of(document: str) -> Declared:
    """Made once for all tests: the same server always says the same of itself."""
    return Declared(json.loads(document))


_text: list[str] = []  # of the document, once it was asked for


async def watch(shop: Shop) -> Declared:
    """From now on every answer to `shop.http` must be one that the server's own document declares."""
    if not _text:
        _text.append((await shop.http.get("/openapi.json")).text)
    declared = _of(_text[0])
    declared.seen.clear()
    shop.http.event_hooks["response"].append(declared.see)
    return declared
