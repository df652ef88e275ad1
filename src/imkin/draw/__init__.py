"""Drawn pictures: scenes for the demo and the benchmarks, and the words and boxes of the collage.

With `image` the only importer of Pillow. Words are set in the font that Pillow brings along: accents are left
out, and characters of other scripts show as boxes.
"""

from imkin.draw.basic import canvas, encode, frame, paste, resize, shortened, text_width, write
from imkin.draw.scenes import scenes

__all__ = ["canvas", "encode", "frame", "paste", "resize", "scenes", "shortened", "text_width", "write"]
