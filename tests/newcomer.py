"""A newcomer: clones the repository, types what the README says, and compares what comes with what the pages print.

python -m tests.newcomer            all of it, some minutes
python -m tests.newcomer --time     from the clone to the first answer, and how long it took

What pip and npm have in their caches is taken from there. Ends with status 1 when anything is not as it is said.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.conftest import free_port
from tests.snippets import PROJECT, blocks, can_run, commands, failure, snippets

LONGEST_S = 1800.0
ADDRESS = "http://127.0.0.1:3000"
CLIENT = [
    "./clients/python[all]",
    "pyarrow",
    "tritonclient[grpc,http]",
]  # what the pages' programs import, and pip where it lies


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--time", action="store_true", help="stop at the first answer")
    only_time = parser.parse_args().time
    with tempfile.TemporaryDirectory(prefix="quartet-newcomer-") as folder:
        clone, began = Path(folder) / "quartet", time.monotonic()
        subprocess.run(["git", "clone", "--quiet", f"{PROJECT}", f"{clone}"], check=True)
        tell("clone", began)
        with serving(clone) as url:
            first_answer(url, began)
            return 0 if only_time else complain([*programs(clone, url), *typed(clone, url), *client(clone, url)])


def tell(step: str, began: float) -> None:
    print(f"{step:28}{time.monotonic() - began:7.1f} s", flush=True)


@contextmanager
def serving(clone: Path) -> Iterator[str]:
    """The README's first command, on a port that is free."""
    (serve, *_) = commands(blocks((clone / "README.md").read_text(encoding="utf-8"))[0][1])
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    command = [*serve.split("#")[0].split(), f"PORT={port}"]
    with (clone.parent / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=clone, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)
        if process.returncode not in (0, 2, -signal.SIGTERM):
            print((clone.parent / "serve.log").read_text(errors="replace")[-2000:])


def first_answer(url: str, began: float) -> None:
    seven = (PROJECT / "docs" / "examples" / "seven.png").read_bytes()
    alive = ready = False
    while time.monotonic() - began < LONGEST_S:
        time.sleep(0.1)
        try:
            if not alive:
                alive = httpx.get(f"{url}/livez").is_success
                tell("environment, and it listens", began)
            answer = httpx.post(f"{url}/v1/digits/classify", content=seven, headers={"content-type": "image/png"})
            if not ready and answer.is_success:
                ready = answer.json()["predictions"][0]["digit"] == 7
                tell("first answer", began)
            if httpx.get(f"{url}/readyz").is_success:
                tell("all models ready", began)
                return
        except httpx.TransportError:
            continue
    raise SystemExit(f"no answer within {LONGEST_S:.0f} s")


def programs(clone: Path, url: str) -> Iterator[str]:
    """What is wrong with the pages' commands and programs."""
    pip = [f"{clone}/.venv/bin/pip", "install", "--quiet", "--constraint", "constraints.txt", *CLIENT]
    subprocess.run(pip, cwd=clone, check=True)
    for one in snippets():
        if can_run(one) and (wrong := failure(one, url, clone, f"{clone}/.venv/bin/python")):
            yield f"{one.page.relative_to(PROJECT)}\n{one.text}\n{wrong}"


def typed(clone: Path, url: str) -> Iterator[str]:
    """What is wrong with the README's lines for `quartet`."""
    environment = os.environ | {"ASK_QUARTET_URL": url, "PYTHONPATH": ""}
    for language, content in blocks((clone / "README.md").read_text(encoding="utf-8")):
        for line in commands(content) if language == "console" else ():
            ran = subprocess.run(
                ["bash", "-ec", f"{clone}/.venv/bin/{line}"],
                cwd=clone,
                env=environment,
                capture_output=True,
                check=False,
            )
            if ran.returncode:
                yield f"README.md\n{line}\n{ran.stderr.decode()[-500:]}"


def client(clone: Path, url: str) -> Iterator[str]:
    """What is wrong with the examples of the Python client's page."""
    page = clone / "clients" / "python" / "README.md"
    here = page.with_name("here.md")
    here.write_text(page.read_text(encoding="utf-8").replace(ADDRESS, url), encoding="utf-8")
    ran = subprocess.run(
        [f"{clone}/.venv/bin/python", "-m", "doctest", f"{here}"],
        cwd=clone,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        yield f"clients/python/README.md\n{ran.stdout[-2000:]}"


def complain(wrong: list[str]) -> int:
    print("\n\n".join(wrong))
    print(f"{len(snippets())} snippets, {len(wrong)} not as the pages say")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
