"""Put two instances behind a proxy and ask through it: python -m deploy.fronts nginx|envoy

TLS, HTTP/2, the path prefix, large bodies, slow and broken clients; then a rolling update of both instances under load,
in which no request may fail. Ends with status 1 where something is not as it should be.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.fronts.asking import Prober, break_off, picture, send_slowly
from deploy.fronts.front import CONFIGURATIONS, Front, FrontError, running
from load_tests.servers import ServerError, free_port
from load_tests.serving import Serving

MODELS = "convnet credit"
DRAIN_DELAY_S = 3  # longer than the health checks of any front take to see it
SMALL, LARGE, TOO_LARGE = 28, 3200, 4900  # sides of pictures: 31 MB and 72 MB as BMP


class TrialError(Exception):
    """Something is not as it should be."""


def require(holds: bool, what: str) -> None:
    """Raises TrialError."""
    if not holds:
        raise TrialError(what)
    print(f"ok   {what}", flush=True)


def curl(front: Front, path: str) -> tuple[str, bytes]:
    """The version of HTTP that was agreed upon, and the body."""
    if not shutil.which("curl"):
        raise FrontError("curl, which speaks HTTP/2, is not installed")
    command = ["curl", "-sS", "--http2", "--cacert", str(front.trusted), "-w", "\\n%{http_version}"]
    ran = subprocess.run([*command, f"https://127.0.0.1:{front.port}{path}"], capture_output=True, check=True)
    body, _, version = ran.stdout.rpartition(b"\n")
    return version.decode(), body


def look(front: Front) -> None:
    version, body = curl(front, "/quartet/openapi.json")
    require(version == "2", f"HTTP/{version} over TLS")
    require(json.loads(body)["servers"] == [{"url": "/quartet"}], "openapi.json names the prefix")
    require(b"quartet" not in curl(front, "/quartet/metrics")[1], "metrics are not for the world")


def press(front: Front) -> None:
    with Prober(front, picture(SMALL)) as prober:
        for side, expected in ((LARGE, 200), (TOO_LARGE, 413)):
            body = picture(side)
            status = prober.once(body)
            require(status == expected, f"a body of {len(body) / 1e6:.0f} MB is answered with {expected}: {status}")
        prober.begin(2)
        status = send_slowly(front, picture(SMALL))
        require(status == 200, "a client that takes 6 s for its body gets its answer")
        for _ in range(50):
            break_off(front, picture(SMALL))
        failed = prober.end()
    require(not failed, f"{prober.answered} requests of others were answered meanwhile, 0 failed: {failed}")


def update(front: Front, instances: list[Serving]) -> None:
    """Each in turn ends, and comes back."""
    with Prober(front, picture(SMALL)) as prober:
        prober.begin(8)
        for instance in instances:
            instance.terminate()
            require(instance.ended() == 0, "an instance ended with status 0")
            instance.start()
        failed = prober.end()
    require(not failed, f"rolling update: {prober.answered} requests were answered, 0 failed: {failed}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m deploy.fronts", description=__doc__)
    parser.add_argument("name", choices=CONFIGURATIONS)
    parser.add_argument("--only-update", action="store_true", help="the rolling update and nothing else")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx, when root starts it, works as another user
        settings = {"models": MODELS, "workers": 1, "drain_delay_s": DRAIN_DELAY_S, "access_log": "off"}
        instances = [Serving(folder / str(number), **settings) for number in (1, 2)]
        try:
            for instance in instances:
                instance.start()
            with running(given.name, folder, free_port(), [one.port for one in instances]) as front:
                if not given.only_update:
                    look(front)
                    press(front)
                update(front, instances)
        except (FrontError, TrialError, ServerError) as error:
            sys.exit(f"fail {error}")
        finally:
            for instance in instances:
                instance.kill()


if __name__ == "__main__":
    main()
