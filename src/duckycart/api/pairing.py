"""A cart that has a claim code gets a key."""

from typing import Final

import structlog
from fastapi import Request, Response
from pydantic import BaseModel, Field

from duckycart.api.inputs import ONE_LINE
from duckycart.api.openapi import refuses
from duckycart.api.resource import resource_router
from duckycart.api.who import TheShop, address
from duckycart.errors import Forbidden, TooManyRequests
from duckycart.hardware.pairing import note_guesses, pair
from duckycart.keys import KEY_TEXT, MAX_KEY, MIN_KEY, code_of, hash_of
from duckycart.refusals import BAD_CLAIM_CODE, TOO_MANY_REQUESTS, WRITE_FAILS

router = resource_router(prefix="/carts", tags=["carts"])
log = structlog.get_logger()

WRONG_CODES: Final = 10  # a minute, from one address; who types errs less, and 40 bits are not guessed so


class Pairing(BaseModel):
    code: str = Field(
        max_length=40, pattern=ONE_LINE, examples=["7K3M-Q9XD"], description="as `carts claim-code` printed it"
    )
    key: str = Field(
        min_length=MIN_KEY,
        max_length=MAX_KEY,
        pattern=KEY_TEXT,
        examples=["pLq3YzR1cVx8mTn0sWk5bHd7fGj2aUe9iOt4vXy6hZc"],
        description="random, made on the cart: its key from now on",
    )


class Paired(BaseModel):
    cart_id: int = Field(examples=[1])


@router.post("/pair")
@refuses(BAD_CLAIM_CODE, TOO_MANY_REQUESTS, *WRITE_FAILS)
async def claim(request: Request, response: Response, shop: TheShop, given: Pairing) -> Paired:
    """Give a cart its key. A claim code is good once, for ten minutes.

    The same code with the same key again is the same pairing, so a call whose answer was lost may be repeated.
    """
    caller = address(request)
    try:
        shop.wrong_codes.take(caller)
    except TooManyRequests:
        await shop.store.write(lambda tx: note_guesses(tx, caller))
        raise
    code = code_of(given.code)
    try:
        if code is None:
            raise BAD_CLAIM_CODE()
        cart_id = await shop.store.write(lambda tx: pair(tx, hash_of(code), hash_of(given.key)))
    except Forbidden:
        log.warning("claim code refused", address=caller)
        raise
    shop.wrong_codes.give_back(caller)
    log.info("cart paired", cart=cart_id, address=caller)
    response.headers["Cache-Control"] = "no-store"
    return Paired(cart_id=cart_id)
