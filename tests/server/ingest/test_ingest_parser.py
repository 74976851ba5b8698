"""Messages of senders: whatever the bytes, media or a refusal, and nothing else."""

from __future__ import annotations

import json
import math
import string
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from magtkd_rt import wire
from magtkd_rt.core.media import AudioChunk
from magtkd_rt.server.ingest.limits import CLOSE_CODES, Refused, SenderLimits
from magtkd_rt.server.ingest.parser import MediaParser, Picture, Sound, read_hello, read_text
from magtkd_rt.sources.ingest import IngestSource, NoRoom
from magtkd_rt.sources.jpeg import BadPicture, JpegDecoder, read_header
from magtkd_rt.sources.timeline import Untimely

LIMITS = SenderLimits()
TIMES = st.integers(0, 2**64 - 1)
AUDIO = st.builds(
    wire.AudioFormat,
    sample_rate=st.integers(8_000, 192_000),
    channels=st.integers(1, 16),
    encoding=st.sampled_from(["pcm_s16le", "pcm_f32le"]),
)
HELLOS = st.builds(
    wire.Hello, audio=st.none() | AUDIO, video=st.none() | st.just(wire.VideoFormat())
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS = ["type", "protocol", "audio", "video", "speaker", "session_id", "resume_token", "since"]


def parser(**hello: Any) -> MediaParser:
    return MediaParser(wire.Hello(**hello), LIMITS)


@given(TIMES, hnp.arrays("<i2", st.tuples(st.integers(1, 50), st.integers(1, 16))))
def test_whole_numbers_are_shares_of_32768(time_us: int, samples: Any) -> None:
    audio = wire.AudioFormat(sample_rate=16_000, channels=samples.shape[1])
    media = parser(audio=audio).parse(wire.MEDIA_HEADER.pack(1, time_us) + samples.tobytes())
    assert isinstance(media, Sound) and media.begin_us == time_us
    assert media.samples.dtype == np.float32
    np.testing.assert_array_equal(media.samples * 32768, samples)


@given(TIMES, hnp.arrays("<f4", st.tuples(st.integers(1, 50), st.integers(1, 16))))
def test_floats_are_taken_as_they_are_where_they_are_numbers(time_us: int, samples: Any) -> None:
    audio = wire.AudioFormat(sample_rate=16_000, channels=samples.shape[1], encoding="pcm_f32le")
    data = wire.MEDIA_HEADER.pack(1, time_us) + samples.tobytes()
    if not np.isfinite(samples).all():
        with pytest.raises(Refused, match="no numbers"):
            parser(audio=audio).parse(data)
        return
    media = parser(audio=audio).parse(data)
    assert isinstance(media, Sound)
    np.testing.assert_array_equal(media.samples, samples)


@given(HELLOS, st.binary(max_size=200), st.integers(0, 255) | st.sampled_from([1, 2]))
def test_whatever_bytes_come_they_are_media_or_refused(
    hello: wire.Hello, rest: bytes, kind: int
) -> None:
    data = bytes([kind]) + rest
    try:
        media = MediaParser(hello, LIMITS).parse(data)
    except Refused as refused:
        assert refused.code in ("bad_frame", "unsupported")  # noqa: PT017
        return
    if kind == 1:
        assert isinstance(media, Sound) and hello.audio is not None
        assert media.samples.shape[1] == hello.audio.channels
        assert np.isfinite(media.samples).all()
    else:
        assert isinstance(media, Picture) and hello.video is not None
        assert media.jpeg == rest[8:]


@given(st.text() | st.binary())
def test_whatever_is_said_first_it_is_hello_or_refused(message: str | bytes) -> None:
    with pytest.raises(Refused):
        read_hello(message)


@given(
    st.dictionaries(st.sampled_from(FIELDS) | st.text(), JSON), st.sampled_from(["hello", "end"])
)
def test_whatever_fields_there_are_it_is_hello_or_refused(
    fields: dict[str, Any], kind: str
) -> None:
    for text in (json.dumps(fields), json.dumps({"type": kind} | fields | {"type": kind})):
        try:
            hello = read_hello(text)
        except Refused as refused:
            assert refused.code in CLOSE_CODES  # noqa: PT017
            assert len(refused.problem) < 300  # noqa: PT017
        else:
            assert hello.audio is not None or hello.video is not None
        try:
            read_text(text)
        except Refused as refused:
            assert refused.code in ("bad_json", "bad_request", "unsupported")  # noqa: PT017


@given(
    st.fixed_dictionaries(
        {"type": st.just("hello")},
        optional={
            "audio": st.fixed_dictionaries(
                {"sample_rate": JSON | st.integers(0, 200_000)},
                optional={
                    "channels": JSON | st.integers(0, 20),
                    "encoding": JSON | st.sampled_from(["pcm_s16le", "pcm_f32le", "opus"]),
                    "channels_are_speakers": JSON,
                },
            ),
            "video": JSON | st.just({"encoding": "jpeg"}),
            "since": JSON | st.integers(-5, 5),
            "subscribe": JSON,
            "speaker": JSON | st.text(alphabet=string.ascii_letters, max_size=80),
        },
    )
)
def test_hellos_with_odd_values_are_refused_or_within_bounds(fields: dict[str, Any]) -> None:
    try:
        hello = read_hello(json.dumps(fields))
    except Refused:
        return
    if hello.audio is not None:
        assert 8_000 <= hello.audio.sample_rate <= 192_000
        assert 1 <= hello.audio.channels <= 16
    assert not hello.since
    assert hello.speaker is None or 0 < len(hello.speaker) <= 64


@given(st.binary(max_size=300), st.booleans())
def test_whatever_claims_to_be_a_jpeg_is_bounded(data: bytes, begins_well: bool) -> None:
    if begins_well:
        data = b"\xff\xd8\xff\xe0\x00\x04ab" + data + b"\xff\xd9"
    try:
        header = read_header(data)
    except BadPicture as bad:
        assert bad.code in CLOSE_CODES  # noqa: PT017
        return
    assert 0 < header.width <= 4096 and 0 < header.height <= 4096
    try:
        assert JpegDecoder().decode(data[: header.length]).ndim == 3
    except BadPicture:
        return


@given(st.lists(st.tuples(st.sampled_from([1, 2]), TIMES, st.binary(max_size=64)), max_size=20))
def test_a_source_takes_what_the_parser_lets_through(
    messages: list[tuple[int, int, bytes]],
) -> None:
    hello = wire.Hello(audio=wire.AudioFormat(sample_rate=8_000), video=wire.VideoFormat())
    source = IngestSource(hello.audio, hello.video, ahead=5.0)
    for kind, time_us, rest in messages:
        try:
            media = MediaParser(hello, LIMITS).parse(wire.MEDIA_HEADER.pack(kind, time_us) + rest)
            if isinstance(media, Sound):
                source.put_sound(media.begin_us, media.samples, 8_000)
            else:
                source.put_picture(media.time_us, media.jpeg)
        except (Refused, Untimely, BadPicture, NoRoom):
            continue
    source.end()
    begin = 0
    for item in source.media():
        if isinstance(item, AudioChunk):
            assert item.start == begin
            begin = item.end
    # No more than what was sent, what may be ahead, and silence up to the present.
    assert begin < 16_000 * 15


def test_every_code_is_one_of_the_protocol_and_closes_somehow() -> None:
    codes = set(get_args(wire.ErrorCode))
    assert codes == set(CLOSE_CODES)
    assert codes == set(get_args(wire.Error.model_fields["code"].annotation))


def test_numbers_that_are_none_do_not_get_through_json() -> None:
    for value in (math.nan, math.inf, -math.inf):
        text = json.dumps({"type": "hello", "audio": {"sample_rate": value}})
        with pytest.raises(Refused, match="bad_json"):
            read_hello(text)
