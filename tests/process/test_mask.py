"""Secrets are masked wherever a line of the log, ours or a library's, may hold one (F22)."""

import json
import logging
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from duckycart import logs

SECRET = "s3cret-0123456789abcdef"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "text",
    [
        f"GET /ws/hardware/1?key={SECRET} HTTP/1.1",
        f"GET /ws/hardware/1?boot=7&key={SECRET}",
        f"/ws/7?token={SECRET}&x=1",
        f"X-API-Key: {SECRET}",
        f"{{'x-api-key': '{SECRET}'}}",
        f'{{"X-API-Key": "{SECRET}"}}',
        f"[(b'x-api-key', b'{SECRET}')]",
        f"Authorization: Bearer {SECRET}",
        f"(b'authorization', b'Bearer {SECRET}')",
        f"Cookie: screen={SECRET}",
    ],
)
def test_f22_a_secret_is_masked(text: str) -> None:
    assert SECRET not in logs.mask(text)
    assert "***" in logs.mask(text)


@pytest.mark.parametrize("text", [JWT, f"https://shop.example/s/{JWT}", f"token {JWT}, expired"])
def test_f22_a_token_is_masked_wherever_it_stands(text: str) -> None:
    assert JWT.rsplit(".", 1)[1] not in logs.mask(text)


def test_f22_a_pay_page_is_masked() -> None:
    assert logs.mask(f"POST /pay/{'0a' * 16}/pay") == "POST /pay/***/pay"


@pytest.mark.parametrize(
    "text", ["a newer connection of this cart took over", "send it as X-API-Key, as Authorization: Bearer, or else"]
)
def test_plain_sentences_stay_as_they_are(text: str) -> None:
    assert logs.mask(text) == text


WORDS = st.sampled_from(
    ["?key=", "&TOKEN=", "?boot=", "&\u212aey=", "Bearer ", "BEARER:", "x-api-key", "X-AP\u0130-KEY", "coo\u212aie=",
     "COOK\u0131E: ", "eyJ", "a.b.c", "/pay/", "0a" * 16, SECRET, "'", '"', "\\", " ", "\n"]
)  # fmt: skip


@given(st.lists(WORDS | st.text(max_size=12), max_size=12).map("".join))
def test_f22_the_quick_look_lets_nothing_through_that_a_pattern_masks(text: str) -> None:
    masked = text
    for pattern, replacement in logs._SECRETS:
        masked = pattern.sub(replacement, masked)
    assert logs.mask(text) == masked


VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20) | st.binary()


@pytest.mark.parametrize("method", ["info", "warning", "error", "exception"])
@given(
    fields=st.dictionaries(st.sampled_from(["cart", "session", "what", "address"]), VALUES),
    raised=st.booleans(),
    moment=st.datetimes(timezones=st.just(UTC)),
)
def test_a_json_line_is_what_structlogs_own_steps_make(
    method: str, fields: dict[str, Any], raised: bool, moment: datetime
) -> None:
    event = {**fields, "event": "it happened"} | ({"exc_info": ValueError("no")} if raised else {})
    steps = structlog.processors
    with mock.patch("structlog.processors.datetime.datetime") as theirs, mock.patch("duckycart.logs.datetime") as ours:
        theirs.now.return_value = ours.now.return_value = moment
        expected: Any = dict(event)
        stamp = steps.TimeStamper(fmt="iso", utc=True)
        for step in (steps.add_log_level, stamp, steps.format_exc_info, steps.JSONRenderer()):
            expected = step(None, method, expected)
        assert logs.json_line(None, method, dict(event)) == expected


def test_f22_lines_and_tracebacks_of_libraries_are_masked_json_too(capfd: pytest.CaptureFixture[str]) -> None:
    before = logging.root.handlers[:], logging.root.level, structlog.get_config()
    logs.configure("json")
    try:
        library = logging.getLogger("a.library")
        library.warning("refused %s", f"?key={SECRET}")
        library.info("nothing to worry about")
        try:
            raise ValueError(f"Bearer {SECRET}")
        except ValueError:
            library.exception("failed")
            structlog.get_logger().exception("failed too")
    finally:
        logging.root.handlers[:], level, config = before
        logging.root.setLevel(level)
        structlog.configure(**config)
    shown = capfd.readouterr().err
    lines = [json.loads(line) for line in shown.splitlines()]
    assert SECRET not in shown
    assert [line["event"] for line in lines] == ["refused ?key=***", "failed", "failed too"]
    assert all("ValueError: Bearer ***" in line["exception"] for line in lines[1:])
