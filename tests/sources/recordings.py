"""Small recordings made on the spot, by FFmpeg's own encoders."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


def write_wav(path: Path, samples: NDArray[np.float32], rate: int) -> Path:
    """Write float samples (n,) or (n, channels) as 16-bit PCM."""
    frames = np.round(samples * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(frames.tobytes())
    return path


def tone(hertz: float, seconds: float, rate: int) -> NDArray[np.float32]:
    """A sine of amplitude one half."""
    time = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def write_movie(
    path: Path,
    *,
    pictures_at: Sequence[float] = (),
    sound_at: Sequence[float] = (),
    size: tuple[int, int] = (64, 48),
) -> Path:
    """Write pictures (left red, right blue) and blocks of 0.1 s of tone at these seconds."""
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2, 0] = 255
    image[:, width // 2 :, 2] = 255
    with av.open(str(path), "w") as container:
        if pictures_at:
            video = container.add_stream("mpeg4", rate=25)
            video.width, video.height, video.pix_fmt = width, height, "yuv420p"
            video.codec_context.time_base = Fraction(1, 1000)
        if sound_at:
            audio = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        for second in pictures_at:
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round(second * 1000), Fraction(1, 1000)
            container.mux(video.encode(frame))
        for second in sound_at:
            block = np.round(tone(500, 0.1, 16000) * 32767).astype(np.int16)
            sound = av.AudioFrame.from_ndarray(block[np.newaxis], format="s16", layout="mono")
            sound.sample_rate = 16000
            sound.pts, sound.time_base = round(second * 16000), Fraction(1, 16000)
            container.mux(audio.encode(sound))
        if pictures_at:
            container.mux(video.encode(None))
        if sound_at:
            container.mux(audio.encode(None))
    return path


def with_cover_art(flac: Path, target: Path) -> Path:
    """Copy a FLAC file and put a picture block behind its STREAMINFO."""
    content = flac.read_bytes()
    header = content[4:42]
    png = bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
        "0000000c49444154789c63f8cfc00000030101009a0f2c3c0000000049454e44ae426082"
    )
    mime = b"image/png"
    block = (3).to_bytes(4, "big") + len(mime).to_bytes(4, "big") + mime + bytes(4)
    block += b"".join(number.to_bytes(4, "big") for number in (1, 1, 24, 0, len(png))) + png
    picture = bytes([6]) + len(block).to_bytes(3, "big") + block
    target.write_bytes(b"fLaC" + bytes([header[0] & 0x7F]) + header[1:] + picture + content[42:])
    return target


def turned_by_90(movie: Path, target: Path) -> Path:
    """Copy an MP4 file and say in its track header: to be shown turned 90 degrees clockwise."""
    content = bytearray(movie.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40
    turned = [0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000]
    content[matrix : matrix + 36] = b"".join(n.to_bytes(4, "big", signed=True) for n in turned)
    target.write_bytes(content)
    return target
