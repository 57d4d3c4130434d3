"""Engines: a real PostgreSQL and a real SeaweedFS cluster on loopback, while they are wanted.

The demo and the tests run on them.  They listen on 127.0.0.1, PostgreSQL and the gateway want
credentials made up for each, and they are killed when the thread that started them ends, however
it does.
"""

from .postgres import Postgres
from .processes import EngineMissing, room
from .seaweed import SeaweedFS

__all__ = ["EngineMissing", "Postgres", "SeaweedFS", "room"]
