"""``P_mip.png``: PET and CT seen from the front, side by side, lesions drawn in; for the report and for slides."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from calciflow.pages.palette import CLASS_DASHES, COMPARTMENT_COLOURS, rgb
from calciflow.pages.scan_views import (
    LESS_THAN_MM,
    MIP_PIXEL_MM,
    MIP_SUV,
    RING_MM,
    Lesion,
    Scan,
    projected_rings,
    silhouette,
)

GAP = 16
TEXT_SHARE, LEAST_TEXT, MOST_TEXT = 0.026, 14, 30
"""Size of the letters: a share of the height, so that they can be read where the picture is shown small; pixels."""
TALL = 700
"""From this height on (pixels) lines are thicker, for the same reason."""

_INK = (70, 70, 70)
_SKIN = (160, 160, 160)
_GREYS = 120
"""Grey levels: more than the eye tells apart in a projection."""


def dashed(
    draw: ImageDraw.ImageDraw, ring: NDArray[np.float64], dashes: tuple[float, ...], colour: str, thick: int
) -> None:
    """Draw a closed ring of points (n, 2) with strokes and gaps of the given lengths (pixels); solid if none."""
    points = np.vstack([ring, ring[:1]])
    if not dashes:
        draw.line([(float(x), float(y)) for x, y in points], fill=colour, width=thick, joint="curve")
        return
    along = np.r_[0.0, np.cumsum(np.hypot(*np.diff(points, axis=0).T))]
    start, drawn = 0.0, True
    turn = 0
    while start < along[-1]:
        end = min(start + dashes[turn % len(dashes)], along[-1])
        if drawn:
            inner = along[(along > start) & (along < end)]
            at = np.r_[start, inner, end]
            line = [(float(np.interp(s, along, points[:, 0])), float(np.interp(s, along, points[:, 1]))) for s in at]
            draw.line(line, fill=colour, width=thick)
        start, drawn, turn = end, not drawn, turn + 1


def draw_mip(scan: Scan, lesions: list[Lesion], pictures: dict[tuple[str, str], NDArray[np.uint8]]) -> bytes:
    """Draw the two anterior projections with the lesions' outlines, coloured by compartment, dashed by class."""
    pet, ct = pictures["pet", "coronal"], pictures["ct", "coronal"]
    height, width = pet.shape
    size = round(min(max(TEXT_SHARE * height, LEAST_TEXT), MOST_TEXT))
    margin, thick = size + 10, 3 if height >= TALL else 2
    canvas = Image.new("RGB", (2 * width + GAP, height + margin), "white")
    canvas.paste(Image.fromarray(pet), (0, margin))
    canvas.paste(Image.fromarray(ct), (width + GAP, margin))
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=size)
    for left, name in ((0, f"PET  SUV 0-{MIP_SUV:g}"), (width + GAP, "CT")):
        draw.text((left + width / 2, 3), name, fill=_INK, font=font, anchor="ma")
        draw.text((left + 3, margin), "R", fill=_INK, font=font)
        draw.text((left + width - 3, margin), "L", fill=_INK, font=font, anchor="ra")
    bar = 100.0 / MIP_PIXEL_MM
    base = height + margin - 8
    draw.line([(6, base), (6 + bar, base)], fill=_INK, width=2)
    draw.text((6 + bar / 2, base - 4), "10 cm", fill=_INK, font=font, anchor="mb")
    for ring in silhouette(scan, "coronal", MIP_PIXEL_MM):
        draw.line([(float(x) + width + GAP, float(y) + margin) for x, y in ring], fill=_SKIN, width=1)
    for lesion in sorted(lesions, key=lambda item: -item.size):
        found, middle, extent = projected_rings(scan, lesion, "coronal", MIP_PIXEL_MM)
        small = extent * MIP_PIXEL_MM < LESS_THAN_MM
        if small:
            angles = np.linspace(0, 2 * np.pi, 25)[:-1]
            radius = RING_MM / 2 / MIP_PIXEL_MM
            found = [*found, np.array(middle) + radius * np.c_[np.cos(angles), np.sin(angles)]]
        dashes = CLASS_DASHES.get(str(lesion.row["concordance"]), ())
        for left in (0, width + GAP):
            for place, ring in enumerate(found):
                if left and not (small and place == len(found) - 1):
                    draw.polygon([(float(x) + left, float(y) + margin) for x, y in ring], fill=lesion.colour)
                dashed(draw, ring + np.array([left, margin]), dashes, lesion.colour, thick)
    return encode_palette(canvas)


def encode_palette(picture: Image.Image) -> bytes:
    """Encode greys and the compartments' colours with a palette: a third of the bytes of full colour.

    Greys lose half a level; a pixel that is not grey is one of the colours, since nothing here is drawn half over.
    """
    pixels = np.asarray(picture).astype(np.int16)
    colours = np.array([rgb(colour) for colour in COMPARTMENT_COLOURS.values()])
    indices = (pixels[..., 0] * (_GREYS - 1) / 255.0 + 0.5).astype(np.uint8)
    coloured = (pixels != pixels[..., :1]).any(axis=2)
    distances = np.abs(pixels[coloured][:, None, :] - colours).sum(axis=2)
    indices[coloured] = _GREYS + distances.argmin(axis=1)
    levels = [round(step * 255 / (_GREYS - 1)) for step in range(_GREYS) for _ in range(3)]
    few = Image.frombytes("P", picture.size, indices.tobytes())
    few.putpalette(levels + colours.ravel().tolist())
    buffer = io.BytesIO()
    few.save(buffer, "PNG", compress_level=9)
    return buffer.getvalue()
