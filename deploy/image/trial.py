"""Run the image as it is meant to be run and ask it for everything: python -m deploy.image.trial [--tag quartet]

With 1 GB, one CPU, a read-only root and no capability. Every example of every task, the dearest requests that the
limits allow, then SIGTERM in the middle of one. Ends with status 1 where something is not as docs/operate says.
"""

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from urllib.request import urlopen

from deploy.engine import EngineError, engine, said
from deploy.image.__main__ import MATERIALS
from deploy.image.container import Container
from load_tests import dearest
from load_tests.examples import requests_of
from load_tests.memory import ask
from load_tests.report import table
from load_tests.servers import free_port
from service.settings import PROJECT

MOST_BYTES = 600 * 10**6
GRACE_S = 30
ASKED_S = 60
# What a request may be answered with when there is more work than memory or time.
FAIR = {"200", "408", "413", "429", "503", "504"}
ABSENT = """
import importlib.util, shutil
modules = [name for name in ("torch", "pip", "setuptools", "pytest") if importlib.util.find_spec(name)]
print(modules + [name for name in ("gcc", "cc", "g++", "make", "git", "curl") if shutil.which(name)])
"""
# All that a request may come to load, for what the image leaves out of these libraries is chosen by hand.
CODECS = """
import gdcm, jpeg_ls, openjpeg.utils, pi_heif, simdjson, uvloop, zstandard
from PIL import features
wanted = "avif", "jpg", "jpg_2000", "libtiff", "webp", "zlib"
print(zstandard.backend, [one for one in wanted if not features.check(one)])
"""
WRITES = "try: open('/srv/quartet/x', 'w')\nexcept OSError: print('refused')"


class TrialError(Exception):
    """Something is not as it should be."""


def require(holds: bool, what: str) -> None:
    """Raises TrialError."""
    if not holds:
        raise TrialError(what)
    print(f"ok   {what}", flush=True)


def look_at(tag: str, cuda: bool) -> None:
    (image,) = json.loads(said(engine(runs=True), "image", "inspect", tag))
    require(cuda or image["Size"] < MOST_BYTES, f"the image has {image['Size'] / 1e6:.0f} MB")
    require(image["Config"]["User"].replace(":", "").isdigit(), f"its user is {image['Config']['User']}")
    require("org.opencontainers.image.revision" in image["Config"]["Labels"], "it says of which revision it is")


def look_inside(container: Container) -> None:
    require(container.python(ABSENT) == "[]", "there is no torch, pip, compiler or git in it")
    require(container.python(CODECS) == "cext []", "every codec is in it")
    require(container.python(WRITES) == "refused", "its root is read-only")
    materials = json.loads(container.python(f"print(open('{MATERIALS}').read())"))
    require(len(materials["components"]) > 50, f"its bill of materials has {len(materials['components'])} components")
    require(container.healthy(), "its health check passes")
    with urlopen(f"http://127.0.0.1:{container.port}/metrics", timeout=10) as page:
        require(b"\nquartet_workers 1.0\n" in page.read(), "it has as many workers as the limit has CPUs")
    lines = container.log().splitlines()
    require(all(line.startswith("{") for line in lines), f"all {len(lines)} lines of its log are JSON")


def ask_everything(container: Container) -> None:
    requests = list(requests_of(PROJECT / "models"))
    for one in requests:
        ask(container.port, one.target, one.example.media_type, one.example.body)
    tasks = {one.task.name for one in requests}
    require(True, f"{len(requests)} examples of {len(tasks)} tasks were answered")


def press(container: Container, seconds: float, limit: str) -> None:
    rows = dearest.outcomes(container.port, seconds)
    print(table(rows))
    answers = {str(answer) for row in rows for answer in row["answers"]}  # type: ignore[attr-defined]
    require({"200"} <= answers <= FAIR, f"the dearest requests were answered or refused: {', '.join(sorted(answers))}")
    require(container.state()["Running"] is True, f"it lives; {container.peak() / 1e6:.0f} MB at the most, of {limit}")
    require("was killed" not in container.log(), "no worker died")


def wait_until_asked(container: Container) -> None:
    """Raises TrialError when no request comes to be answered."""
    until = monotonic() + ASKED_S
    while monotonic() < until:
        with urlopen(f"http://127.0.0.1:{container.port}/metrics", timeout=60) as page:
            if b"\nquartet_in_flight_requests 0.0\n" not in page.read():
                return
    raise TrialError(f"no request was being answered within {ASKED_S} s")


def end(container: Container) -> None:
    slow = dict(dearest.requests())["slices in JSON"]  # some seconds on one CPU
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(dearest.asked, container.port, slow)
        wait_until_asked(container)
        status = container.stop(GRACE_S)
        told = answer.result()
        require(told == "200", f"a request that was being answered at SIGTERM was answered: {told}")
    require(status == 0, "it ended with status 0")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m deploy.image.trial", description=__doc__)
    parser.add_argument("--tag", default="quartet")
    parser.add_argument("--memory", default="1g")
    parser.add_argument("--seconds", type=float, default=60, help="of the dearest requests")
    parser.add_argument("--cuda", action="store_true", help="the image is that for GPUs, and has no bound")
    given = parser.parse_args()
    container = None
    try:
        look_at(given.tag, given.cuda)
        container = Container(given.tag, free_port(), given.memory, 1)
        container.wait_until_ready()
        look_inside(container)
        ask_everything(container)
        press(container, given.seconds, given.memory)
        end(container)
    except (EngineError, TrialError, OSError) as error:
        print(f"fail {error}")
        sys.exit(1)
    finally:
        if container is not None:
            container.remove()


if __name__ == "__main__":
    main()
