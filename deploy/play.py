"""Run the rendered Deployment in Podman and ask it for every task: python -m deploy.play [--image localhost/quartet]

Kubernetes' own API is not there: what applies is what `podman play kube` makes of the ConfigMap and the pod's template.
"""

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path
from time import monotonic, sleep
from urllib.request import urlopen

from deploy.engine import EngineError, said
from load_tests.examples import requests_of
from load_tests.memory import ask
from load_tests.servers import free_port
from service.settings import PROJECT

RENDERED = PROJECT / "deploy" / "kubernetes" / "quartet.yaml"
READY_S = 180
GRACE_S = 40
ASKED = """
import os
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
print(os.getuid(), int(status["CapEff"], 16), int(status["NoNewPrivs"]), os.access("/srv/quartet", os.W_OK))
"""


def pod(image: str, port: int) -> str:
    """The objects that Podman plays: one replica of this image, on a port of this machine."""
    documents = RENDERED.read_text(encoding="utf-8").split("\n---\n")
    played = "\n---\n".join(one for one in documents if re.search(r"^kind: (ConfigMap|Deployment)$", one, re.M))
    for old, new in {
        r"image: \S+": f"image: {image}",
        r"imagePullPolicy: \w+": "imagePullPolicy: Never",
        r"replicas: \d+": "replicas: 1",
        r"containerPort: 3000": f"containerPort: 3000\n              hostPort: {port}",
    }.items():
        played, times = re.subn(old, new, played)
        if times != 1:
            raise EngineError(f"{RENDERED} has {times} places for {new!r}, not one")
    return played


def wait_until_ready(port: int) -> None:
    until = monotonic() + READY_S
    while monotonic() < until:
        try:
            with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                return
        except OSError:
            sleep(0.5)
    raise EngineError(f"the pod did not become ready within {READY_S} s")


def try_out(container: str, port: int) -> None:
    wait_until_ready(port)
    print("ok   ready")
    told = said("podman", "exec", container, "python3", "-c", ASKED).split()
    if told != ["10001", "0", "1", "False"]:
        raise EngineError(f"user, capabilities, no-new-privileges and writable are {told}")
    print("ok   user 10001, no capability, no new privileges, a root that is read-only")
    requests = list(requests_of(PROJECT / "models"))
    for one in requests:
        ask(port, one.target, one.example.media_type, one.example.body)
    print(f"ok   {len(requests)} examples were answered")
    said("podman", "stop", "--time", str(GRACE_S), container)
    (state,) = json.loads(said("podman", "inspect", container))
    if state["State"]["ExitCode"]:
        raise EngineError(f"it ended with status {state['State']['ExitCode']}")
    print("ok   SIGTERM ends it with status 0")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m deploy.play", description=__doc__)
    parser.add_argument("--image", default="localhost/quartet:latest")
    given = parser.parse_args()
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "quartet.yaml"
        try:
            file.write_text(pod(given.image, port), encoding="utf-8")
            said("podman", "play", "kube", str(file))
            try:
                try_out("quartet-pod-0-quartet", port)
            finally:
                said("podman", "play", "kube", "--down", str(file))
        except (EngineError, OSError) as error:
            sys.exit(f"fail {error}")


if __name__ == "__main__":
    main()
