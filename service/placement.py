"""Where a stage runs: on the event loop, or in a thread so that no other request waits for it."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

# Above this a stage may take milliseconds.
INLINE_BYTES = 32 * 1024

P = ParamSpec("P")
T = TypeVar("T")


async def placed(size: int, stage: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a stage here when it handles little, in a thread when it handles much."""
    if size <= INLINE_BYTES:
        return stage(*args, **kwargs)
    return await asyncio.to_thread(stage, *args, **kwargs)
