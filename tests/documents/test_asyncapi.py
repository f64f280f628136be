"""`/asyncapi.json`: valid, and what real sockets and streams say is what it declares."""

import asyncio
import json
import re
from asyncio.subprocess import PIPE
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import ValidationError

from duckycart.channels import screen_socket, socket
from duckycart.effects import NewsKind
from duckycart.hardware import ending
from duckycart.wire import CommandType
from tests.channels.world import post, screen, stream, warn
from tests.conftest import OpenShop
from tests.documents.conftest import PARSER
from tests.documents.declared import check, follow
from tests.world import Shop

BY_LIBRARIES = {1002, 1007, 1009, 1011}  # close codes that websockets and uvicorn choose


async def served(shop: Shop) -> dict[str, Any]:
    answer = await shop.http.get("/asyncapi.json")
    assert answer.status_code == 200
    document: dict[str, Any] = answer.json()
    return document


async def test_the_asyncapi_projects_own_parser_finds_nothing_wrong(shop: Shop, node: str) -> None:
    parser = await asyncio.create_subprocess_exec(node, str(PARSER / "parse.mjs"), stdin=PIPE, stdout=PIPE)
    output, _ = await parser.communicate(json.dumps(await served(shop)).encode())
    result = json.loads(output)
    assert result["parsed"]
    hints = {one["code"] for one in result["diagnostics"]}
    assert hints <= {"asyncapi-latest-version"}, result["diagnostics"]  # that there is a 3.1 is no fault of a 3.0


def names(document: dict[str, Any], channel: str) -> set[str]:
    return {follow(one, document)["name"] for one in document["channels"][channel]["messages"].values()}


async def test_it_names_every_command_and_every_kind_of_news(shop: Shop) -> None:
    document = await served(shop)
    news = {kind.value for kind in NewsKind}
    assert names(document, "hardware") == {kind.value for kind in CommandType}
    assert names(document, "session") == names(document, "sessionEvents") == news - {"session-started"}
    assert names(document, "cartEvents") == {"session-started"}
    sent = {operation["channel"]["$ref"].rsplit("/", 1)[1] for operation in document["operations"].values()}
    assert sent == set(document["channels"])


def table(document: dict[str, Any], channel: str, title: str) -> set[int]:
    """The numbers in the first column of a table."""
    rows = document["channels"][channel]["description"].partition(f"| {title} |")[2].partition("\n\n")[0]
    return {int(number) for number in re.findall(r"^\| (\d+) \|", rows, re.MULTILINE)}


async def test_it_names_every_close_code_and_every_refusal_of_a_cart(shop: Shop) -> None:
    document = await served(shop)
    ours = {code for code, _ in ending.CLOSES.values()}
    assert table(document, "hardware", "closed with") - BY_LIBRARIES == ours
    assert table(document, "hardware", "refused in the handshake with") == {why.status for why in ending.Refused}


async def test_it_names_every_close_code_of_a_session(shop: Shop) -> None:
    ours = {*socket._CODES.values(), screen_socket.FLOOD_CODE}
    assert table(await served(shop), "session", "closed with") - BY_LIBRARIES == ours


async def test_every_example_is_of_the_form_that_is_declared(shop: Shop) -> None:
    document = await served(shop)
    for message in document["components"]["messages"].values():
        assert message["examples"]
        for example in message["examples"]:
            check(example["payload"], message["payload"], document)


async def test_its_servers_are_where_the_public_url_says(opening: OpenShop) -> None:
    async with opening(public_url="https://shop.example/cairo") as shop:
        servers = (await served(shop))["servers"]
        places = {name: (one["protocol"], one["host"], one["pathname"]) for name, one in servers.items()}
        assert places == {
            "sockets": ("wss", "shop.example", "/cairo"),
            "streams": ("https", "shop.example", "/cairo"),
        }


async def test_it_says_which_credentials_open_what(shop: Shop) -> None:
    document = await served(shop)
    schemes = {
        name: [follow(one, document) for one in operation["security"]]
        for name, operation in document["operations"].items()
    }
    places = {name: {(one["type"], one.get("name")) for one in several} for name, several in schemes.items()}
    assert places["commandCart"] == {("httpApiKey", "X-API-Key"), ("http", None), ("httpApiKey", "key")}
    assert {("http", None), ("httpApiKey", "token")} <= places["tellSession"]


async def test_what_sockets_and_streams_really_say_is_declared(shop: Shop) -> None:
    document = await served(shop)
    heard: set[str] = set()

    def hear(channel: str, said: dict[str, Any]) -> None:
        """The message must fit one of those that its channel names, by its own name."""
        name = said.get("type") or said["event_type"]
        (message,) = [
            one
            for one in (follow(ref, document) for ref in document["channels"][channel]["messages"].values())
            if one["name"] == name
        ]
        check(said, message["payload"], document)
        heard.add(name)

    shopper = await shop.shopper()
    async with shop.cart() as cart, stream(shop, "/sse/1", shop.cart_headers()) as cart_events:
        await shop.online()
        session_id = await shop.start(shopper)
        started = await cart_events.event()
        assert started is not None
        hear("cartEvents", started[1])
        events = f"/customer-session/{session_id}/events"
        async with screen(shop, session_id, shopper) as phone, stream(shop, events, shopper) as same:

            async def both_hear(count: int) -> None:
                for _ in range(count):
                    said = await phone.hears()
                    hear("session", said)
                    event = await same.event()
                    assert event is not None
                    hear("sessionEvents", event[1])
                    assert event[1] == said

            await both_hear(1)
            await post(shop, "/items/read", sessionID=session_id, barcode=6221000000012)
            await warn(shop, session_id, "weight increased")
            await warn(shop, session_id, "weight decreased")
            await shop.add(session_id)
            payment = (await shop.create_payment(session_id, shopper)).json()
            await shop.press(payment["payment_url"], "decline")
            await both_hear(6)
            shop.clock.move(shop.inside.rules.payment_seconds + 1)
            await shop.inside.checkout.reconcile()
            payment = (await shop.create_payment(session_id, shopper)).json()
            await shop.press(payment["payment_url"])
            await both_hear(4)
        await shop.settled()
        for _ in await shop.commands():
            hear("hardware", json.loads(await cart.recv()))
    assert heard == {kind.value for kind in CommandType} | {kind.value for kind in NewsKind}


async def test_no_message_is_declared_without_one_of_its_fields(shop: Shop) -> None:
    document = await served(shop)
    for message in document["components"]["messages"].values():
        said = message["examples"][0]["payload"]
        for field in said:
            with pytest.raises(ValidationError):
                check({key: value for key, value in said.items() if key != field}, message["payload"], document)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda said: said | {"seq": 3},
        lambda said: said | {"data": "7"},
        lambda said: said | {"data": 0},
        lambda said: said | {"type": "session_ended"},
    ],
)
async def test_a_command_of_any_other_form_is_not_declared(
    shop: Shop, spoil: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    document = await served(shop)
    for ref in document["channels"]["hardware"]["messages"].values():
        message = follow(ref, document)
        with pytest.raises(ValidationError):
            check(spoil(message["examples"][0]["payload"]), message["payload"], document)
