"""Short clips of animals and of people: three frames each of animated emoji, a clip for each character.

`python -m training.data.clips PACKAGE.tgz` makes the committed file from the package: 165 MB are too many to fetch for
so little.
"""

import hashlib
import io
import re
import sys
import tarfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.data.given import replaceable
from training.data.sources import EMOJI_CLIPS
from training.data.store import TABLES, fetch

SIDE, FRAMES = 32, 3  # pixels; frames, evenly from the first on
ANIMALS = range(0x1F400, 0x1F440)
PEOPLE = 0x1F385, *range(0x1F3C2, 0x1F3CD), *range(0x1F464, 0x1F469)
TONES = re.compile("-1f3f[b-f]")  # of skin: the same clip in another colour
SEX = re.compile("-(200d-264[02]|fe0f)")  # nearly the same clip
HELD_OUT = 85  # of 256: a third


class Clips(NamedTuple):
    """`frames` uint8 [N, 3, 32, 32], black 0; `labels` [N], 0 for an animal and 1 for a person."""

    frames: NDArray[np.uint8]
    labels: NDArray[np.int64]


@replaceable
@cache
def emoji_clips() -> tuple[Clips, Clips]:
    """To train with and held out, in random order; whoever is shown as a man and as a woman is in one of them."""
    (content,) = fetch(EMOJI_CLIPS.name).read().values()
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        frames, labels, names = (archive[name] for name in ("frames", "labels", "names"))
    places = np.array([hashlib.sha256(SEX.sub("", name).encode()).digest()[0] for name in names.tolist()])
    order = np.argsort(places, kind="stable")
    held_out = places[order] < HELD_OUT
    train, test = order[~held_out], order[held_out]
    return Clips(frames[train], labels[train]), Clips(frames[test], labels[test])


def make(package: Path) -> bytes:
    """The committed file."""
    found = []
    with tarfile.open(package) as archive:
        for member in sorted(archive.getmembers(), key=lambda one: one.name):
            name = Path(member.name).stem
            code = int(name.split("-")[0], 16) if member.name.endswith(".webp") else 0
            if code in (*PEOPLE, *ANIMALS) and not TONES.search(name):
                file = archive.extractfile(member)
                assert file is not None
                if frames := frames_of(Image.open(io.BytesIO(file.read())), FRAMES, (SIDE, SIDE)):
                    found.append((frames, int(code in PEOPLE), name))
    clips, labels, names = zip(*found, strict=True)
    written = io.BytesIO()
    np.savez_compressed(written, frames=np.array(clips), labels=np.array(labels), names=np.array(names))
    return written.getvalue()


def frames_of(picture: Image.Image, frames: int, size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    """So many, evenly from the first on, grey, on white; none of a picture that has fewer."""
    count, found = getattr(picture, "n_frames", 1), []
    for frame in range(frames if count >= frames else 0):
        picture.seek(frame * count // frames)
        white = Image.new("RGBA", picture.size, "white")
        white.alpha_composite(picture.convert("RGBA"))
        found.append(np.asarray(white.convert("L").resize(size, Image.Resampling.BICUBIC)))
    return found


if __name__ == "__main__":
    (TABLES / "emoji_clips.npz").write_bytes(make(Path(sys.argv[1])))
