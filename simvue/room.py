"""A room: one directory of ours that nobody else can enter, look into, or put another in place of.

The runtime directory is one, in shared memory; where that is full, segments lie in another.
"""

from __future__ import annotations

import mmap
import os
import stat

from simvue.exception import ConfigurationError


class Room:
    """The private directory *path*: no link, this user's, mode 0700.

    Every file is reached through the directory's descriptor, so nobody can swap the path
    under us.  Raises ConfigurationError if it is not there, or not this user's alone.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise ConfigurationError(f"runtime directory {path}: {error.strerror}") from None
        owner = os.fstat(self.fd)
        # Only who may do what: a set-group bit is inherited on many project file systems.
        if owner.st_uid != os.geteuid() or stat.S_IMODE(owner.st_mode) & 0o777 != 0o700:
            self.close()
            raise ConfigurationError(
                f"runtime directory {path} is not yours alone (owner {owner.st_uid}, mode "
                f"{stat.S_IMODE(owner.st_mode):o}); remove it or set SIMVUE_RUNTIME_DIRECTORY"
            )

    def close(self) -> None:
        """Close the descriptor; what is mapped stays mapped."""
        os.close(self.fd)

    @property
    def is_there(self) -> bool:
        """Whether the path still leads to this directory; a log-out may have cleaned it up."""
        try:
            there = os.stat(self.path, follow_symlinks=False)
        except OSError:
            return False
        return os.path.samestat(os.fstat(self.fd), there)

    def has_room(self, size: int) -> bool:
        """Whether *size* more bytes leave half of what the file system had free to others."""
        free = os.fstatvfs(self.fd)
        available = free.f_bavail * free.f_frsize
        taken = 0
        for name in self.names():
            try:
                taken += os.stat(name, dir_fd=self.fd, follow_symlinks=False).st_size
            except FileNotFoundError:
                continue
        return taken + size <= (available + taken) // 2

    def names(self) -> list[str]:
        """List the directory."""
        return os.listdir(self.fd)

    def has(self, name: str) -> bool:
        """Whether a file of that name is there."""
        try:
            os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def unlink(self, name: str) -> None:
        """Remove one entry of the directory if it is there."""
        try:
            os.unlink(name, dir_fd=self.fd)
        except FileNotFoundError:
            pass

    def make(self, name: str) -> int:
        """Make a file that nobody else can have made, mode 0600 whatever the umask."""
        fd = os.open(
            name,
            os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW,
            0o600,
            dir_fd=self.fd,
        )
        os.fchmod(fd, 0o600)
        return fd

    def reserve(self, name: str, size: int) -> mmap.mmap:
        """Make a file of *size* zeros, pre-faulted, and map it; OSError if there is no room."""
        fd = self.make(name)
        try:
            # Reserved, so that a full file system is an error here and not a SIGBUS at a store.
            os.posix_fallocate(fd, 0, size)
            return mmap.mmap(fd, size, flags=mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0))
        except OSError:
            self.unlink(name)
            raise
        finally:
            os.close(fd)

    def map(self, name: str) -> mmap.mmap | None:
        """Map a file for reading and writing; None if it is gone, empty, or not a file of ours."""
        try:
            fd = os.open(name, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=self.fd)
        except FileNotFoundError:
            return None
        try:
            owner = os.fstat(fd)
            ours = owner.st_uid == os.geteuid() and stat.S_ISREG(owner.st_mode)
            return mmap.mmap(fd, owner.st_size) if ours and owner.st_size else None
        finally:
            os.close(fd)


def make_room(path: str) -> None:
    """Make a private directory if nothing of that name is there.

    Raises ConfigurationError if it cannot be made.
    """
    try:
        os.mkdir(path, 0o700)
        # The umask may have taken bits away; the name is ours, in a sticky directory.
        os.chmod(path, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise ConfigurationError(f"runtime directory {path}: {error.strerror}") from None
