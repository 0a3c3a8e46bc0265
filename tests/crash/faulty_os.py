"""An `Os` that fails at its k-th operation, in one of the ways in which disks and machines fail."""

import errno
import os
import random
import stat
from contextlib import suppress

from mergegraph.write.os import Os

REAL = Os()


class PowerLoss(BaseException):
    """The machine is gone: nothing of the program runs any more."""


class FaultyOs:
    """Count the operations and fail the one numbered `at`.

    `fault` is an errno; "short" for a write of half the bytes; or "power": what was never synced is undone, the part
    of it that `lost` picks, and every later operation raises PowerLoss. With `lasting`, every operation from there on
    fails as well. Syncs are kept in the books only, so that thousands of runs are quick.
    """

    def __init__(self, at=0, fault=None, *, lasting=False, lost=lambda: True):
        self.at, self.fault, self.lasting, self.lost = at, fault, lasting, lost
        self.count = 0
        self.fds = set()
        self.books = []
        self.unsynced = []

    def __getattr__(self, name):
        mine = vars(FaultyOs).get(f"_{name}")

        def operation(*arguments):
            self.count += 1
            now = self.count == self.at or (self.lasting and self.count > self.at)
            if self.fault == "power" and self.count >= self.at:
                self.lose_power()
            if now and self.fault == "short" and name == "pwrite":
                fd, data, offset = arguments
                return self._pwrite(fd, data[: len(data) // 2 or 1], offset)
            if now and isinstance(self.fault, int):
                if name == "close":
                    self._close(*arguments)
                raise OSError(self.fault, os.strerror(self.fault))
            return mine(self, *arguments) if mine else getattr(REAL, name)(*arguments)

        return operation

    def lose_power(self):
        """Undo what was not synced, as `lost` picks, and end the program."""
        for _, undo in reversed(self.unsynced):
            if self.lost():
                undo()
        self.unsynced.clear()
        for fd in self.fds:
            os.close(fd)
        self.fds.clear()
        raise PowerLoss

    def retire(self):
        """Close what the books keep open."""
        while self.books:
            os.close(self.books.pop())

    def _again(self, path, flags=os.O_RDWR):
        # Not a copy of the program's descriptor, which would share its lock.
        self.books.append(os.open(path, flags))
        return self.books[-1]

    def _remember(self, key, undo):
        self.unsynced.append((key, undo))

    def _synced(self, fd):
        key = inode(os.fstat(fd))
        self.unsynced = [entry for entry in self.unsynced if entry[0] != key]

    _fsync = _fdatasync = _synced

    def _open(self, path, flags, mode=0o777):
        new = flags & os.O_CREAT and not os.path.lexists(path)
        if flags & os.O_TRUNC and not new:
            self._keep_content(path)
        fd = os.open(path, flags, mode)
        self.fds.add(fd)
        if new:
            self._remember_name(path, lambda folder, name: os.unlink(name, dir_fd=folder))
        return fd

    def _close(self, fd):
        self.fds.discard(fd)
        os.close(fd)

    def _pwrite(self, fd, data, offset):
        mine, size = self._again(f"/proc/self/fd/{fd}"), os.fstat(fd).st_size
        old = os.pread(fd, len(data), offset)
        written = os.pwrite(fd, data, offset)

        def undo():
            os.pwrite(mine, old, offset)
            if offset + written > size:
                os.ftruncate(mine, size)

        self._remember(inode(os.fstat(fd)), undo)
        return written

    def _posix_fallocate(self, fd, offset, length):
        mine, size = self._again(f"/proc/self/fd/{fd}"), os.fstat(fd).st_size
        os.posix_fallocate(fd, offset, length)
        self._remember(inode(os.fstat(fd)), lambda: os.ftruncate(mine, size))

    def _ftruncate(self, fd, length):
        self._keep_content(f"/proc/self/fd/{fd}")
        os.ftruncate(fd, length)

    def _keep_content(self, path):
        mine = self._again(path)
        old = os.pread(mine, os.fstat(mine).st_size, 0)

        def undo():
            os.pwrite(mine, old, 0)

        self._remember(inode(os.fstat(mine)), undo)

    def _mkdir(self, path, mode=0o777):
        os.mkdir(path, mode)
        self._remember_name(path, forget_tree)

    def _rename(self, old, new):
        folder = self._again(os.path.dirname(old) or ".", os.O_PATH)
        os.rename(old, new)
        old_name = os.path.basename(old)
        self._remember_name(new, lambda there, name: os.rename(name, old_name, src_dir_fd=there, dst_dir_fd=folder))

    def _unlink(self, path):
        with open(path, "rb") as file:
            old = file.read()
        os.unlink(path)

        def undo(folder, name):
            fd = os.open(name, os.O_CREAT | os.O_WRONLY, 0o666, dir_fd=folder)
            os.write(fd, old)
            os.close(fd)

        self._remember_name(path, undo)

    def _rmdir(self, path):
        os.rmdir(path)
        self._remember_name(path, lambda folder, name: os.mkdir(name, dir_fd=folder))

    def _remember_name(self, path, undo):
        folder = self._again(os.path.dirname(path) or ".", os.O_PATH)
        name = os.path.basename(path)

        def quietly():
            # An earlier entry may have been undone together with the folder that it lay in.
            with suppress(FileNotFoundError):
                undo(folder, name)

        self._remember(inode(os.fstat(folder)), quietly)


def inode(status):
    return status.st_dev, status.st_ino


def forget_tree(folder, name):
    """Remove a directory that never reached the disk, and all in it."""
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
    for inner in os.listdir(fd):
        if stat.S_ISDIR(os.stat(inner, dir_fd=fd, follow_symlinks=False).st_mode):
            forget_tree(fd, inner)
        else:
            os.unlink(inner, dir_fd=fd)
    os.close(fd)
    os.rmdir(name, dir_fd=folder)


def coin(seed):
    """Return a function that tells, for one unsynced operation after the other, whether it is lost."""
    flip = random.Random(seed)
    return lambda: flip.random() < 0.5


FAULTS = {
    "full": {"fault": errno.ENOSPC},
    "error": {"fault": errno.EIO},
    "full from then on": {"fault": errno.ENOSPC, "lasting": True},
    "broken from then on": {"fault": errno.EIO, "lasting": True},
    "short write": {"fault": "short"},
    "power loss": {"fault": "power"},
    "power loss, half lost": {"fault": "power", "lost": coin(7)},
    "kill": {"fault": "power", "lost": lambda: False},
}
