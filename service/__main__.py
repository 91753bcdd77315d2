"""What an operator does.

python -m service serve [--host HOST] [--port PORT]        answer requests until SIGTERM
python -m service tune [NAME...] [--output profile.json]   measure how each model runs best on this machine
python -m service key NAME                                 make an API key
"""

import argparse
import logging
import shutil
import sys
import tempfile
from pathlib import Path

from service.settings import Settings, SettingsError
from service.shared_folder import new_folder
from service.supervisor import PortError, supervise

# Longer than clients and load balancers keep a connection: who hangs up first must not be the server, in the very
# moment that a client sends its next request.
KEEP_ALIVE_S = 75
ENDING_S = 10  # that workers get on top of the time in which accepted work is finished


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m service", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serving = commands.add_parser("serve", help="answer requests until SIGTERM")
    serving.add_argument("--host", default="127.0.0.1", help="address to listen on, default 127.0.0.1")
    serving.add_argument("--port", type=int, default=3000, help="default 3000")
    serving.add_argument("--keep-alive", type=int, default=KEEP_ALIVE_S, metavar="S", help="of idle connections")
    serving.set_defaults(run=lambda given: sys.exit(serve(given.host, given.port, given.keep_alive)))
    key = commands.add_parser("key", help="make an API key")
    key.add_argument("name", help="whose key it is")
    key.set_defaults(run=lambda given: make_key(given.name))
    tuning = commands.add_parser("tune", help="find the fastest threads, sessions and batch size per model")
    tuning.add_argument("names", nargs="*", metavar="NAME", help="models; all when none is named")
    tuning.add_argument("--output", type=Path, default=Path("profile.json"), help="file to write")
    tuning.add_argument("--seconds", type=float, default=0.5, help="time per trial")
    tuning.set_defaults(run=lambda given: write_profile(given.names, given.seconds, given.output))
    given = parser.parse_args()
    try:
        given.run(given)
    except SettingsError as error:
        parser.error(str(error))
    except PortError as error:
        sys.exit(str(error))


def serve(host: str, port: int, keep_alive_s: int) -> int:
    """The exit status. Imports nothing of what workers import: this process stays small and starts them at once."""
    settings = Settings.from_environment()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    shared = new_folder(Path(tempfile.gettempdir()))
    try:
        command = ["-m", "service.host", str(keep_alive_s), str(shared or "")]
        grace_s = settings.drain_delay_s + settings.drain_s + ENDING_S
        return supervise(host, port, command, settings.processes, grace_s)
    finally:
        if shared is not None:
            shutil.rmtree(shared, ignore_errors=True)


def make_key(name: str) -> None:
    from service.http.keys import new_key

    key, line = new_key(name)
    print(f"key   {key}\nline  {line}")


def write_profile(names: list[str], seconds: float, output: Path) -> None:
    from service.engine.tune import tune

    profile = tune(Settings.from_environment(), names, seconds)
    output.write_text(profile.model_dump_json(indent=2) + "\n")
    print(f"written to {output}; serve with QUARTET_PROFILE={output}")


if __name__ == "__main__":
    main()
