"""Tenants: the groups that users belong to; all of it is for administrators.

Their limits are kept for those who read them, and not enforced.
"""

from __future__ import annotations

from typing import Final

from litestar import Response, delete, get, post, put

from .. import query
from ..forms import NewTenant, Refused, TenantChanges, answer, check_id, checked, members, read_form
from ..parameters import Sorted
from ..shapes import Empty, Made, Page, Tenant
from . import Asked, administered


@post("/tenants", body=NewTenant, answer=Made)
@administered
def create_tenant(asked: Asked) -> Response[bytes]:
    """Create a tenant."""
    tenant = members(read_form(asked.body, NewTenant))
    # Not a 409 if the name is taken: official clients take that for success.
    with checked("body", "name"):
        return answer({"id": asked.store.create_tenant(tenant)})


@get("/tenants", query=Sorted, answer=Page[Tenant])
@administered
def list_tenants(asked: Asked) -> Response[bytes]:
    """Answer a page of tenants."""
    wanted = query.listing(asked.parameters, filtered=False)
    return answer(query.fetch(asked.store.list_tenants, wanted))


@get("/tenants/{tenant:str}", answer=Tenant)
@administered
def get_tenant(asked: Asked, tenant: str) -> Response[bytes]:
    """Answer one tenant."""
    found = asked.store.get_tenant(check_id(tenant, "path", "id"))
    if found is None:
        raise _missing(tenant)
    return answer(found)


@put("/tenants/{tenant:str}", body=TenantChanges, answer=Made)
@administered
def update_tenant(asked: Asked, tenant: str) -> Response[bytes]:
    """Change what the body names."""
    changes = members(read_form(asked.body, TenantChanges))
    check_id(tenant, "path", "id")
    with checked("body"):
        known = asked.store.update_tenant(tenant, changes)
    if not known:
        raise _missing(tenant)
    return answer({"id": tenant})


@delete("/tenants/{tenant:str}", status_code=200, answer=Empty)
@administered
def delete_tenant(asked: Asked, tenant: str) -> Response[bytes]:
    """Delete a tenant with its users; what belongs to these stays."""
    check_id(tenant, "path", "id")
    with checked("path", "id"):
        known = asked.store.delete_tenant(tenant)
    if not known:
        raise _missing(tenant)
    return answer({})


def _missing(tenant: str) -> Refused:
    return Refused(404, f"there is no tenant {tenant}")


HANDLERS: Final = [create_tenant, list_tenants, get_tenant, update_tenant, delete_tenant]
