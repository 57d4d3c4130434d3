"""Artifacts: files and objects as bytes with a MIME type, and back.

::

    plotly, matplotlib     application/vnd.plotly.v1+json       the figure in plotly's JSON
    numpy array            application/vnd.simvue.numpy.v1      npy
    pandas DataFrame       application/vnd.simvue.df.v1         CSV, the index in front
    torch tensors          application/vnd.simvue.torch.v1      as torch saves them
    whatever JSON holds    application/json
    anything else          application/octet-stream             a pickle, if it is allowed

An object of a package is known by its type, so none of these packages is imported before its
user has; reading back imports what it needs.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from simvue.exception import InvalidValueError
from simvue.repository import find_repository
from simvue.wire import NAME_PATTERN

CATEGORIES: Final = ("input", "output", "code")

PLOTLY: Final = "application/vnd.plotly.v1+json"
NUMPY: Final = "application/vnd.simvue.numpy.v1"
DATAFRAME: Final = "application/vnd.simvue.df.v1"
TORCH: Final = "application/vnd.simvue.torch.v1"
JSON: Final = "application/json"
BYTES: Final = "application/octet-stream"

_BESIDE_NAMES: Final = re.compile(r"[^a-zA-Z0-9\-_\s/.:]")


# ---- Objects -----------------------------------------------------------------------------


def encode(obj: Any, allow_pickle: bool = False) -> tuple[bytes, str]:
    """Return *obj* as bytes and the MIME type that says how to read them.

    Raises InvalidValueError for an object that only a pickle could hold, unless *allow_pickle*.
    """
    if _is(obj, "plotly.graph_objs", "Figure"):
        return obj.to_json().encode(), PLOTLY
    pyplot: Any = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None and obj is pyplot:
        obj = pyplot.gcf()
    if _is(obj, "matplotlib.figure", "Figure"):
        return _encode_matplotlib(obj), PLOTLY
    if _is(obj, "pandas", "DataFrame"):
        return obj.to_csv().encode(), DATAFRAME
    if _is(obj, "numpy", "ndarray") and not obj.dtype.hasobject:
        import numpy as np

        buffer = io.BytesIO()
        np.save(buffer, obj, allow_pickle=False)
        return buffer.getvalue(), NUMPY
    if _is_torch(obj):
        buffer = io.BytesIO()
        sys.modules["torch"].save(obj, buffer)
        return buffer.getvalue(), TORCH
    try:
        return json.dumps(obj).encode(), JSON
    except (TypeError, ValueError, RecursionError):
        if not allow_pickle:
            raise InvalidValueError(
                f"an object of type {type(obj).__name__} can only be saved as a pickle: pass "
                "allow_pickle=True, or write it to a file and use save_file"
            ) from None
    import pickle

    try:
        return pickle.dumps(obj), BYTES
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise InvalidValueError(f"the object cannot be pickled: {error}") from None


def decode(content: bytes, mime_type: str, allow_pickle: bool = False) -> Any:
    """Return the object that ``encode`` made *content* of; the bytes where it made none of them.

    A pickle is read only with *allow_pickle*: it runs whatever code it holds.  Raises ValueError
    or the package's own error for content that is not what *mime_type* says, ImportError where
    the package is missing.
    """
    if mime_type == NUMPY:
        import numpy as np

        return np.load(io.BytesIO(content), allow_pickle=False)
    if mime_type == DATAFRAME:
        import pandas as pd

        return pd.read_csv(io.BytesIO(content), index_col=0)
    if mime_type == PLOTLY:
        import plotly.io

        return plotly.io.from_json(content.decode())
    if mime_type == TORCH:
        import torch  # type: ignore[import-not-found,unused-ignore]

        return torch.load(io.BytesIO(content), weights_only=True)
    if mime_type == JSON:
        return json.loads(content)
    if mime_type == BYTES and allow_pickle:
        import pickle

        return pickle.loads(content)
    return content


def name_of_object(obj: object) -> str:
    """Return the name of an artifact that was not given one."""
    return f"{type(obj).__name__.lower()}_{id(obj)}"


def _is(obj: object, module: str, name: str) -> bool:
    """Whether *obj* is of a type of a package that its user has imported."""
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(obj, kind)


def _is_torch(obj: object) -> bool:
    if isinstance(obj, OrderedDict):
        return bool(obj) and all(_is(value, "torch", "Tensor") for value in obj.values())
    return _is(obj, "torch", "Tensor")


def _encode_matplotlib(figure: Any) -> bytes:
    try:
        from plotly.tools import mpl_to_plotly
    except ImportError:
        raise InvalidValueError(
            "a matplotlib figure is saved as one of plotly, which is not installed: install "
            "'simvue[plot]', or use figure.savefig and save_file"
        ) from None
    return bytes(mpl_to_plotly(figure).to_json().encode())


# ---- Files -------------------------------------------------------------------------------


def check_category(category: object) -> str:
    """Check what an artifact is to the run."""
    if category not in CATEGORIES:
        raise InvalidValueError(
            f"category is one of {', '.join(CATEGORIES)}; got {category!r:.100}"
        )
    return str(category)


def check_artifact_name(name: object) -> str:
    """Check the name that an artifact is given."""
    if not isinstance(name, str) or NAME_PATTERN.fullmatch(name) is None:
        raise InvalidValueError(
            f"artifact name {name!r:.100}: allowed are letters, digits, spaces and - _ / . :"
        )
    return name


def check_file(path: object) -> Path:
    """Check that *path* is a file that can be read, and return it as an absolute path."""
    found = _path(path)
    if not found.is_file():
        what = "is not a file" if found.exists() else "does not exist"
        raise InvalidValueError(f"{found} {what}")
    if not os.access(found, os.R_OK):
        raise InvalidValueError(f"{found} may not be read by this user")
    return found


def check_mime_type(file_type: object, path: Path) -> str:
    """Check a MIME type, or find the one that belongs to the name of *path*."""
    import mimetypes

    if file_type is None:
        return mimetypes.guess_type(path.name)[0] or BYTES
    mimetypes.init()
    known = {*mimetypes.types_map.values(), *mimetypes.common_types.values()}
    known |= {PLOTLY, NUMPY, DATAFRAME, TORCH, BYTES}
    if file_type not in known:
        raise InvalidValueError(f"file type {file_type!r:.100} is not a MIME type that is known")
    return str(file_type)


def name_of_file(path: Path, relative_to: str | Path | None) -> str:
    """Return the artifact's name of *path*: its last part, or all below *relative_to*.

    That is a directory, ``cwd`` for the working directory or ``git`` for the repository around
    the file.  A file that lies elsewhere keeps its whole path.  What no name may hold becomes
    ``_``.
    """
    if relative_to is None:
        name = path.name
    else:
        base: Path | None = Path.cwd() if relative_to == "cwd" else Path(relative_to)
        if relative_to == "git":
            base = find_repository(path.parent)
        inside = base is not None and path.is_relative_to(base)
        name = str(path.relative_to(base)) if base and inside else str(path).lstrip("/")
    return _BESIDE_NAMES.sub("_", name)


def files_below(directory: object) -> Iterator[tuple[Path, Path]]:
    """Yield (directory, file) for every file below *directory*, in a fixed order."""
    root = _path(directory)
    if not root.is_dir():
        raise InvalidValueError(f"{root} is not a directory")
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            # Sockets, pipes and dangling links hold nothing that could be saved.
            if path.is_file():
                yield root, path


def _path(path: object) -> Path:
    if not isinstance(path, (str, os.PathLike)):
        raise InvalidValueError(f"a file is named by its path, not by {type(path).__name__}")
    return Path(os.path.abspath(os.path.expanduser(path)))
