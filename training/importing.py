"""The command `import`: what an owner tells of an ONNX file, and what is told in return."""

import argparse
import re
import shlex
from pathlib import Path
from typing import Any

from training.export import imported


def bring(file: Path, axes: list[tuple[str, tuple[int, int]]], span: list[float] | None, **told: Any) -> None:
    """Make a candidate of an ONNX file, and say what is missing that only its owner knows."""
    words = ["python", "-m", "training", "import", file.name, "--name", told["name"], "--kind", told["kind"]]
    between = (span[0], span[1]) if span else None
    owner = imported.Told(axes=dict(axes), span=between, command=shlex.join(words), **told)
    written = imported.bring(file, owner)
    name, version = written.manifest.name, written.manifest.version
    for side, tensors in (("takes", written.manifest.inputs), ("gives", written.manifest.outputs)):
        for tensor in tensors:
            print(f"{side} {tensor.name}: {tensor.dtype} [{', '.join(map(str, tensor.shape))}]")
    for text in owner.missing:
        print(f"missing: {text}")
    print(f"{written.path}: a candidate; to serve it:")
    print(f'  python -m service release promote {name} {version} --force --reason "TEXT"')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="MODEL.onnx")
    parser.add_argument("--name", required=True, help="that the model is to have in the service")
    parser.add_argument("--kind", choices=imported.KINDS, default="tensors", help="what it is for; default tensors")
    parser.add_argument("--labels", type=_labels, default=(), help="of its classes, between commas")
    parser.add_argument("--softmax", action="store_true", help="make probabilities of the scores that it gives")
    parser.add_argument("--range", dest="span", nargs=2, type=float, metavar=("LOW", "HIGH"), help="of its inputs")
    parser.add_argument("--axis", dest="axes", action="append", default=[], type=_axis, metavar="NAME=LEAST:MOST")
    parser.add_argument("--rows", type=Path, metavar="FILE.npz", help="real inputs by name, a few rows each")
    for word, text in (("description", "what it is for"), ("licence", "of the file"), ("address", "where it is from")):
        parser.add_argument(f"--{word}", default="", help=text)


def _axis(text: str) -> tuple[str, tuple[int, int]]:
    match = re.fullmatch(r"([^=]+)=(\d{1,7}):(\d{1,7})", text)
    if match is None or not 1 <= int(match[2]) <= int(match[3]) <= 2**20:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=LEAST:MOST, such as height=16:512")
    return match[1], (int(match[2]), int(match[3]))


def _labels(text: str) -> tuple[str, ...]:
    return tuple(label.strip() for label in text.split(","))
