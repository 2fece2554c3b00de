"""Draws ``lesions.jpg``: a made-up eye as ``retinagrade grade --lesions`` outlines it, and a part of it enlarged.

python docs/pictures/lesions.py
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from PIL import Image, ImageDraw, ImageFont

import retinagrade
from retinagrade.lesion_maps.outlines import COLOURS

PATIENTS, EYE, SEED = 2, "00000_left", 4
SIDE: Final = 800
PART: Final = (640, 110, 960, 430)
"""Part of the picture that is enlarged, in pixels: left, top, right, bottom."""


def draw(out: Path) -> None:
    """Draws the picture and writes it as JPEG."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        retinagrade.synthesize(folder / "eyes", count=PATIENTS, size=1024, seed=SEED)
        retinagrade.grade(folder / "eyes" / "photographs" / f"{EYE}.jpg", lesions=folder / "outlines")
        outlined = Image.open(folder / "outlines" / f"{EYE}.png").convert("RGB")
    picture = Image.new("RGB", (2 * SIDE + 8, SIDE), "white")
    whole = outlined.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    scale = SIDE / outlined.width
    ImageDraw.Draw(whole).rectangle([value * scale for value in PART], outline="white", width=3)
    picture.paste(whole, (0, 0))
    picture.paste(outlined.crop(PART).resize((SIDE, SIDE), Image.Resampling.LANCZOS), (SIDE + 8, 0))
    _write_legend(picture)
    picture.save(out, quality=85, optimize=True)


def _write_legend(picture: Image.Image) -> None:
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(26)
    left = 2 * SIDE - 280
    pen.rectangle((left, 0, 2 * SIDE + 8, 172), fill=(20, 10, 6))
    for place, (kind, colour) in enumerate(COLOURS.items()):
        top = 8 + 40 * place
        pen.ellipse((left + 18, top + 6, left + 40, top + 28), outline=colour, width=4)
        pen.text((left + 56, top), kind.replace("_", " "), fill="white", font=font)


if __name__ == "__main__":
    draw(Path(__file__).with_name("lesions.jpg"))
