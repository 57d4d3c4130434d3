"""Storages: where artifacts' bytes lie."""

from .base import StorageBase
from .fetch import Storage
from .file import FileStorage
from .s3 import S3Storage

__all__ = ["FileStorage", "S3Storage", "Storage", "StorageBase"]
