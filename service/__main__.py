"""The command line. `quartet` is the same as `python -m service`.

quartet serve [--host HOST] [--port PORT]       answer requests until SIGTERM
quartet doctor                                  what is installed, what the machine gives, whether the bundles are whole
quartet models                                  the models of a running service
quartet models fetch ADDRESS|PATH               get the models of a release archive, to serve them
quartet models pack models.tar.gz               write such an archive of the models that are served
quartet ask digits photo.jpg                    send a file to the task that it is for
quartet ask credit applicants.csv --explain
quartet ask ct slice.dcm -o denoised.dcm
quartet samples --label 7 --count 16 -o sevens.png
quartet batch credit applicants.csv scored.csv  a job of any size, on all cores; goes on where it was killed
quartet train convnet                           train a model; the same as `python -m training run`
quartet release status                          which versions are served; promote, rollback, history, prune
quartet pull s3://bucket/models [NAME...]       fetch the bundles that a store serves; --every 60 keeps on
quartet tune [NAME...] [--output profile.json]  measure how each model runs best on this machine
quartet key NAME                                make an API key

Each says more with --help.
"""

import argparse
import logging
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from service.log_lines import speak_json
from service.settings import Settings, SettingsError
from service.shared_folder import new_folder
from service.supervisor import SIGNALS, PortError, supervise

# Longer than clients and load balancers keep a connection: who hangs up first must not be the server, in the very
# moment that a client sends its next request.
KEEP_ALIVE_S = 75
log = logging.getLogger(__name__)
ENDING_S = 10  # that workers get on top of the time in which accepted work is finished


def main() -> None:
    command, words = sys.argv[1:2], sys.argv[2:]
    try:
        if command in (["ask"], ["samples"]):  # whose options depend on the tasks
            ask(command + words)
        elif command == ["release"]:
            release(words)
        elif command == ["models"]:
            models(words)
        elif command == ["pull"]:
            pull(words)
        elif command == ["batch"]:
            work_through(words)
        elif command == ["train"]:
            train(words)
        else:
            parser = command_line()
            given = parser.parse_args()
            given.run(given)
    except SettingsError as error:
        sys.exit(f"quartet: {error}")


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="quartet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage=argparse.SUPPRESS,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", help=argparse.SUPPRESS)
    serving = add(commands, "serve", "answer requests until SIGTERM", "quartet serve --host 0.0.0.0 --port 8000")
    serving.add_argument("--host", default="127.0.0.1", help="address to listen on, default 127.0.0.1")
    serving.add_argument("--port", type=port, default=3000, help="default 3000")
    serving.add_argument("--keep-alive", type=int, default=KEEP_ALIVE_S, metavar="S", help="of idle connections")
    serving.set_defaults(run=lambda given: sys.exit(serve(given.host, given.port, given.keep_alive)))
    examining = add(
        commands, "doctor", "look at libraries, machine, settings and bundles", "quartet doctor --port 8000"
    )
    examining.add_argument("--port", type=port, default=3000, help="that the service is to have, default 3000")
    examining.set_defaults(run=lambda given: examine(given.port))
    key = add(commands, "key", "make an API key", "quartet key alice")
    key.add_argument("name", help="whose key it is")
    key.set_defaults(run=lambda given: make_key(given.name))
    tuning = add(commands, "tune", "find the fastest threads, sessions and batch size per model", "quartet tune digits")
    tuning.add_argument("names", nargs="*", metavar="NAME", help="models; all when none is named")
    tuning.add_argument("--output", type=Path, default=Path("profile.json"), help="file; other providers stay in it")
    tuning.add_argument("--seconds", type=float, default=0.5, help="time per measurement")
    tuning.set_defaults(run=lambda given: write_profile(given.names, given.seconds, given.output))
    return parser


def add(commands: Any, name: str, purpose: str, example: str) -> argparse.ArgumentParser:
    """A command whose help ends with an example."""
    formatted = argparse.RawDescriptionHelpFormatter
    parser: argparse.ArgumentParser = commands.add_parser(
        name, description=purpose, epilog=f"example:\n  {example}", formatter_class=formatted
    )
    return parser


def port(text: str) -> int:
    """Raises ArgumentTypeError: a larger one would be taken, and another port listened on."""
    number = int(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{number} is no port, which are 0 to 65535")
    return number


def ask(words: list[str]) -> None:
    from service.ask import AskError, main

    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # whoever reads the answer may stop, as `head` does
    try:
        main(words)
    except AskError as error:
        sys.exit(f"quartet: {error}")


def work_through(words: list[str]) -> None:
    from service.bulk.command import main
    from service.bulk.sources import BulkError

    try:
        sys.exit(main(words))
    except BulkError as error:
        sys.exit(f"quartet: {error}")


def models(words: list[str]) -> None:
    from service.ask import AskError
    from service.bundle import BundleError
    from service.models_command import main

    try:
        main(words)
    except (AskError, BundleError) as error:
        sys.exit(f"quartet: {error}")


def release(words: list[str]) -> None:
    from service.bundle import BundleError
    from service.release.command import main

    try:
        main(words)
    except BundleError as error:
        sys.exit(f"quartet: {error}")


def pull(words: list[str]) -> None:
    from service.bundle import BundleError
    from service.release.pulling import main

    try:
        main(words)
    except BundleError as error:
        sys.exit(f"quartet: {error}")


def train(words: list[str]) -> None:
    """In a process of its own, for training imports what serving does without."""
    sys.exit(subprocess.run([sys.executable, "-m", "training", "run", *words], check=False).returncode)


def examine(port: int) -> None:
    from service.doctor import examine

    sys.exit(0 if examine(port) else 1)


def serve(host: str, port: int, keep_alive_s: int) -> int:
    """The exit status. Imports nothing of what workers import: this process stays small and starts them at once."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until the supervisor hears them: process 1 would miss a SIGTERM
    speak_json(logging.INFO)
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        log.critical("%s", error)
        return 2
    shared = new_folder(Path(tempfile.gettempdir()))
    try:
        command = ["-m", "service.host", str(keep_alive_s), str(shared or "")]
        grace_s = settings.drain_delay_s + settings.drain_s + ENDING_S
        return supervise(host, port, command, settings.processes, grace_s, lambda port: announce(host, port))
    except PortError as error:
        log.critical("%s", error)
        return 1
    finally:
        if shared is not None:
            shutil.rmtree(shared, ignore_errors=True)


def announce(host: str, port: int) -> None:
    """Where to look, and a request to try."""
    address = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"
    log.info("ready. Open %s/ to try the models, or: curl %s/v1/models", address, address)


def make_key(name: str) -> None:
    from service.http.keys import new_key

    key, line = new_key(name)
    print(f"key   {key}\nline  {line}")


def write_profile(names: list[str], seconds: float, output: Path) -> None:
    from service.engine.profile import Profile, read_profile
    from service.engine.tune import tune

    before = Profile()
    with suppress(SettingsError):  # there is none, or something else, which this command has always written over
        before = read_profile(output)
    profile = tune(Settings.from_environment(), names, seconds, before)
    output.write_text(profile.model_dump_json(indent=2) + "\n")
    print(f"written to {output}; serve with QUARTET_PROFILE={output}")


if __name__ == "__main__":
    main()
