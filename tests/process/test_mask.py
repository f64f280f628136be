"""Secrets are masked wherever a line of the log, ours or a library's, may hold one (F22)."""

import json
import logging

import pytest
import structlog

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
