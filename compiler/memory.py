"""Memory of grammars: reserved at once, mapped page by page when it is touched.

What a fresh page costs (2 to 3 µs, as much as a kernel call) is what a small grammar's first mask mostly consists of.
So pages are private to the process, of the usual size (a huge one is cleared as a whole when its first byte is
touched), and what all grammars of a kind begin with is mapped rather than copied: the system shares those pages until
one is written to. Python's own ``mmap`` would hold a file descriptor per mapping; so the C library is called where it
is Linux's, and elsewhere memory is taken and copied as usual.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import weakref
from collections.abc import Callable
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

Int32Array = npt.NDArray[np.int32]

_FIXED = 0x10  # MAP_FIXED: replace what is mapped there
_NO_RESERVE = 0x4000  # MAP_NORESERVE: addresses that are not used count nowhere
_NO_HUGE_PAGES = 15  # MADV_NOHUGEPAGE
_FAILED = ctypes.c_void_p(-1).value
_CAN_MAP = sys.platform == "linux" and sys.maxsize > 1 << 32 and hasattr(os, "memfd_create")


def reserve(words: int, beginning: Template | None = None, room: int = 0) -> Int32Array:
    """int32 zeros, or what ``beginning`` holds and zeros behind it; mapped when touched.

    room: words that it may grow to (see ``longer``). What is not used of them are addresses, no memory.
    """
    mapped = None
    if _CAN_MAP and room > words:
        mapped = _map(4 * room, beginning)
        if mapped is not None:
            return mapped[:words]
    if _CAN_MAP:
        mapped = _map(4 * words, beginning)
    if mapped is None:
        mapped = np.frombuffer(mmap.mmap(-1, 4 * words), np.int32)
        if beginning is not None:
            mapped[: len(beginning.content)] = beginning.content
    return mapped


def longer(memory: Int32Array, words: int) -> Int32Array:
    """The same memory with so many words where it was reserved with room for them, else a copy; zeros behind it."""
    whole = memory
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    if len(whole) >= words:
        return whole[:words]
    copy = reserve(words)
    copy[: len(memory)] = memory
    return copy


class Template:
    """What several arrays begin with.

    file: the descriptor of a file that holds the content already, zeros behind it up to the end of its last page; then
    ``offset`` says where it begins. Else one is made in memory when it is first needed.
    """

    def __init__(self, content: Int32Array, *, file: int | None = None, offset: int = 0) -> None:
        self.content = content
        self.offset = offset
        self.bytes = -(-content.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
        self._given: int | None = None
        if file is not None and offset % mmap.ALLOCATIONGRANULARITY == 0:
            self._given = os.dup(file)
            weakref.finalize(self, os.close, self._given)

    @cached_property
    def file(self) -> int | None:
        """The file's descriptor; None where nothing can be mapped."""
        if not _CAN_MAP or self._given is not None:
            return self._given if _CAN_MAP else None
        try:
            made = os.memfd_create("grammar-engine", os.MFD_CLOEXEC)
        except OSError:
            return None
        try:
            with os.fdopen(os.dup(made), "wb") as file:
                file.write(self.content.tobytes())
            os.ftruncate(made, self.bytes)
        except OSError:
            os.close(made)
            return None
        weakref.finalize(self, os.close, made)
        return made

    @property
    def is_mapped(self) -> bool:
        """Does it cost next to nothing to begin another array with it?"""
        return self.file is not None


@lru_cache(maxsize=1)
def _calls() -> tuple[Callable[..., int | None], ...]:
    """mmap, madvise and munmap of the C library."""
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    return libc.mmap, libc.madvise, libc.munmap


def _map(size: int, beginning: Template | None) -> Int32Array | None:
    """The same by the system; None if it refuses."""
    if beginning is not None and (beginning.file is None or beginning.bytes > size):
        return None
    map_memory, advise, unmap = _calls()
    access = mmap.PROT_READ | mmap.PROT_WRITE
    address = map_memory(None, size, access, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE, -1, 0)
    if address in (None, _FAILED):
        return None
    advise(address, size, _NO_HUGE_PAGES)
    if beginning is not None and beginning.file is not None:
        flags = mmap.MAP_PRIVATE | _FIXED
        if map_memory(address, beginning.bytes, access, flags, beginning.file, beginning.offset) in (None, _FAILED):
            unmap(address, size)
            return None
    memory = (ctypes.c_int32 * (size // 4)).from_address(address)
    # Not at exit: other threads may still be at work, and the system takes everything back anyway.
    weakref.finalize(memory, unmap, address, size).atexit = False
    return np.frombuffer(memoryview(memory), np.int32)
