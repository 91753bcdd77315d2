"""What is freed goes back to the operating system.

glibc keeps what it was once given in an arena for each thread, and lets the size from which on memory is mapped by
itself, and unmapped when it is freed, grow to 32 MB: a worker that has decoded a few large pictures keeps their memory
for good. Another C library has no such knobs and is left alone.
"""

import ctypes
from contextlib import suppress

# mallopt(3)
TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
MAPPED = 512 * 1024  # bytes: smaller blocks are those of most requests, and page faults would cost them
KEPT = 4 * 2**20
ARENAS = 2
# The fields of mallinfo2(3)
MALLINFO2 = (
    *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
    *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
)


class _Mallinfo2(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in MALLINFO2]


def give_back_early() -> None:
    """For the whole process, from now on."""
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        for knob, value in ((MMAP_THRESHOLD, MAPPED), (TRIM_THRESHOLD, KEPT), (ARENA_MAX, ARENAS)):
            mallopt(knob, value)


def give_back_now() -> None:
    """Also what lies in small free blocks between others. Takes milliseconds."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def held() -> int:
    """Bytes that the process has been given and has not freed; 0 where the C library does not say."""
    with suppress(AttributeError, OSError):
        mallinfo2 = ctypes.CDLL(None).mallinfo2
        mallinfo2.restype = _Mallinfo2
        given = mallinfo2()
        return int(given.uordblks + given.hblkhd)
    return 0
