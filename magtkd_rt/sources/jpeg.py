"""JPEG pictures from anybody: looked at before they are decoded, and decoded within bounds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from magtkd_rt.sources._pictures import RgbConverter

MAX_JPEG_SIDE: Final = 4096
"""Pixels of the longest side that is decoded."""
MAX_WORK: Final = 2 * MAX_JPEG_SIDE * MAX_JPEG_SIDE
"""Pixels times scans: each scan of a progressive picture goes over all of them again."""

_REMEDY: Final = f"send whole JPEGs, at most {MAX_JPEG_SIDE} x {MAX_JPEG_SIDE}, baseline is best"
_START: Final = b"\xff\xd8"
_END: Final = b"\xff\xd9"
_SCAN: Final = 0xDA
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # DHT, JPG, DAC are none
_SHORTEST_FRAME: Final = 8  # its length, precision, height, width, number of components


class BadPicture(ValueError):
    """What claims to be a JPEG cannot be taken.

    Args:
        problem: one line.
        code: of the protocol: `bad_frame`, `too_large` or `unsupported`.
    """

    def __init__(
        self,
        problem: str,
        code: Literal["bad_frame", "too_large", "unsupported"] = "bad_frame",
    ) -> None:
        self.code: Final = code
        super().__init__(f"{problem}; {_REMEDY}")


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """What a picture says of itself, before it is decoded.

    Attributes:
        width: pixels.
        height: pixels.
        components: 1 for grey, 3 for colours, 4 for CMYK.
        length: bytes up to the picture's end; what follows is something else.
    """

    width: int
    height: int
    components: int
    length: int


def read_header(data: bytes) -> JpegHeader:
    """Look whether a picture is one that can be decoded, without decoding it.

    Args:
        data: all of it.

    Raises:
        BadPicture: it is no JPEG, cut short, too large, or of a kind that is not decoded.
    """
    if not data.startswith(_START):
        raise BadPicture("this is no JPEG")
    place, header = len(_START), None
    while True:
        if place + 4 > len(data) or data[place] != 0xFF:
            raise BadPicture("the JPEG is cut short or broken before its picture")
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4])
        if marker in _FRAMES:
            if header is not None:
                raise BadPicture("the JPEG holds more than one picture")
            header = _read_frame(marker, data[place + 2 : place + 2 + length])
        if marker == _SCAN:
            break
        if length < 2 or marker == 0xFF:
            raise BadPicture("the JPEG is broken before its picture")
        place += 2 + length
    if header is None:
        raise BadPicture("the JPEG does not say how large it is")
    return replace(header, length=_check_scans(data, place, header))


def _read_frame(marker: int, segment: bytes) -> JpegHeader:
    if marker not in (_BASELINE, _EXTENDED, _PROGRESSIVE):
        raise BadPicture("JPEGs of this kind are not decoded", "unsupported")
    if len(segment) < _SHORTEST_FRAME:
        raise BadPicture("the JPEG is cut short before its picture")
    precision, components = segment[2], segment[7]
    height, width = int.from_bytes(segment[3:5]), int.from_bytes(segment[5:7])
    if precision != 8 or components not in (1, 3, 4):
        raise BadPicture("a JPEG without 8 bits and 1, 3 or 4 components", "unsupported")
    if not height or not width:
        raise BadPicture("the JPEG has no pixels")
    if max(height, width) > MAX_JPEG_SIDE:
        raise BadPicture(f"{width} x {height} pixels are too many", "too_large")
    return JpegHeader(width, height, components, 0)


def _check_scans(data: bytes, place: int, header: JpegHeader) -> int:
    """Look at what follows the header; return where it ends.

    In coded data FF is followed by 00 or the number of a restart, so any other marker is one.
    """
    end = data.find(_END, place)
    if end < 0:
        raise BadPicture("the JPEG is cut short")
    coded = np.frombuffer(data, np.uint8)[place:end]
    markers = np.bincount(coded[1:][coded[:-1] == 0xFF], minlength=256)
    if markers[list(_FRAMES)].any():
        raise BadPicture("the JPEG holds more than one picture")
    if int(markers[_SCAN]) * header.width * header.height > MAX_WORK:
        raise BadPicture(f"{markers[_SCAN]} scans of so many pixels are too many", "too_large")
    return end + len(_END)


class JpegDecoder:
    """Decodes pictures whose header was read. For one thread; says nothing on stderr."""

    def __init__(self) -> None:
        self._context: av.VideoCodecContext | None = None
        self._converter = RgbConverter()

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """The picture as uint8 (height, width, 3), RGB, upright, its longest side at most MAX_SIDE.

        Raises:
            BadPicture: its content is broken.
        """
        try:
            return self._decode(data)
        except (av.error.FFmpegError, ValueError, MemoryError) as error:
            self._context = None  # what the decoder made of it stays with it
            raise BadPicture("the JPEG cannot be decoded") from error

    def _decode(self, data: bytes) -> NDArray[np.uint8]:
        if self._context is None:
            self._context = _open_decoder()
        frames = self._context.decode(av.Packet(data))
        if len(frames) != 1:
            raise BadPicture("the JPEG holds no picture")
        return self._converter.rgb(frames[0])


def _open_decoder() -> av.VideoCodecContext:
    context = av.VideoCodecContext.create("mjpeg", "r")
    context.thread_count = 1  # more would hold pictures back
    context.options = {
        "err_detect": "explode",
        "max_pixels": str(MAX_JPEG_SIDE * MAX_JPEG_SIDE),
    }
    return context
