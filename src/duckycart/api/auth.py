"""Shoppers sign up, sign in, or go on as guests."""

from typing import Annotated, Any, Final, Literal

from fastapi import Form, Request
from pydantic import BaseModel, Field

from duckycart.api.inputs import JWT, NAME, ONE_LINE, PASSWORD, USER_NAME
from duckycart.api.openapi import ONCE, refuses
from duckycart.api.resource import resource_router
from duckycart.api.views import Answer
from duckycart.api.who import TheShop, address
from duckycart.api.writes import write
from duckycart.lifecycle.accounts import User, begin_guest, find_account, sign_up
from duckycart.names import EMAIL, MAX_EMAIL, MAX_FULL_NAME, MAX_PASSWORD, MIN_PASSWORD
from duckycart.refusals import (
    ACCOUNT_TAKEN,
    NOT_A_QR,
    QR_EXPIRED,
    QR_VOID,
    TOO_MANY_REQUESTS,
    UNKNOWN_CART,
    USER_INACTIVE,
    WRITE_FAILS,
    WRONG_LOGIN,
)
from duckycart.tokens import AccessToken

router = resource_router(prefix="/auth", tags=["shoppers"])


class SignUp(BaseModel):
    email: Annotated[str, Field(max_length=MAX_EMAIL, pattern=EMAIL, examples=["mona@example.com"]), NAME]
    password: Annotated[
        str, Field(min_length=MIN_PASSWORD, max_length=MAX_PASSWORD, examples=["correct horse battery"]), PASSWORD
    ]
    full_name: str = Field(min_length=1, max_length=MAX_FULL_NAME, pattern=ONE_LINE, examples=["Mona Adel"])
    username: Annotated[str, Field(min_length=3, max_length=80, pattern=USER_NAME), NAME] | None = Field(
        None, examples=["mona"]
    )
    mobile_number: str | None = Field(None, max_length=32, pattern=ONE_LINE, examples=[None])


class GuestQr(BaseModel):
    token: str = Field(max_length=2000, examples=[JWT])


class UserBrief(BaseModel):
    id: int = Field(examples=[3])
    email: str | None = Field(description="null for a guest", examples=["mona@example.com"])
    full_name: str = Field(examples=["Mona Adel"])
    is_active: bool = Field(examples=[True])


class UserView(UserBrief):
    username: str | None = Field(examples=["mona"])
    mobile_number: str | None = Field(examples=[None])


class SignedIn(Answer):
    access_token: str = Field(examples=[JWT])
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - no secret
    user: UserBrief


_LOGIN_AS_JSON: Final[dict[str, Any]] = {
    "requestBody": {
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["username", "password"],
                    "properties": {"username": {"type": "string"}, "password": {"type": "string"}},
                },
                "example": {"username": "mona", "password": "correct horse battery"},
            }
        }
    }
}


@router.post("/signup", openapi_extra=ONCE)
@refuses(ACCOUNT_TAKEN, TOO_MANY_REQUESTS, *WRITE_FAILS)
async def signup(request: Request, shop: TheShop, form: SignUp) -> UserView:
    """Make an account. 409 when the e-mail or user name is taken."""
    shop.addresses.take(address(request))
    password_hash = await shop.passwords.hash(form.password)
    user = await write(
        request,
        None,
        User,
        lambda tx: sign_up(
            tx,
            email=form.email,
            password_hash=password_hash,
            full_name=form.full_name,
            username=form.username,
            mobile_number=form.mobile_number,
        ),
        body=form.model_dump_json(exclude={"password"}).encode(),  # no quick hash of a password is kept
    )
    return UserView.model_construct(
        id=user.id,
        email=user.email,
        username=user.username,
        mobile_number=user.mobile_number,
        full_name=user.full_name,
        is_active=user.is_active,
    )


@router.post("/login", openapi_extra=_LOGIN_AS_JSON)
@refuses(WRONG_LOGIN, USER_INACTIVE, TOO_MANY_REQUESTS)
async def login(
    request: Request,
    shop: TheShop,
    username: Annotated[str, Form(max_length=MAX_EMAIL, pattern=ONE_LINE, examples=["mona"]), NAME],
    # of MAX_PASSWORD characters, in whatever form they are typed
    password: Annotated[str, Form(max_length=1000, examples=["correct horse battery"])],
) -> SignedIn:
    """Sign in with e-mail or user name. An unknown one takes as long as a wrong password, and is told the same."""
    shop.addresses.take(address(request))
    shop.sign_ins.take(username)
    account = await shop.store.read(lambda connection: find_account(connection, username))
    if not await shop.passwords.check(password, account[1] if account else None) or account is None:
        raise WRONG_LOGIN()
    user = account[0]
    if not user.is_active:
        raise USER_INACTIVE()
    return _signed_in(shop, user, is_guest=False)


@router.post("/guest", openapi_extra=ONCE)
@refuses(NOT_A_QR, UNKNOWN_CART, QR_VOID, QR_EXPIRED, TOO_MANY_REQUESTS, *WRITE_FAILS)
async def guest(request: Request, shop: TheShop, qr: GuestQr) -> SignedIn:
    """Go on without an account, for the one session this QR can start."""
    shop.addresses.take(address(request))
    token = shop.tokens.read_qr(qr.token)
    user = await write(request, None, User, lambda tx: begin_guest(tx, token.cart_id, token.round, token.expires_at))
    return _signed_in(shop, user, is_guest=True)


def _signed_in(shop: TheShop, user: User, *, is_guest: bool) -> SignedIn:
    brief = UserBrief.model_construct(id=user.id, email=user.email, full_name=user.full_name, is_active=user.is_active)
    return SignedIn.model_construct(
        access_token=shop.tokens.access(AccessToken(user.id, user.is_operator, is_guest)), user=brief
    )
