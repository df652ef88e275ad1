"""Which edited copies `imkin group --videos` finds: `python benchmarks/videos.py FOLDER`.

FOLDER holds videos that are strangers to each other; of each the first 40 seconds are taken. They are edited with the
program `ffmpeg`, one edit a copy; printed is, for each edit, how many of the copies are found as a direct pair of their
original, and the least similarity of those. Each is also cut into thirds, which are other recordings by the same
camera: no two of them may be a pair, nor may any two files of different videos.
"""

import os
import subprocess
import sys
import tempfile
import time

from imkin.sources import video
from imkin.videos import group_videos

CODED = ("-an", "-c:v", "libx264", "-preset", "superfast", "-threads", "2")
LONGEST_S = 40
TRIM_S = 5
EDITS = {
    "recompressed": ("-crf", "38"),
    "half size, gray": ("-vf", "scale=trunc(iw/4)*2:trunc(ih/4)*2,format=gray"),
    "border of 15 %": ("-vf", "pad=iw*1.3:ih*1.3:(ow-iw)/2:(oh-ih)/2:blue"),
    "logo": ("-vf", "drawbox=x=iw*0.75:y=ih*0.05:w=iw*0.2:h=ih*0.12:color=red:t=fill"),
    "banner of 30 %": ("-vf", "drawbox=x=0:y=ih*0.7:w=iw:h=ih*0.3:color=red:t=fill"),
    "5 % faster": ("-vf", "setpts=PTS/1.05"),
    "5 % slower": ("-vf", "setpts=PTS/0.95"),
    "mirrored": ("-vf", "hflip"),
    "crop to 90 %": ("-vf", "crop=iw*0.9:ih*0.9"),
    "crop to 70 %": ("-vf", "crop=iw*0.7:ih*0.7"),
}


def ffmpeg(source, target, *options, before=()):
    command = ["ffmpeg", "-v", "error", "-y", *before, "-i", source, *CODED, *options, target]
    subprocess.run(command, check=True, timeout=300)


def write_copies(source, folder, number):
    """Copies and thirds of a video as {path: (video, edit)}."""
    made = {}
    for edit, options in EDITS.items():
        path = os.path.join(folder, f"{number}-{edit.replace(' ', '-').replace('%', 'percent')}.mp4")
        ffmpeg(source, path, *options)
        made[path] = number, edit
    length = video.facts(source, max_pixels=1 << 30).duration_s
    for at in (0.25, 0.75):
        path = os.path.join(folder, f"{number}-trim-{at}.mp4")
        start = max(0.0, at * length - TRIM_S / 2)
        ffmpeg(source, path, before=("-ss", str(start), "-t", str(TRIM_S)))
        made[path] = number, f"{TRIM_S} s at {at:.0%}"
    for third in range(3):
        path = os.path.join(folder, f"{number}-third-{third}.mp4")
        ffmpeg(source, path, before=("-ss", str(third * length / 3), "-t", str(length / 3)))
        made[path] = number, f"third {third}"
    return made


def main():
    sources = list(video.walk([sys.argv[1]]))
    with tempfile.TemporaryDirectory() as folder:
        known = {}
        for number, source in enumerate(sources):
            original = os.path.join(folder, f"{number}-original.mp4")
            ffmpeg(source, original, "-crf", "18", before=("-t", str(LONGEST_S)))
            known[original] = number, "original"
            known |= write_copies(original, folder, number)
        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        result = group_videos([folder])
    wall_s, cpu_s = time.perf_counter() - start_s, time.process_time() - start_cpu_s
    print(f"{len(known)} videos: {wall_s:.0f} s, processor {cpu_s:.0f} s")
    found = {}
    for pair in (pair for group in result.groups for pair in group.pairs):
        (one, a), (other, b) = known[pair.a], known[pair.b]
        if one != other or (a[:5] == b[:5] == "third"):
            print(f"FALSE: {pair.a} and {pair.b}, similarity {pair.similarity}")
        elif "original" in (a, b):
            found.setdefault(b if a == "original" else a, []).append((pair.similarity, one))
    for edit in dict.fromkeys(edit for _, edit in known.values() if edit != "original"):
        similar = found.get(edit, [])
        lost = sorted(set(range(len(sources))) - {one for _, one in similar})
        names = "; not: " + ", ".join(os.path.basename(sources[one]) for one in lost) if lost else ""
        least = min(similar, default=(0.0, 0))[0]
        print(f"{edit:<16} {len(similar)} of {len(sources)}, least {least:.3f}{names}")


if __name__ == "__main__":
    main()
