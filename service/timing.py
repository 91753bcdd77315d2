"""Where the time of a request went."""

from typing import NamedTuple


class Timing(NamedTuple):
    """Seconds in each stage."""

    decode: float
    queue: float
    infer: float
    encode: float

    def header(self) -> bytes:
        """As a `Server-Timing` value, in milliseconds."""
        return b"decode;dur=%.3f, queue;dur=%.3f, infer;dur=%.3f, encode;dur=%.3f" % (
            self.decode * 1e3,
            self.queue * 1e3,
            self.infer * 1e3,
            self.encode * 1e3,
        )
