"""The service without `service/http/fair_accept.py`: each process takes all connections that it can get.

python -m load_tests.bench.ablation.unshared --port PORT
"""

import sys
from typing import Any

from service import __main__ as program
from service.supervisor import supervise

HOST, UNSHARED = "service.host", "load_tests.bench.ablation.unshared"


def main(arguments: list[str]) -> int:
    """The parent of the processes, and these, which are started with what `service/host.py` is started with."""
    if arguments[0] == "--port":
        program.supervise = _supervise  # type: ignore[assignment]
        return program.serve("127.0.0.1", int(arguments[1]), program.KEEP_ALIVE_S)
    from service import app, host  # the parent imports nothing of what the processes do
    from service.http.connection import Connection

    app.FairAccept = Connection  # type: ignore[misc]
    host.main(*arguments)
    return 0


def _supervise(name: str, port: int, command: list[str], *others: Any) -> int:
    return supervise(name, port, [UNSHARED if word == HOST else word for word in command], *others)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
