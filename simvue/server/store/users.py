"""Tenants, users and tokens in SQL: who there is, and what a token may do.

A token may do no more than its user may at the moment that it is used, and nothing while
its user or its tenant is not enabled.  What a user owns names it by its username, which
therefore never changes, and outlives it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from simvue import wire

from . import SCOPES, Object, Query, Token, TokenScope, conditions
from .connection import Connection, Row

_TENANT: Final[Object] = {
    "name": "",
    "is_enabled": True,
    "max_request_rate": 0,
    "max_runs": 0,
    "max_data_volume": 0,
}
"""The members of a tenant and their defaults; a maximum of 0 is none."""
_USER: Final[Object] = {
    "username": "",
    "fullname": "",
    "email": "",
    "is_manager": False,
    "is_admin": False,
    "is_readonly": False,
    "is_enabled": True,
}
"""The members of a user and their defaults."""

# ---- Tenants --------------------------------------------------------------------------


def create_tenant(connection: Connection, tenant: Object, now: int) -> str:
    """Create a tenant; see Store.create_tenant."""
    if _find(connection, "tenant", "name", tenant["name"]):
        raise ValueError(f"there is a tenant called {tenant['name']!r}")
    return _insert(connection, "tenant", _TENANT, tenant, now)


def get_tenant(connection: Connection, tenant: str) -> Object | None:
    """Return the tenant object with id *tenant*."""
    row = _find(connection, "tenant", "id", tenant)
    return None if row is None else _object(row, _TENANT)


def select_tenants(connection: Connection, query: Query) -> tuple[int, list[Object]]:
    """Return (total, the page's tenant objects), oldest first unless *query* sorts."""
    total, rows = _select(connection, conditions.TENANT, "tenant", "TRUE", (), query)
    return total, [_object(row, _TENANT) for row in rows]


def update_tenant(connection: Connection, tenant: str, changes: Object) -> bool:
    """Apply *changes*; see Store.update_tenant."""
    row = _find(connection, "tenant", "id", tenant)
    if row is None:
        return False
    name = changes.get("name") or row["name"]
    if name != row["name"] and _find(connection, "tenant", "name", name):
        raise ValueError(f"there is another tenant called {name!r}")
    _update(connection, "tenant", row["key"], _TENANT, changes)
    _check_administered(connection)
    return True


def delete_tenant(connection: Connection, tenant: str) -> bool:
    """Delete the tenant with its users; see Store.delete_tenant."""
    deleted = connection.execute("DELETE FROM tenant WHERE id = ?", (tenant,)).rowcount > 0
    _check_administered(connection)
    return deleted


# ---- Users ------------------------------------------------------------------------------

_USERS: Final = (
    'SELECT "user".*, tenant.id AS tenant_id FROM "user" JOIN tenant ON tenant.key = "user".tenant'
)


def create_user(connection: Connection, user: Object, now: int) -> str:
    """Create a user; see Store.create_user."""
    tenant = _find(connection, "tenant", "id", user["tenant"])
    if tenant is None:
        raise ValueError(f"there is no tenant {user['tenant']}")
    if _find(connection, '"user"', "username", user["username"]):
        raise ValueError(f"there is a user called {user['username']!r}")
    return _insert(connection, '"user"', _USER, user, now, tenant=tenant["key"])


def get_user(connection: Connection, user: str) -> Object | None:
    """Return the user object with id *user*."""
    row = connection.execute(f'{_USERS} WHERE "user".id = ?', (user,)).fetchone()
    return None if row is None else _user(row)


def select_users(connection: Connection, query: Query) -> tuple[int, list[Object]]:
    """Return (total, the page's user objects), oldest first unless *query* sorts."""
    total, rows = _select(connection, conditions.USER, '"user"', "TRUE", (), query, _USERS)
    return total, [_user(row) for row in rows]


def update_user(connection: Connection, user: str, changes: Object) -> bool:
    """Apply *changes*; see Store.update_user."""
    row = _find(connection, '"user"', "id", user)
    if row is None:
        return False
    if changes.get("username") not in (None, row["username"]):
        raise ValueError(f"{row['username']!r} says whose runs are whose, and cannot change")
    _update(connection, '"user"', row["key"], _USER, changes)
    _check_administered(connection)
    return True


def delete_user(connection: Connection, user: str) -> bool:
    """Delete the user and its tokens; see Store.delete_user."""
    deleted = connection.execute('DELETE FROM "user" WHERE id = ?', (user,)).rowcount > 0
    _check_administered(connection)
    return deleted


def _user(row: Row) -> Object:
    # Those who are deleted are not kept, so nobody whom one can ask for is.
    return {**_object(row, _USER), "is_deleted": False, "tenant": row["tenant_id"]}


def _check_administered(connection: Connection) -> None:
    """Refuse what has just been done if nobody is left who could undo it."""
    left = connection.execute(
        'SELECT 1 FROM "user" member JOIN tenant ON tenant.key = member.tenant '
        "WHERE member.is_admin AND member.is_enabled AND NOT member.is_readonly "
        "AND tenant.is_enabled LIMIT 1"
    ).fetchone()
    if left is None:
        raise ValueError("no administrator would be left: make another one first")


def usage(connection: Connection, tenant: str | None) -> dict[str, Object]:
    """Return what each user has; see Store.usage."""
    condition = "TRUE" if tenant is None else "? IN (tenant.id, tenant.name)"
    users = connection.execute(
        'SELECT username FROM "user" member JOIN tenant ON tenant.key = member.tenant '
        f"WHERE {condition} ORDER BY username",
        () if tenant is None else (tenant,),
    ).fetchall()
    found = {row["username"]: dict.fromkeys(_USAGE, 0) for row in users}
    for member, sql in _USAGE.items():
        for owner, count in connection.execute(sql):
            if owner in found:
                found[owner][member] = count
    return found


_USAGE: Final = {
    "runs": "SELECT owner, count(*) FROM run GROUP BY owner",
    "alerts": "SELECT owner, count(*) FROM alert GROUP BY owner",
    "tags": "SELECT owner, count(DISTINCT tag) FROM run JOIN run_tag ON run = key GROUP BY owner",
    "files": "SELECT owner, count(*) FROM artifact GROUP BY owner",
    "volume": (
        "SELECT owner, sum(blob.size) FROM artifact JOIN blob ON blob.key = artifact.blob "
        "GROUP BY owner"
    ),
    "events": "SELECT owner, count(*) FROM run JOIN event ON event.run = run.key GROUP BY owner",
    "metrics": "SELECT owner, count(*) FROM run JOIN metric ON metric.run = run.key GROUP BY owner",
}

# ---- Tokens -----------------------------------------------------------------------------

_TOKENS: Final = (
    "SELECT token.*, username, tenant.name AS tenant_name, is_admin, is_readonly, "
    "member.is_enabled AND tenant.is_enabled AS is_enabled "
    'FROM token JOIN "user" member ON member.key = token."user" '
    "JOIN tenant ON tenant.key = member.tenant"
)


def add_token(connection: Connection, digest: str, token: Token, now: int) -> None:
    """Remember *token*; see Store.add_token."""
    user = _find(connection, '"user"', "username", token.user)
    if user is None:
        tenant = _find(connection, "tenant", "name", token.tenant)
        if tenant is None:
            create_tenant(connection, {"name": token.tenant}, now)
            tenant = _find(connection, "tenant", "name", token.tenant)
        assert tenant is not None
        members = {"username": token.user, "is_admin": token.is_admin, "tenant": tenant["id"]}
        create_user(connection, members, now)
        user = _find(connection, '"user"', "username", token.user)
    assert user is not None
    connection.execute(
        'INSERT INTO token (digest, id, "user", name, scope, created, expires) '
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (digest, token.id, user["key"], token.name, token.scope, now, token.expires),
    )


def find_token(connection: Connection, digest: str) -> Token | None:
    """Return what the token may; see Store.find_token."""
    row = connection.execute(f"{_TOKENS} WHERE digest = ?", (digest,)).fetchone()
    if row is None or not row["is_enabled"]:
        return None
    most: TokenScope = "read" if row["is_readonly"] else "admin" if row["is_admin"] else "write"
    return Token(
        row["username"],
        row["tenant_name"],
        min(row["scope"], most, key=SCOPES.index),
        row["expires"],
        row["name"],
        row["id"],
    )


def select_tokens(
    connection: Connection, query: Query, user: str | None
) -> tuple[int, list[Object]]:
    """Return (total, the page's token objects), oldest first unless *query* sorts."""
    condition, values = ("TRUE", ()) if user is None else ("username = ?", (user,))
    total, rows = _select(connection, conditions.TOKEN, "token", condition, values, query, _TOKENS)
    return total, [
        {
            "id": row["id"],
            "name": row["name"],
            "user": row["username"],
            "tenant": row["tenant_name"],
            "scope": row["scope"],
            "created": wire.format_timestamp(row["created"]),
            "expires": wire.format_timestamp(int(row["expires"] * 1e6)),
        }
        for row in rows
    ]


def delete_token(connection: Connection, token: str, user: str | None) -> bool:
    """Take back the token; see Store.delete_token."""
    condition, values = "TRUE", [token]
    if user is not None:
        condition, values = '"user" = (SELECT key FROM "user" WHERE username = ?)', [token, user]
    deleted = connection.execute(f"DELETE FROM token WHERE id = ? AND {condition}", values)
    return deleted.rowcount > 0


# ---- Any of them --------------------------------------------------------------------------


def _find(connection: Connection, table: str, column: str, value: str) -> Row | None:
    row: Row | None = connection.execute(
        f"SELECT * FROM {table} WHERE {column} = ?", (value,)
    ).fetchone()
    return row


def _insert(
    connection: Connection,
    table: str,
    defaults: Object,
    members: Object,
    now: int,
    **more: Any,
) -> str:
    given = {name: members[name] for name in defaults if members.get(name) is not None}
    columns = {**defaults, **given, **more, "id": wire.new_id(), "created": now}
    connection.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
        list(columns.values()),
    )
    made: str = columns["id"]
    return made


