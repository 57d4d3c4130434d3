"""Users: who there is, which is for administrators; who asks; tokens that speak for a user."""

from __future__ import annotations

import time
from typing import Final

from litestar import Response, delete, get, post, put

from simvue import wire

from .. import query
from ..auth import digest, new_token
from ..forms import (
    NewToken,
    NewUser,
    Refused,
    UserChanges,
    answer,
    check_id,
    checked,
    invalid,
    members,
    read_form,
)
from ..parameters import Sorted
from ..shapes import Empty, Made, MadeToken, Page, Token, User, Whoami
from ..store import SCOPES
from . import Asked, administered, threaded

# ---- Users ------------------------------------------------------------------------------


@get("/whoami", answer=Whoami)
@threaded
def whoami(asked: Asked) -> Response[bytes]:
    """Answer whom the token speaks for, what it may do, and until when."""
    token = asked.token
    return answer(
        {
            "user": token.user,
            "tenant": token.tenant,
            "is_admin": token.is_admin,
            "scope": token.scope,
            "expires": wire.format_timestamp(int(token.expires * 1e6)),
        }
    )


@post("/users", body=NewUser, answer=Made)
@administered
def create_user(asked: Asked) -> Response[bytes]:
    """Create a user of a tenant; nobody can speak for it until a token is made."""
    form = read_form(asked.body, NewUser)
    # Not a 409 if the name is taken: official clients take that for success.
    with checked("body"):
        user = asked.store.create_user({**members(form.user), "tenant": form.tenant})
    return answer({"id": user})


@get("/users", query=Sorted, answer=Page[User])
@administered
def list_users(asked: Asked) -> Response[bytes]:
    """Answer a page of users."""
    wanted = query.listing(asked.parameters, filtered=False)
    return answer(query.fetch(asked.store.list_users, wanted))


@get("/users/{user:str}", answer=User)
@administered
def get_user(asked: Asked, user: str) -> Response[bytes]:
    """Answer one user."""
    found = asked.store.get_user(check_id(user, "path", "id"))
    if found is None:
        raise _missing(user)
    return answer(found)


@put("/users/{user:str}", body=UserChanges, answer=Made)
@administered
def update_user(asked: Asked, user: str) -> Response[bytes]:
    """Change what the body names; from now on, the tokens of the user may do no more than it."""
    changes = members(read_form(asked.body, UserChanges))
    check_id(user, "path", "id")
    with checked("body"):
        known = asked.store.update_user(user, changes)
    if not known:
        raise _missing(user)
    return answer({"id": user})


@delete("/users/{user:str}", status_code=200, answer=Empty)
@administered
def delete_user(asked: Asked, user: str) -> Response[bytes]:
    """Delete a user and its tokens; what belongs to it stays."""
    check_id(user, "path", "id")
    with checked("path", "id"):
        known = asked.store.delete_user(user)
    if not known:
        raise _missing(user)
    return answer({})


def _missing(user: str) -> Refused:
    return Refused(404, f"there is no user {user}")


# ---- Tokens -----------------------------------------------------------------------------


@post("/tokens", body=NewToken, answer=MadeToken)
@threaded
def create_token(asked: Asked) -> Response[bytes]:
    """Make a token, whose text is in this answer and nowhere else.

    It may do no more than the token that asks for it; an administrator's may ask for others.
    """
    form = read_form(asked.body, NewToken)
    owner, tenant = asked.owner, asked.token.tenant
    if form.user is not None:
        found = asked.store.get_user(form.user) if asked.token.is_admin else None
        if found is None:
            raise invalid("there is no such user, or it is not yours to ask for", "body", "user")
        owner = found["username"]
    if SCOPES.index(form.scope) > SCOPES.index(asked.token.scope):
        raise invalid(f"this token may only {asked.token.scope}", "body", "scope")
    text, token = new_token(owner, tenant, time.time(), form.scope, form.lifetime, form.name)
    asked.store.add_token(digest(text), token)
    expires = wire.format_timestamp(int(token.expires * 1e6))
    return answer({"id": token.id, "token": text, "expires": expires})


@get("/tokens", query=Sorted, answer=Page[Token])
@threaded
def list_tokens(asked: Asked) -> Response[bytes]:
    """Answer a page of one's own tokens, of all to an administrator; never their text."""
    wanted = query.listing(asked.parameters, filtered=False)
    with checked("query"):
        total, tokens = asked.store.list_tokens(wanted, _whose(asked))
    return answer(query.page(total, tokens))


@delete("/tokens/{token:str}", status_code=200, answer=Empty)
@threaded
def delete_token(asked: Asked, token: str) -> Response[bytes]:
    """Take a token back; it is not known any more from now on."""
    if not asked.store.delete_token(check_id(token, "path", "id"), _whose(asked)):
        raise Refused(404, f"there is no token {token}")
    asked.tokens.forget()
    return answer({})


def _whose(asked: Asked) -> str | None:
    return None if asked.token.is_admin else asked.owner


HANDLERS: Final = [
    whoami,
    create_user,
    list_users,
    get_user,
    update_user,
    delete_user,
    create_token,
    list_tokens,
    delete_token,
]
