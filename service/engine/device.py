"""What a GPU's errors mean, and whether it is still there."""

import logging
from collections.abc import Callable
from threading import Condition

from service.bundle import Arrays
from service.errors import DeviceLost, DeviceMemoryFull

FULL = "out of memory", "Failed to allocate memory", "BFCArena", "ALLOC_FAILED"
# After these a process can use the device no more. https://docs.nvidia.com/cuda/cuda-runtime-api, cudaError_t
LOST = tuple(f"CUDA failure {code}:" for code in (46, 214, 700, 702, 710, 714, 715, 716, 717, 718, 719, 999))

log = logging.getLogger(__name__)


class Device:
    """The device that the sessions of this process run on.

    Runs go side by side; a capture goes alone: what another thread allocates on the device meanwhile would spoil it.
    """

    def __init__(self) -> None:
        self.lost = False
        self._changed = Condition()
        self._running = self._captures = 0

    def run(self, work: Callable[[], Arrays]) -> Arrays:
        """Raises DeviceMemoryFull, DeviceLost, and what `work` raises of other errors."""
        with self._changed:
            self._changed.wait_for(lambda: not self._captures)
            self._running += 1
        try:
            return work()
        except Exception as error:
            raise self._meant(error) from None
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def capture(self, work: Callable[[], None]) -> None:
        """Raises what `run` raises."""
        with self._changed:
            self._changed.wait_for(lambda: not self._captures)
            self._captures += 1
            self._changed.wait_for(lambda: not self._running)
        try:
            work()
        except Exception as error:
            raise self._meant(error) from None
        finally:
            with self._changed:
                self._captures -= 1
                self._changed.notify_all()

    def _meant(self, error: Exception) -> Exception:
        """What the error of a run means; itself where it has nothing to do with the device."""
        text = str(error)
        if any(sign in text for sign in LOST):
            if not self.lost:
                log.critical("the GPU is lost to this process, which has to be started anew: %s", text)
            self.lost = True
            return DeviceLost("The GPU does not answer any more. Try again in a moment.")
        if any(sign in text for sign in FULL):
            return DeviceMemoryFull("The GPU has no memory left for this. Try again in a moment.")
        return error


DEVICE = Device()
