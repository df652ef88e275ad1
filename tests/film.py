"""Small videos for tests, encoded with PyAV from drawn pictures."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np

from drawn import picture

# FFmpeg's encoders by the machine's processors would give other files on other machines.
SINGLE = {"threads": "1"}


def moving(count, *, width=96, height=64, seed=0, step=2):
    """`count` pictures of a window that moves over one large scene: each is like its neighbours, not like others."""
    scene = picture(seed, width=width + step * count, height=height)
    return [scene[:, at : at + width] for at in range(0, step * count, step)]


def scenes(*seeds, each=12, width=96, height=64):
    """Still scenes, `each` frames long, one after the other."""
    return [shown for seed in seeds for shown in [picture(seed, width=width, height=height)] * each]


def write(path, pictures, *, codec="libx264", rate=25, pix_fmt="yuv420p", times_ms=None, crf=18, sound=False, **more):
    """Encode pictures; times_ms: when each is shown, else by rate. more: stream attributes `rotation`, `aspect`, and
    `options` of the encoder. Returns the path as str."""
    options = SINGLE | ({"crf": str(crf)} if codec in ("libx264", "libx265") else {}) | more.get("options", {})
    if codec == "libx265":
        options |= {"x265-params": "log-level=none:pools=none"}
    with av.open(str(path), "w", options=more.get("container", {})) as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pix_fmt
        if "rotation" in more:
            stream.set_display_rotation(more["rotation"])
        if "aspect" in more:
            stream.codec_context.sample_aspect_ratio = more["aspect"]
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        tone = container.add_stream("aac", rate=8000, layout="mono") if sound else None
        for number, pixels in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts = number if times_ms is None else times_ms[number]
            frame.time_base = Fraction(1, rate) if times_ms is None else Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if tone is not None:
            _sound(container, tone, len(pictures) / rate)
    return str(path)


def write_sound(path, *, seconds=1.0, cover=None):
    """A file with sound alone, or with a picture as its cover."""
    with av.open(str(path), "w") as container:
        tone = container.add_stream("aac", rate=8000, layout="mono")
        if cover is not None:
            stream = container.add_stream("mjpeg")
            stream.height, stream.width = cover.shape[:2]
            stream.pix_fmt = "yuvj420p"
            stream.disposition = av.stream.Disposition.attached_pic
            packets = stream.encode(av.VideoFrame.from_ndarray(cover, format="rgb24")) + stream.encode(None)
            container.mux(packets)
        _sound(container, tone, seconds)
    return str(path)


def _sound(container, tone, seconds):
    samples = (np.sin(np.arange(int(8000 * seconds)) / 5) * 3000).astype(np.int16)[None]
    for start in range(0, samples.shape[1], 1024):
        frame = av.AudioFrame.from_ndarray(samples[:, start : start + 1024], format="s16", layout="mono")
        frame.sample_rate, frame.pts = 8000, start
        container.mux(tone.encode(frame))
    container.mux(tone.encode(None))


def decoded(path):
    """All frames by bare PyAV: [(seconds, is a key frame, pixels), …]."""
    with av.open(str(path)) as container:
        return [(f.time, bool(f.key_frame), f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
