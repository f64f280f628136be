"""F72: what is wrong with a form is said to the person who filled it in: no pattern, no word of a library."""

import json
import re
from typing import Any

import pytest

from duckycart.testing.furnish import MILK
from tests.api.doors import Session, refused
from tests.world import Shop

pytestmark = pytest.mark.any_store

JARGON = re.compile(r"pattern|regex|string|dict|valid (int|str)|input|\\|\^|\[|parse|Field required", re.IGNORECASE)
GOOD = {"email": "ann@example.com", "password": "long enough", "full_name": "Ann"}
WRONG: list[tuple[dict[str, object], str]] = [
    ({"email": "ann"}, "The e-mail must be an e-mail address, like ann@example.com."),
    ({"email": ""}, "The e-mail must be an e-mail address, like ann@example.com."),
    ({"email": "a b@example.com"}, "The e-mail must be an e-mail address, like ann@example.com."),
    ({"email": None}, "The e-mail must be a text."),
    ({"email": f"{'a' * 250}@example.com"}, "The e-mail must have at most 254 characters."),
    ({"password": "short"}, "The password must have at least 8 characters."),
    ({"password": "x" * 201}, "The password must have at most 200 characters."),
    ({"full_name": ""}, "The name is empty."),
    ({"full_name": "A\nB"}, "The name must be one line, without control characters."),
    ({"username": "a b c"}, "The user name may hold letters, digits, dots, hyphens and underscores only."),
    ({"username": "ab"}, "The user name must have at least 3 characters."),
    ({"mobile_number": 7}, "The mobile number must be a text."),
]


def words(problem: dict[str, Any]) -> str:
    return " ".join((problem["detail"], *(one["problem"] for one in problem["errors"])))


@pytest.mark.parametrize(("wrong", "sentence"), WRONG)
async def test_f72_a_bad_sign_up_is_answered_with_a_sentence(
    shop: Shop, wrong: dict[str, object], sentence: str
) -> None:
    problem = refused(await shop.http.post("/auth/signup", json={**GOOD, **wrong}), 422)
    assert (problem["code"], problem["detail"]) == ("invalid_request", sentence)
    assert [one["field"] for one in problem["errors"]] == list(wrong)
    assert not JARGON.search(words(problem))


async def test_f72_a_missing_field_is_named(shop: Shop) -> None:
    assert refused(await shop.http.post("/auth/signup", json={}), 422)["detail"] == "The e-mail is missing."
    assert refused(await shop.http.post("/auth/login", data={}), 422)["detail"] == "The user name is missing."


NUMBERS = ["null", "true", "1.5", '"x"', "[]", "{}", "1e400", "-1", "99999999999999999999999", '"\\u0661"', '"\\ud800"']


@pytest.mark.parametrize("path", ["/items/read", "/cart-items/add", "/fraud-warnings/notify-cart-update"])
async def test_f72_no_number_is_answered_in_a_library_s_words(shop: Shop, session: Session, path: str) -> None:
    name = "session_id" if "fraud" in path else "sessionID"
    for field in (name, "barcode", "weight"):
        for wrong in NUMBERS:
            body = json.dumps({name: session.id, "barcode": MILK, field: "?"}).replace('"?"', wrong)
            answer = await shop.http.post(path, content=body, headers=shop.cart_headers())
            if answer.status_code == 422:
                problem = refused(answer, 422, wrong)
                assert problem["detail"].startswith(f"The {field} "), problem
                assert not JARGON.search(words(problem)), problem


async def test_f72_nor_is_a_path_or_a_query(shop: Shop, session: Session) -> None:
    for path in ("/customer-session/x", "/items/read/x", "/customer-session/0", "/customer-session/1234567890"):
        problem = refused(await shop.http.get(path, headers=session.shopper), 422)
        assert not JARGON.search(words(problem)), problem
