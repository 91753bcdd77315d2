"""What an operator does beside serving.

python -m service tune [NAME...] [--output profile.json]   measure how each model runs best on this machine
python -m service key NAME                                 make an API key
"""

import argparse
from pathlib import Path

from service.access import new_key
from service.settings import Settings, SettingsError
from service.tune import tune


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m service", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
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


def make_key(name: str) -> None:
    key, line = new_key(name)
    print(f"key   {key}\nline  {line}")


def write_profile(names: list[str], seconds: float, output: Path) -> None:
    profile = tune(Settings.from_environment(), names, seconds)
    output.write_text(profile.model_dump_json(indent=2) + "\n")
    print(f"written to {output}; serve with QUARTET_PROFILE={output}")


if __name__ == "__main__":
    main()
