"""Install the competitors of the bench, each into an environment of its own under `.competitors/`.

    python -m load_tests.bench.competitors [NAME...]

An environment that is up to date is left as it is. The requirements are pinned and complete: nothing else is fetched.
"""

import argparse
import shutil
import subprocess
import sys

from load_tests.bench.competitors import COMPETITORS, Competitor


def install(competitor: Competitor) -> None:
    """Raises CalledProcessError."""
    shutil.rmtree(competitor.environment, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", competitor.environment], check=True)
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--requirement", str(competitor.requirements)]
    subprocess.run([competitor.python, "-m", "pip", "install", *options], check=True)
    shutil.copyfile(competitor.requirements, competitor.record)


def main() -> None:
    known = {competitor.module: competitor for competitor in COMPETITORS}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(known)}; default: all")
    names = parser.parse_args().names
    if unknown := set(names) - known.keys():
        parser.error(f"unknown competitor {min(unknown)}: choose from {', '.join(known)}")
    failed = []
    for competitor in (known[name] for name in names or known):
        try:
            if not competitor.is_installed():
                print(f"installing {competitor.product}")
                install(competitor)
        except subprocess.CalledProcessError:
            failed.append(competitor.product)
    if failed:
        sys.exit(f"not installed: {', '.join(failed)}; pip says why above. The bench runs without them.")


if __name__ == "__main__":
    main()
