"""A worker process, as the supervisor starts it: the BentoML service's app under uvicorn, on a socket opened before.

python -m service.host KEEP_ALIVE_S SHARED_FOLDER PARENT SOCKET PIPE STDERR OTHERS
"""

import logging
import os
import socket
import sys
from pathlib import Path

import uvicorn

from service.log_lines import own_standard_error, speak_json
from service.settings import SettingsError
from service.supervisor import BACKLOG, CONFIGURATION


def main(keep_alive_s: str, shared: str, parent: str, listener: str, pipe: str, stderr: str, others: str) -> None:
    own_standard_error(int(stderr))
    speak_json()
    from service.engine.session import ProviderError

    try:
        from service.app import service, worker
    except (SettingsError, ProviderError) as error:
        logging.getLogger("service").critical("%s", error)
        sys.exit(CONFIGURATION)
    worker.parent = int(parent)
    worker.metrics.shared = Path(shared) if shared else None
    worker.loaded = lambda: _say(int(pipe))
    worker.others_answer = others == "1"
    config = uvicorn.Config(
        service.to_asgi(),
        backlog=BACKLOG,
        log_config=None,
        timeout_keep_alive=int(keep_alive_s),
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(listener))])


def _say(pipe: int) -> None:
    os.write(pipe, b".")
    os.close(pipe)


if __name__ == "__main__":
    main(*sys.argv[1:])
