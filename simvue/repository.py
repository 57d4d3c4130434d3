"""The git repository around a directory, as its files tell it; git itself is not started.

What is not cheaply known is left out: a commit that is packed as a difference, whether a large
work tree has changes.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
import zlib
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

_FILES_MAX: Final = 2000
"""Files of a work tree that are looked at for changes: 2 us each, and ``init`` has 20 ms."""

_INDEX_SIZE_MAX: Final = 1 << 20
"""Bytes of an index that is read: more than so many files need."""

_HASHED_MAX: Final = 20
"""Files that have a new date and the old size, of which the content is compared; chosen."""

_HASHED_SIZE_MAX: Final = 1 << 20
"""Bytes of one of them; chosen."""

_MESSAGE_MAX: Final = 1000
"""Characters of a commit's message that are recorded; chosen."""

_ENTRY: Final = struct.Struct(">4x4xIIxxxxxxxxI4x4xI20sH")
"""An entry of the index: mtime (s, ns), mode, size, SHA-1, flags."""

_SUBMODULE: Final = 0o160000
_COMMIT: Final = 1
"""The type of a packed object that is a whole commit."""


def find_repository(directory: Path) -> Path | None:
    """Return the top of the work tree that *directory* lies in; None if it lies in none."""
    for folder in (directory, *directory.parents):
        with contextlib.suppress(OSError):
            if (folder / ".git").exists():
                return folder
    return None


def describe_repository(directory: Path) -> dict[str, Any]:
    """Say at which commit the repository around *directory* is; empty if there is none.

    ``ref`` is the commit, ``branch``, ``url`` where it came from, without credentials, ``dirty``
    whether tracked files were changed, ``blame`` the author's address, ``msg`` and ``time_stamp``
    the commit's.
    """
    top = find_repository(directory)
    if top is None:
        return {}
    # What cannot be read, or is not written as expected, is not recorded.
    with contextlib.suppress(OSError, ValueError, struct.error, zlib.error, IndexError):
        return _describe(top)
    return {}


def _describe(top: Path) -> dict[str, Any]:
    git = top / ".git"
    if git.is_file():
        # A further work tree, or a submodule: its own HEAD and index lie elsewhere.
        git = top / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
    common = git
    with contextlib.suppress(FileNotFoundError):
        common = git / (git / "commondir").read_text(encoding="utf-8").strip()
    head = (git / "HEAD").read_text(encoding="utf-8").strip()
    reference = head.removeprefix("ref: ")
    ref = _resolve(git, common, reference) if reference != head else head
    found: dict[str, Any] = {"ref": ref, "url": _origin(common)}
    if reference != head:
        found["branch"] = reference.removeprefix("refs/heads/")
    if ref is None:
        # Before the first commit.
        return {name: value for name, value in found.items() if value is not None}
    commit = _read_commit(common, ref)
    found |= _describe_commit(commit)
    found["dirty"] = _is_dirty(top, git / "index", _tree_of(commit))
    return {name: value for name, value in found.items() if value is not None}


def _resolve(git: Path, common: Path, reference: str) -> str | None:
    for place in (git, common):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return (place / reference).read_text(encoding="utf-8").strip()
    with contextlib.suppress(FileNotFoundError):
        for line in (common / "packed-refs").read_text(encoding="utf-8").splitlines():
            ref, _, name = line.partition(" ")
            if name == reference:
                return ref
    return None


def _origin(common: Path) -> str | None:
    """Return the address of the remote ``origin``, or else of the first one."""
    urls: dict[str, str] = {}
    remote = None
    with contextlib.suppress(FileNotFoundError):
        for line in (common / "config").read_text(encoding="utf-8").splitlines():
            if section := re.match(r'\s*\[\s*([\w.-]+)(?:\s+"(.*)")?\s*\]', line):
                remote = section[2] if section[1].lower() == "remote" else None
            elif remote and (entry := re.match(r"\s*url\s*=\s*(\S+)", line)):
                urls.setdefault(remote, entry[1].strip('"'))
    url = urls.get("origin") or next(iter(urls.values()), None)
    return _without_credentials(url) if url else None


