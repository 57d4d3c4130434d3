"""One class for each kind of object that a server has."""

from .administrator import Tenant, User
from .alert import Alert, EventsAlert, MetricsRangeAlert, MetricsThresholdAlert, UserAlert
from .artifact import Artifact, FileArtifact, ObjectArtifact
from .events import Events
from .folder import Folder, get_folder_from_path
from .grids import Grid, GridMetrics
from .metrics import Metrics
from .run import Run
from .stats import Stats
from .storage import FileStorage, S3Storage, Storage
from .tag import Tag

__all__ = [
    "Alert",
    "Artifact",
    "Events",
    "EventsAlert",
    "FileArtifact",
    "FileStorage",
    "Folder",
    "Grid",
    "GridMetrics",
    "Metrics",
    "MetricsRangeAlert",
    "MetricsThresholdAlert",
    "ObjectArtifact",
    "Run",
    "S3Storage",
    "Stats",
    "Storage",
    "Tag",
    "Tenant",
    "User",
    "UserAlert",
    "get_folder_from_path",
]
