"""JPEGs from anybody: looked at before they are decoded, decoded within bounds."""

from __future__ import annotations

import io
import time

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from magtkd_rt.sources._pictures import MAX_SIDE
from magtkd_rt.sources.jpeg import MAX_JPEG_SIDE, BadPicture, JpegDecoder, read_header

EXIF_TURNED = (  # orientation 6: a telephone held upright
    b"\xff\xe1\x00\x22Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00"
    b"\x06\x00\x00\x00\x00\x00\x00\x00"
)


def scene(width: int = 96, height: int = 64) -> NDArray[np.uint8]:
    """Left red, right blue, RGB."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2, 0] = 255
    image[:, width // 2 :, 2] = 255
    return image


def encoded(image: NDArray[np.uint8], *options: int) -> bytes:
    _, data = cv2.imencode(".jpg", image[:, :, ::-1], options)
    return bytes(data.tobytes())


def resized(data: bytes, width: int, height: int) -> bytes:
    """The same, but for what the header claims."""
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + height.to_bytes(2) + width.to_bytes(2) + data[place + 4 :]


@pytest.mark.parametrize(
    "options",
    [
        (),
        (cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        (cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
        (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
    ],
    ids=["baseline", "progressive", "restarts", "444"],
)
def test_pictures_are_decoded(options: tuple[int, ...]) -> None:
    data = encoded(scene(), cv2.IMWRITE_JPEG_QUALITY, 95, *options)
    header = read_header(data)
    assert (header.width, header.height, header.components) == (96, 64, 3)
    assert header.length == len(data)
    image = JpegDecoder().decode(data)
    assert image.dtype == np.uint8 and image.shape == (64, 96, 3)
    assert np.abs(image.astype(int) - scene()).mean() < 6


def test_grey_pictures_are_grey() -> None:
    _, data = cv2.imencode(".jpg", np.full((40, 50), 130, np.uint8))
    assert read_header(data.tobytes()).components == 1
    image = JpegDecoder().decode(data.tobytes())
    assert image.shape == (40, 50, 3)
    assert np.abs(image.astype(int) - 130).max() <= 2


def test_cmyk_pictures_have_colours() -> None:
    image_module = pytest.importorskip("PIL.Image")
    picture = image_module.fromarray(scene()).convert("CMYK")
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=95)
    assert read_header(buffer.getvalue()).components == 4
    image = JpegDecoder().decode(buffer.getvalue())
    assert np.abs(image.astype(int) - scene()).mean() < 10


def test_a_telephone_held_upright_stands_upright() -> None:
    data = encoded(scene())
    turned = data[:2] + EXIF_TURNED + data[2:]
    image = JpegDecoder().decode(turned)
    assert image.shape == (96, 64, 3)
    assert image[5, 32, 0] > 200 and image[90, 32, 2] > 200, "red is above"


def test_large_pictures_are_made_smaller() -> None:
    image = JpegDecoder().decode(encoded(scene(2000, 1000)))
    assert image.shape == (MAX_SIDE // 2, MAX_SIDE, 3)


def test_what_follows_a_picture_is_left_out() -> None:
    data = encoded(scene())
    assert read_header(data + bytes(1000) + data).length == len(data)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "bad_frame"),
        (b"\xff\xd8", "bad_frame"),
        (b"\xff\xd8\xff", "bad_frame"),
        (b"GIF89a" + bytes(100), "bad_frame"),
        (b"\xff\xd8\xff\xd9", "bad_frame"),
        (b"\xff\xd8" + b"\xff\xe0\x00\x00" * 9, "bad_frame"),
        (b"\xff\xd8\xff\xe0\xff\xff" + bytes(100), "bad_frame"),
        (b"\xff\xd8\xff\xc0\x00\x04\x08\x00\xff\xda\x00\x02\xff\xd9", "bad_frame"),
        (encoded(scene()).replace(b"\xff\xc0", b"\xff\xc3"), "unsupported"),
        (encoded(scene()).replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c"), "unsupported"),
        (resized(encoded(scene()), 0, 64), "bad_frame"),
        (resized(encoded(scene()), 96, 0), "bad_frame"),
        (resized(encoded(scene()), MAX_JPEG_SIDE + 1, 64), "too_large"),
        (resized(encoded(scene()), 65_535, 65_535), "too_large"),
        (encoded(scene())[:-2], "bad_frame"),
        (encoded(scene())[: len(encoded(scene())) // 2], "bad_frame"),
    ],
)
def test_what_cannot_be_decoded_is_known_before(data: bytes, code: str) -> None:
    with pytest.raises(BadPicture) as caught:
        read_header(data)
    assert caught.value.code == code


def test_many_scans_are_too_much_work() -> None:
    data = resized(encoded(scene()), MAX_JPEG_SIDE, MAX_JPEG_SIDE)
    scan = data[data.index(b"\xff\xda") : -2]
    read_header(data[:-2] + scan + b"\xff\xd9")
    with pytest.raises(BadPicture, match="scans") as caught:
        read_header(data[:-2] + scan * 2 + b"\xff\xd9")
    assert caught.value.code == "too_large"


def test_a_second_picture_inside_is_refused() -> None:
    data = encoded(scene())
    frame = data[data.index(b"\xff\xc0") : data.index(b"\xff\xc4")]
    place = data.index(b"\xff\xda")
    for nested in (data[:place] + frame + data[place:], data[:-2] + frame + data[-2:]):
        with pytest.raises(BadPicture, match="more than one"):
            read_header(nested)


def test_a_claim_of_more_than_there_is_ends_soon() -> None:
    data = resized(encoded(scene()), MAX_JPEG_SIDE, MAX_JPEG_SIDE)
    read_header(data)
    begin = time.monotonic()
    with pytest.raises(BadPicture):
        JpegDecoder().decode(data)
    assert time.monotonic() - begin < 1.0


def test_broken_pictures_spoil_no_others(capfd: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(5)
    noisy = random.integers(0, 256, (64, 96, 3), np.uint8)
    good = encoded(scene(), cv2.IMWRITE_JPEG_QUALITY, 95)
    decoder = JpegDecoder()
    expected = decoder.decode(good)
    broken = 0
    for _ in range(200):
        data = bytearray(encoded(noisy))
        for place in random.integers(2, len(data) - 2, 5):
            data[place] = random.integers(0, 256)
        try:
            header = read_header(bytes(data))
            image = decoder.decode(bytes(data))
            assert image.shape[2] == 3 and max(image.shape) <= max(header.width, header.height)
        except BadPicture:
            broken += 1
        assert np.array_equal(decoder.decode(good), expected)
    assert broken > 50
    assert capfd.readouterr() == ("", ""), "decoders of others tell the terminal"
