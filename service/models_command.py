"""The models of a running service, and archives of models.

quartet models                      list the models of a running service
quartet models fetch ADDRESS|PATH   get the models of a release archive, whole or not at all
quartet models pack FILE            write such an archive of the models that are served

example: quartet models fetch models.tar.gz && quartet serve
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from service.ask import print_models
from service.release.archive import ArchiveError, fetch, pack
from service.settings import Settings, model_folders


def main(words: Sequence[str]) -> None:
    """Raises AskError, BundleError."""
    given = parser().parse_args(words)
    given.run(given)


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        prog="quartet models", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whole.add_argument("--url", help="of the service to list; else ASK_QUARTET_URL, else http://127.0.0.1:3000")
    whole.set_defaults(run=lambda given: print_models(given.url))
    commands = whole.add_subparsers(metavar="fetch|pack", help="get or give away models; each says more with --help")
    fetching = commands.add_parser("fetch", description="Get the models of a release archive.")
    fetching.add_argument("source", metavar="ADDRESS|PATH", help="https://... or a file")
    fetching.add_argument("--sha256", help="of the archive; else what the file beside it says, ADDRESS.sha256")
    fetching.add_argument("--to", type=Path, metavar="FOLDER", help="to make; by default where `serve` finds it")
    fetching.set_defaults(run=lambda given: get(given.source, given.to, given.sha256))
    packing = commands.add_parser("pack", description="Write the models that are served into an archive.")
    packing.add_argument("archive", type=Path, metavar="FILE", help="to write, with FILE.sha256 beside it")
    packing.set_defaults(run=lambda given: give(given.archive))
    return whole


def get(source: str, to: Path | None, sha256: str | None) -> None:
    said = os.environ.get("QUARTET_MODELS_DIR")
    found = Path(said) if said else model_folders()[-1]
    target = to or found
    names = fetch(source, target, sha256)
    elsewhere = "" if target == found else f"QUARTET_MODELS_DIR={target} "
    print(f"{len(names)} models in {target}. Serve them with: {elsewhere}quartet serve")


def give(archive: Path) -> None:
    try:
        sha256 = pack(Settings.from_environment().models_dir, archive)
    except OSError as error:
        raise ArchiveError(f"{archive} cannot be written: {error}") from error
    print(f"{sha256}  {archive}")
