"""Fetch the bundles that a store serves into the folder that QUARTET_MODELS_DIR names.

quartet pull s3://bucket/models             once; every model, and which answers for its kind
quartet pull file:///mnt/models convnet     one model
quartet pull s3://bucket/models --every 60  once, and then every minute until SIGTERM, as a sidecar does
"""

import argparse
import logging
import signal
import threading

from service.bundle import BundleError
from service.log_lines import speak_json
from service.release.remote import Remote
from service.release.transfer import pull
from service.settings import Settings

log = logging.getLogger(__name__)


def main(words: list[str]) -> None:
    """Raises BundleError, in words for whoever gave the command."""
    parser = argparse.ArgumentParser(
        prog="quartet pull", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("address", help="of a models folder: s3://, gs://, az://, file://")
    parser.add_argument("names", nargs="*", metavar="NAME", help="models; all when none is named")
    parser.add_argument("--every", type=float, metavar="S", help="go on, so many seconds after each pull")
    given, settings = parser.parse_args(words), Settings.from_environment()
    remote, names = Remote(given.address), tuple(given.names)
    if given.every is None:
        print("\n".join(pull(settings.models_dir, remote, names, settings.bundle_key)) or "nothing has changed")
    else:
        follow(settings, remote, names, given.every)


def follow(settings: Settings, remote: Remote, names: tuple[str, ...], every_s: float) -> None:
    """What cannot be had now is tried again; what is served stays meanwhile."""
    speak_json(logging.INFO)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    while not ended.is_set():
        try:
            for changed in pull(settings.models_dir, remote, names, settings.bundle_key):
                log.info("pulled %s", changed)
        except (BundleError, OSError) as error:
            log.warning("%s; what is served stays", error)
        ended.wait(every_s)
