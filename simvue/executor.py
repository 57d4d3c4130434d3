"""The processes of a run, under the name of the official package."""

from .processes import Executor

__all__ = ["Executor"]
