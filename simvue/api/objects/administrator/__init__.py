"""Tenants and users: for administrators."""

from .tenant import Tenant
from .user import User

__all__ = ["Tenant", "User"]
