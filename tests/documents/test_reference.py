"""docs/api.md says what a running server says of itself."""

from pathlib import Path

from tests.documents.reference import written
from tests.world import Shop

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


async def test_the_page_is_what_the_server_says_of_itself(shop: Shop) -> None:
    calls = (await shop.http.get("/openapi.json")).json()
    messages = (await shop.http.get("/asyncapi.json")).json()
    assert PAGE.read_text(encoding="utf-8") == written(calls, messages), "`make docs` writes it anew"


def test_the_page_names_every_call_and_every_command() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for heading in ("### `POST /cart-items/add`", "### `/ws/hardware/{cart_id}`", "`payment_created`"):
        assert heading in page