def _update(
    connection: Connection, table: str, key: int, defaults: Object, changes: Object
) -> None:
    columns = {name: changes[name] for name in defaults if changes.get(name) is not None}
    if columns:
        connection.execute(
            f"UPDATE {table} SET {', '.join(f'{name} = ?' for name in columns)} WHERE key = ?",
            [*columns.values(), key],
        )


def _select(
    connection: Connection,
    subject: conditions.Subject,
    table: str,
    condition: str,
    values: Iterable[Any],
    query: Query,
    select: str = "",
) -> tuple[int, list[Row]]:
    select = select or f"SELECT * FROM {table}"
    order = conditions.order(subject, query, f"{table}.key")
    limit, limit_values = conditions.page(query)
    rows = connection.execute(
        f"{select} WHERE {condition} ORDER BY {order.by} {limit}",
        [*values, *limit_values],
    ).fetchall()
    total = connection.execute(
        f"SELECT count(*) FROM ({select} WHERE {condition}) counted", [*values]
    )
    return total.fetchone()[0], rows


def _object(row: Row, members: Object) -> Object:
    """Return the object behind *row*; what is a bool in the defaults is one in the answer."""
    return {
        "id": row["id"],
        **{name: type(default)(row[name]) for name, default in members.items()},
        "created": wire.format_timestamp(row["created"]),
    }
