"""The container engine of this machine: Docker, Podman or Buildah, whichever is there.

`ENGINE` in the environment names another. Where Buildah and Podman may not make namespaces, `BUILDAH_ISOLATION=chroot`
lets them build all the same.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping

# In this order; each answers its question only when it can do its work here.
ENGINES = {"docker": ["docker", "info"], "podman": ["podman", "info"], "buildah": ["buildah", "info"]}
FORMAT = {"docker": [], "podman": ["--format", "docker"], "buildah": ["--format", "docker"]}  # OCI has no HEALTHCHECK


class EngineError(Exception):
    """What the engine cannot do here; the text says what to do about it."""


def engine(runs: bool = False) -> str:
    """Its name; one that `runs` containers, and does not only build them. Raises EngineError."""
    chosen = os.environ.get("ENGINE")
    for name, question in ENGINES.items():
        if chosen not in (None, "", name) or (runs and name == "buildah") or not shutil.which(name):
            continue
        if subprocess.run(question, capture_output=True, check=False).returncode == 0:
            return name
    wanted = "docker or podman" if runs else "docker, podman or buildah"
    raise EngineError(f"Nothing here runs containers: install {wanted}, and start its daemon where it has one.")


def said(*command: str, most_s: float = 120) -> str:
    """What a command writes. Raises EngineError with what it says of its failure."""
    ran = subprocess.run(command, capture_output=True, text=True, timeout=most_s, check=False)
    if ran.returncode:
        raise EngineError(f"`{' '.join(command)}` ended with status {ran.returncode}: {ran.stderr.strip()[-2000:]}")
    return ran.stdout


def build(tag: str, arguments: Mapping[str, str]) -> None:
    """The image of this folder's Dockerfile, under `tag`. Raises EngineError."""
    name = engine()
    options = [word for key, value in arguments.items() for word in ("--build-arg", f"{key}={value}")]
    verb = ["bud", "--layers"] if name == "buildah" else ["build"]
    print(f"building {tag} with {name}", file=sys.stderr)
    ran = subprocess.run([name, *verb, *FORMAT[name], *options, "--tag", tag, "."], check=False)
    if ran.returncode:
        raise EngineError(f"{name} did not build {tag}; what it says stands above.")


def file_of(tag: str, path: str) -> str:
    """The text of a file in an image. Raises EngineError."""
    name = engine()
    if name != "buildah":
        return said(name, "run", "--rm", "--network", "none", "--entrypoint", "cat", tag, path)
    container = said(name, "from", tag).strip()
    try:
        return said(name, "run", "--network", "none", container, "--", "cat", path)
    finally:
        said(name, "rm", container)
