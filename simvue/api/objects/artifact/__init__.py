"""Artifacts: files and objects that belong to runs."""

from .base import ArtifactBase
from .fetch import Artifact
from .file import FileArtifact
from .object import ObjectArtifact

__all__ = ["Artifact", "ArtifactBase", "FileArtifact", "ObjectArtifact"]
