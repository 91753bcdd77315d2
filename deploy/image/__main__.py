"""Build the image, and write its bill of materials beside it: python -m deploy.image [--tag quartet] [--cuda]"""

import argparse
import os
import subprocess
import sys
import tomllib
from pathlib import Path

from deploy.engine import EngineError, build, file_of

MATERIALS = "/usr/share/quartet/quartet.cdx.json"
PROJECT = Path(__file__).parent.parent.parent


def revision() -> str:
    """The commit, marked where the tree differs from it."""
    described = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--match", "-"]
    ran = subprocess.run(described, cwd=PROJECT, capture_output=True, text=True, check=False)
    return ran.stdout.strip() or "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m deploy.image", description=__doc__)
    parser.add_argument("--tag", default="quartet")
    parser.add_argument("--base", default=os.environ.get("BASE") or None, help="another base than python:3.11-slim")
    parser.add_argument("--cuda", action="store_true", help="with onnxruntime-gpu, CUDA and cuDNN; 3 GB more")
    given = parser.parse_args()
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    arguments = {"VERSION": version, "REVISION": revision()}
    arguments |= {"BASE": given.base} if given.base else {}
    arguments |= {"LOCK": "requirements-cuda.lock"} if given.cuda else {}
    try:
        build(given.tag, arguments)
        Path("quartet.cdx.json").write_text(file_of(given.tag, MATERIALS), encoding="utf-8")
    except EngineError as error:
        sys.exit(str(error))
    print(f"{given.tag}, and quartet.cdx.json: what is in it", file=sys.stderr)


if __name__ == "__main__":
    main()
