"""When a call is sent again: nothing was done of it, and there is time left."""

import random
import time

from quartet_client.errors import ConnectionFailed, DeadlineExceeded, Overloaded, QuartetError

FIRST_S, LONGEST_S = 0.1, 5.0


class Attempts:
    """Of one call, within `timeout` seconds. One that was cut off is sent again where it is `idempotent`."""

    def __init__(self, retries: int, timeout: float, *, idempotent: bool = True) -> None:
        self._retries = retries
        self._curable = (Overloaded, ConnectionFailed) if idempotent else (Overloaded,)
        self._deadline = time.monotonic() + timeout
        self._made = 0

    def left(self) -> float:
        """Seconds. Raises DeadlineExceeded where there are none."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded("The time of this call was up.")
        return left

    def pause(self, problem: QuartetError) -> float:
        """Seconds to wait before the next attempt. Raises `problem` where there is to be none."""
        if self._made >= self._retries or not isinstance(problem, self._curable):
            raise problem
        grown = min(LONGEST_S, FIRST_S * 2.0**self._made) * random.uniform(
            0.5, 1
        )  # so that clients do not come in step
        asked = problem.retry_after or 0.0 if isinstance(problem, Overloaded) else 0.0
        pause = max(grown, asked)
        if pause >= self.left():
            raise problem
        self._made += 1
        return pause
