"""Clips: animations, and pictures in a row. A few frames of each, evenly from the first on, are all that is decoded."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from service.codecs.picture_header import frames, pages
from service.codecs.pictures import NO_PICTURE, Encoded, Picture, checked, opened, reduced
from service.errors import InvalidValue, MalformedBody, TooManyPixels
from service.limits import Limits

MEDIA_TYPES = "image/gif", "image/webp", "image/png"  # an APNG says that it is a PNG
MOST_FRAMES = 1024
MOST_WORK = 2**27  # pixels of all frames up to the last that is shown: a second or two
STILL = "No clip but one picture: send an animation as GIF, WebP or APNG, or several pictures for one clip."
CANVASES = 24  # bytes for a pixel: what Pillow keeps of the frames before, and the layers of one
PAPER = "white"  # behind what is transparent, the same in all frames


class Clip(Protocol):
    """`frames`: how many there are. `work` as for `Encoded`."""

    @property
    def frames(self) -> int: ...

    @property
    def work(self) -> int: ...

    @property
    def field(self) -> str | None: ...

    def shown(self, places: Sequence[int], limits: Limits) -> list[Picture]:
        """The frames at these places, which ascend. Raises what `Encoded.read` raises, and DeadlineExceeded."""
        ...


class Animation(NamedTuple):
    """A file of which the headers alone have been read."""

    encoded: Encoded
    frames: int

    @property
    def work(self) -> int:
        return self.frames * self.encoded.work

    @property
    def field(self) -> str | None:
        return self.encoded.field

    def shown(self, places: Sequence[int], limits: Limits) -> list[Picture]:
        """Every frame up to the last is decoded, for each may change a part of the one before alone."""
        header, found = self.encoded.header, []
        claimed = self.encoded.claim(CANVASES * self.encoded.pixels, limits)
        try:
            with self.encoded.image() as picture:
                hidden = bool(picture.info.get("default_image"))  # of an APNG: what shows where nothing moves
                for place in range(places[-1] + 1):
                    limits.check_time()
                    picture.seek(place + hidden)
                    if picture.size != (header.width, header.height):
                        raise MalformedBody(NO_PICTURE, self.field)
                    found += [reduced(picture, PAPER)] * (place in places)
            return found
        finally:
            limits.release(claimed)


class Pictures(NamedTuple):
    """Files that are a frame each."""

    pictures: list[Encoded]
    field: str | None

    @property
    def frames(self) -> int:
        return len(self.pictures)

    @property
    def work(self) -> int:
        return sum(one.work for one in self.pictures)

    def shown(self, places: Sequence[int], limits: Limits) -> list[Picture]:
        found = []
        for place in places:
            limits.check_time()
            found.append(self.pictures[place].read(limits, PAPER))
        return found


def animation(data: bytes, max_pixels: int, field: str | None = None) -> Animation:
    """Raises MalformedBody for what is no picture, InvalidValue for one that does not move, BodyTooLarge."""
    headers = pages(data)
    if not headers:
        raise MalformedBody(NO_PICTURE, field)
    encoded, count = checked(Encoded(data, headers[0], field), max_pixels), frames(data, MOST_FRAMES + 1)
    if count < 2:
        raise InvalidValue(STILL, field)
    if count > MOST_FRAMES:
        raise TooManyPixels(f"The clip has more than {MOST_FRAMES} frames: send a part of it.", field)
    if count * encoded.pixels > MOST_WORK:
        many = f"{count} frames of {encoded.pixels} pixels, together more than {MOST_WORK}"
        raise TooManyPixels(f"The clip has {many}: send it smaller or shorter.", field)
    return Animation(encoded, count)


def in_a_row(files: Sequence[bytes], max_pixels: int, field: str) -> Pictures:
    """Raises what `opened` raises."""
    if len(files) > MOST_FRAMES:
        raise TooManyPixels(f"The clip has more than {MOST_FRAMES} frames: send a part of it.", field)
    found: list[Encoded] = []
    for i, file in enumerate(files):
        found += opened(file, max_pixels, f"{field}[{i}]")
        max_pixels -= found[-1].pixels
    return Pictures(found, field)


def evenly(count: int, of: int) -> list[int]:
    """`count` places of `of`, at least as many, evenly from the first on."""
    return [i * of // count for i in range(count)]
