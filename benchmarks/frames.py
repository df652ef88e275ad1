"""How near `imkin frames` comes to FFmpeg's bare decode: `python benchmarks/frames.py [VIDEO …] [--rounds N]`.

Bare is PyAV's decode loop over FFmpeg's libraries, all threads, every frame. Where the program `ffmpeg` is installed,
`ffmpeg -i VIDEO -f null -` is timed as well; of a skip its `select` filter drops frames after it has decoded them all,
so the time is the same. Ours decodes, shrinks, hashes by phash and
compares with all kept frames; the time to write what is kept stands apart, since it depends on the video. Both take
turns, so that a busy machine slows both; the figures to look at are the ratios. Without a VIDEO one is drawn.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from unittest import mock

import av
import numpy as np

from imkin import image
from imkin.sources.video_frames import Look
from imkin.stills import keep_frames
from imkin.stills_result import Choice

LOOKS = {"every frame": Look(), "--skip 10": Look(10), "--skip 100": Look(100), "--keyframes": Look(keyframes=True)}


def drawn(folder):
    """Ten seconds of 1280 x 720 pixels that move, with noise as of a camera."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[0:900, 0:1600].astype(np.float32)
    waves = sum(np.sin(x / rng.uniform(20, 200) + y / rng.uniform(20, 200)) for _ in range(5))
    scene = np.clip(128 + 20 * waves[..., None] * rng.uniform(0.5, 1.5, 3) + rng.normal(0, 6, (900, 1600, 1)), 0, 255)
    scene = scene.astype(np.uint8)
    path = os.path.join(folder, "drawn.mp4")
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "50", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for number in range(250):
            top, left = int(90 + 80 * np.sin(number / 20)), int(160 + 150 * np.sin(number / 33))
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(scene[top : top + 720, left : left + 1280]))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def bare(path):
    count = 0
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for _ in container.decode(stream):
            count += 1
    return count


def ours(path, look):
    with tempfile.TemporaryDirectory() as out, mock.patch.object(image, "encode_jpeg", lambda *_, **__: b""):
        return keep_frames([path], os.path.join(out, "frames"), Choice(look=look)).videos[0]


def program(path):
    subprocess.run(["ffmpeg", "-v", "error", "-i", path, "-an", "-f", "null", "-"], check=True)


def processor_s():
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in (own, children))


def seconds(work):
    wall, cpu = time.perf_counter(), processor_s()
    work()
    return time.perf_counter() - wall, processor_s() - cpu


def main():
    arguments = sys.argv[1:]
    rounds = int(arguments.pop(arguments.index("--rounds") + 1)) if "--rounds" in arguments else 5
    paths = [argument for argument in arguments if argument != "--rounds"]
    with tempfile.TemporaryDirectory() as folder:
        for path in paths or [drawn(folder)]:
            count = bare(path)
            print(f"{os.path.basename(path)}: {count} frames")
            decoders = {"bare decode": bare} | ({"ffmpeg": program} if shutil.which("ffmpeg") else {})
            for name, look in LOOKS.items():
                rows = []
                for _ in range(rounds):
                    row = {key: seconds(lambda p=path, d=decode: d(p)) for key, decode in decoders.items()}
                    rows.append(row | {"ours": seconds(lambda p=path, k=look: ours(p, k))})
                rate = count / statistics.median(row["ours"][0] for row in rows)
                print(f"  {name:<12} {rate:7.0f} frames/s", end="")
                for key in decoders:
                    wall, cpu = (statistics.median(row["ours"][i] / row[key][i] for row in rows) for i in (0, 1))
                    print(f"   time / {key}: wall {wall:.2f}, processor {cpu:.2f}", end="")
                print()


if __name__ == "__main__":
    main()