def _without_credentials(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator:
        # As git@host:path, whose user is no secret, or a directory.
        return url
    host, slash, path = rest.partition("/")
    user, _, host = host.rpartition("@")
    if scheme in ("ssh", "git+ssh") and user:
        # A host of many users wants to know which; the password goes.
        host = f"{user.partition(':')[0]}@{host}"
    return f"{scheme}://{host}{slash}{re.split('[?#]', path)[0]}"


# ---- The commit --------------------------------------------------------------------------


def _describe_commit(commit: bytes | None) -> dict[str, Any]:
    if commit is None:
        return {}
    header, _, message = commit.decode("utf-8", "replace").partition("\n\n")
    found: dict[str, Any] = {"msg": message.strip()[:_MESSAGE_MAX]}
    author = re.search(r"^author (.*) <(.*)> (\d+) ([+-])(\d\d)(\d\d)$", header, re.MULTILINE)
    if author:
        offset = timedelta(hours=int(author[5]), minutes=int(author[6]))
        zone = timezone(offset if author[4] == "+" else -offset)
        found["blame"] = author[2]
        found["time_stamp"] = datetime.fromtimestamp(int(author[3]), zone).isoformat()
    return found


def _tree_of(commit: bytes | None) -> str | None:
    tree = re.match(rb"tree ([0-9a-f]+)\n", commit or b"")
    return tree[1].decode() if tree else None


def _read_commit(common: Path, ref: str) -> bytes | None:
    objects = common / "objects"
    with contextlib.suppress(FileNotFoundError):
        whole = zlib.decompress((objects / ref[:2] / ref[2:]).read_bytes())
        return whole.partition(b"\0")[2]
    for index in (objects / "pack").glob("*.idx"):
        offset = _find_packed(index, bytes.fromhex(ref))
        if offset is not None:
            return _read_packed(index.with_suffix(".pack"), offset)
    return None


def _find_packed(index: Path, name: bytes) -> int | None:
    """Return where in its pack the object *name* lies; None if it is in another."""
    with open(index, "rb") as file:
        if file.read(8) != b"\xfftOc\0\0\0\2":
            return None
        fanout = struct.unpack(">256I", file.read(1024))
        total, end = fanout[255], fanout[name[0]]
        begin = fanout[name[0] - 1] if name[0] else 0
        names_at = 8 + 1024
        file.seek(names_at + 20 * begin)
        names = file.read(20 * (end - begin))
        for place in range(end - begin):
            if names[20 * place : 20 * place + 20] == name:
                file.seek(names_at + 24 * total + 4 * (begin + place))
                offset = int.from_bytes(file.read(4), "big")
                # Beyond 2 GiB it would stand in a table of its own.
                return offset if offset < 1 << 31 else None
    return None


def _read_packed(pack: Path, offset: int) -> bytes | None:
    with open(pack, "rb") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        if byte >> 4 & 7 != _COMMIT:
            return None
        size, shift = byte & 15, 4
        while byte & 128:
            byte = file.read(1)[0]
            size |= (byte & 127) << shift
            shift += 7
        # A commit is text, and packed smaller than it is but for a few bytes.
        return zlib.decompressobj().decompress(file.read(size + 64), size)


# ---- The work tree -----------------------------------------------------------------------


def _is_dirty(top: Path, index: Path, tree: str | None) -> bool | None:
    """Whether tracked files are not as in the commit; None if that is not cheaply known."""
    if index.stat().st_size > _INDEX_SIZE_MAX:
        return None
    content = index.read_bytes()
    magic, version, count = struct.unpack_from(">4sII", content)
    # Version 4 cuts the names, and the names of SHA-256 are longer.
    if (
        magic != b"DIRC"
        or version not in (2, 3)
        or count > _FILES_MAX
        or (tree and len(tree) != 40)
    ):
        return None
    end = 12
    hashed = 0
    for after, path, entry in _entries(content, count):
        end = after
        seconds, nanoseconds, mode, size, name, _ = entry
        if mode == _SUBMODULE:
            continue
        try:
            about = os.lstat(top / os.fsdecode(path))
        except FileNotFoundError:
            return True
        if about.st_size & 0xFFFFFFFF != size:
            return True
        # Of some file systems, and versions of git, only the seconds are kept.
        moment = divmod(about.st_mtime_ns, 10**9)
        if moment == (seconds, nanoseconds) or (moment[0] == seconds and not nanoseconds):
            continue
        hashed += 1
        if hashed > _HASHED_MAX or size > _HASHED_SIZE_MAX:
            return None
        if _blob_name(top / os.fsdecode(path)) != name:
            return True
    staged = _tree_of_index(content, end)
    if tree is None or staged is None:
        return None
    return staged != tree


def _entries(content: bytes, count: int) -> Iterator[tuple[int, bytes, tuple[Any, ...]]]:
    """Yield (where the next one begins, path, members) of each entry of an index."""
    at = 12
    for _ in range(count):
        entry = _ENTRY.unpack_from(content, at)
        begin = at + _ENTRY.size + (2 if entry[-1] & 0x4000 else 0)
        end = content.index(b"\0", begin)
        # Padded with at least one zero byte to a multiple of eight.
        at += (end - at) // 8 * 8 + 8
        yield at, content[begin:end], entry


def _tree_of_index(content: bytes, at: int) -> str | None:
    """Return the tree that the index would be committed as, if it is noted there."""
    while at + 8 <= len(content) - 20:
        name, size = struct.unpack_from(">4sI", content, at)
        if name == b"TREE":
            count, _, rest = content[at + 8 : at + 8 + size].partition(b"\0")[2].partition(b"\n")
            return None if count.startswith(b"-") else rest[:20].hex()
        at += 8 + size
    return None


def _blob_name(path: Path) -> bytes:
    import hashlib  # OpenSSL is behind it: only a file with a new date is worth that

    content = os.fsencode(os.readlink(path)) if path.is_symlink() else path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).digest()
