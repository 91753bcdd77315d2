"""Where a stage runs: on the event loop, or in a thread so that no other request waits for it."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

# Above these a stage may take milliseconds.
INLINE_BYTES = 32 * 1024
INLINE_PIXELS = 256 * 256
PICTURE = 128 * 128  # pixels: a smaller picture costs as much to prepare

P = ParamSpec("P")
T = TypeVar("T")


class _Heavy(BaseException):
    """A stage on the event loop has found more to do than its bytes told. No decoder may take it for its own error."""


async def placed(size: int, stage: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a stage here when it handles little, in a thread when it handles much."""
    if size <= INLINE_BYTES:
        try:
            return stage(*args, **kwargs)
        except _Heavy:
            pass
    return await asyncio.to_thread(stage, *args, **kwargs)


def decodes(sides: tuple[int, int], before: int = 0) -> int:
    """Pixels of the pictures of a request when one more, of these sides, joins those `before`.

    For a decoder to call beforehand, since a small file may hold a large picture: on the event loop it ends the stage,
    which starts again in a thread, when they are many.
    """
    pixels = before + max(sides[0] * sides[1], PICTURE)
    if pixels > INLINE_PIXELS and asyncio._get_running_loop() is not None:
        raise _Heavy
    return pixels
