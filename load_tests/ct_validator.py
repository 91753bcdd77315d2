"""What dicom3tools' validator says of a DICOM file, where it is installed."""

import shutil
import subprocess
import tempfile
from pathlib import Path

VALIDATOR = "dciodvfy"
UNREADABLE = "Dicom dataset read failed"  # as it says of deflated files, too


def installed() -> bool:
    return shutil.which(VALIDATOR) is not None


def remarks(file: bytes) -> set[str]:
    """Its errors and warnings."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.dcm"
        path.write_bytes(file)
        ran = subprocess.run([VALIDATOR, path], capture_output=True, check=False)
    lines = ran.stderr.decode(errors="replace").splitlines()  # it quotes values, of whatever character set
    return {line for line in lines if "Error" in line or "Warning" in line}


def new_remarks(before: bytes, after: bytes) -> set[str]:
    """What it says of a derived image and not of its source; nothing where it cannot read that."""
    known = remarks(before)
    return set() if any(UNREADABLE in line for line in known) else remarks(after) - known
