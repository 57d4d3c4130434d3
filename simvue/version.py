"""The one place of the version; pyproject.toml repeats it and a test holds them equal."""

__version__ = "2.7.0"
