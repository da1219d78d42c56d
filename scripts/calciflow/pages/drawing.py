"""Two-dimensional pictures: grey and colour scales, outlines as vector paths, encoding.

Pictures are arrays (rows, columns) with square pixels, first row on top. Text, outlines, letters and scale bars are
laid over them as vectors, so that they stay sharp and can be switched off.
"""

import base64
import io
from dataclasses import dataclass, field

import numpy as np
from contourpy import LineType, contour_generator
from numpy.typing import NDArray
from PIL import Image

from calciflow.pages.palette import HEAT_STOPS, rgb

JPEG_QUALITY = 88
"""Of blended colour pictures: no visible blocks, a fifth of the bytes of a lossless picture."""

HEAT_ONSET = 0.12
"""Fraction of the scale below which uptake is not laid over CT, so that the anatomy stays readable."""

HEAT_OPACITY = 0.75
"""Greatest opacity of uptake over CT."""


BARS_MM = (100.0, 50.0, 20.0, 10.0)
"""Lengths of scale bars, mm."""


@dataclass(frozen=True)
class Outline:
    """A vector outline over a picture.

    Attributes
    ----------
    path
        SVG path data in pixels of the picture.
    colour
        ``#RRGGBB``.
    dashes
        SVG ``stroke-dasharray``; empty for a solid line.
    title
        What is shown on hovering; empty for nothing.
    link
        Id of the element of the page that it leads to; empty for none.
    filled
        Whether the inside is tinted.
    strong
        Drawn with a thicker line.
    """

    path: str
    colour: str
    dashes: str = ""
    title: str = ""
    link: str = ""
    filled: bool = False
    strong: bool = False


@dataclass(frozen=True)
class View:
    """A picture with what is laid over it.

    Attributes
    ----------
    label
        What the picture shows, for screen readers.
    image
        ``data:`` URI.
    width, height
        Size in pixels.
    pixel_mm
        Size of a pixel, mm.
    letters
        Letters of orientation at the left, right, top and bottom edge.
    dark
        Whether the picture's background is dark (letters are then white).
    """

    label: str
    image: str
    width: int
    height: int
    pixel_mm: float
    letters: tuple[str, str, str, str]
    dark: bool = False
    outlines: list[Outline] = field(default_factory=list)

    @property
    def bar_mm(self) -> float:
        """Length of the scale bar, mm: a round number below a third of the picture's width."""
        fits = [length for length in BARS_MM if length <= self.width * self.pixel_mm / 3]
        return fits[0] if fits else BARS_MM[-1]

    @property
    def text_px(self) -> float:
        """Size of the letters in pixels of the picture, so that they look alike in all views."""
        return round(0.042 * max(self.width, 0.3 * self.height), 1)  # a narrow view is a high one

    @property
    def bar_px(self) -> float:
        """Length of the scale bar in pixels."""
        return round(self.bar_mm / self.pixel_mm, 1)


def grey(values: NDArray[np.generic], low: float, high: float, inverse: bool = False) -> NDArray[np.uint8]:
    """Map values between ``low`` and ``high`` to grey levels; NaN becomes the scale's lower end."""
    levels = (np.asarray(values, np.float32) - low) * (255.0 / (high - low))
    np.nan_to_num(levels, copy=False, nan=0.0, posinf=255.0, neginf=0.0)
    picture = np.clip(levels + 0.5, 0, 255).astype(np.uint8)
    return 255 - picture if inverse else picture


def heat(values: NDArray[np.generic], high: float) -> NDArray[np.uint8]:
    """Map values from 0 to ``high`` to the heat scale: (..., 3), 0 to 255."""
    stops = np.array([rgb(colour) for colour in HEAT_STOPS], float)
    table = np.array(
        [
            np.interp(np.linspace(0, len(stops) - 1, 256), np.arange(len(stops)), stops[:, channel])
            for channel in range(3)
        ]
    ).T.astype(np.uint8)
    return table[grey(values, 0.0, high)]


def fuse(base: NDArray[np.uint8], suv: NDArray[np.generic], high: float) -> NDArray[np.uint8]:
    """Lay uptake over a grey picture: (rows, columns, 3). NaN (outside the PET) leaves the base as it is."""
    fraction = np.nan_to_num(np.asarray(suv, np.float32) / high, nan=0.0)
    opacity = np.clip((fraction - HEAT_ONSET) / (0.5 - HEAT_ONSET), 0, 1)[..., None] * HEAT_OPACITY
    mixed = base[..., None] * (1 - opacity) + heat(suv, high) * opacity
    return (mixed + 0.5).astype(np.uint8)


def paint(
    base: NDArray[np.uint8], labels: NDArray[np.integer], colours: dict[int, str], opacity: float
) -> NDArray[np.uint8]:
    """Tint a grey picture by its labels: (rows, columns, 3). Labels without a colour stay grey."""
    table = np.zeros((256, 3), np.float32)
    known = np.zeros(256, bool)
    for label, colour in colours.items():
        table[label] = rgb(colour)
        known[label] = True
    picture = np.repeat(base[..., None], 3, axis=2).astype(np.float32)
    inside = known[labels]
    picture[inside] = picture[inside] * (1 - opacity) + table[labels[inside]] * opacity
    return (picture + 0.5).astype(np.uint8)


def rings(mask: NDArray[np.generic]) -> list[NDArray[np.float64]]:
    """Outlines of a mask (values 0 to 1, edge at 0.5): closed rings of points (n, 2), (column, row) of pixel corners.

    The mask is framed with zeros, so that what touches the border is closed too.
    """
    framed = np.pad(np.asarray(mask, np.float64), 1)
    found = contour_generator(z=framed, line_type=LineType.Separate).lines(0.5)
    # contourpy counts pixel centres; pixel 0 of the picture is pixel 1 of the frame and its centre lies at 0.5.
    return [np.asarray(ring) - 0.5 for ring in found]


def path_of(found: list[NDArray[np.float64]]) -> str:
    """SVG path data of closed rings, to a tenth of a pixel; points that repeat are left out."""
    parts = []
    for ring in found:
        points = np.round(ring, 1)
        points = points[np.r_[True, np.any(np.diff(points, axis=0) != 0, axis=1)]]
        parts.append("M" + "L".join(f"{x:g},{y:g}" for x, y in points) + "Z")
    return "".join(parts)


def encode_png(picture: NDArray[np.uint8]) -> bytes:
    """Encode a grey or RGB picture losslessly. The same picture gives the same bytes."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "PNG", compress_level=9)
    return buffer.getvalue()


def encode_jpeg(picture: NDArray[np.uint8]) -> bytes:
    """Encode an RGB picture with full colour resolution."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def data_uri(content: bytes, kind: str) -> str:
    """Put bytes into a ``data:`` URI, ``kind`` being the media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def picture_uri(picture: NDArray[np.uint8]) -> str:
    """Encode a picture for a page: grey ones as PNG, coloured ones as JPEG."""
    if picture.ndim == 2:
        return data_uri(encode_png(picture), "image/png")
    return data_uri(encode_jpeg(picture), "image/jpeg")
