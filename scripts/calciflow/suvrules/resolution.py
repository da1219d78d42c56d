"""Spatial resolution of a PET image, as far as its header tells."""

import math
import re
from collections.abc import Mapping
from typing import Any

from calciflow.suvrules.values import words

ASSUMED_FWHM_MM = 6.0
"""Whole-body PET as reconstructed in clinics has 5 to 7 mm; the middle of it, ours."""
SCANNER_FWHM_MM = 4.5
"""Resolution before a post filter: 4.0 to 5.0 mm at 1 cm for scanners in use (NEMA NU 2; Biograph mCT 4.4 mm,
Jakoby 2011, doi 10.1088/0031-9155/56/8/004)."""
_LEGAL_FILTER_MM = (0.5, 15.0)


def resolution(header: Mapping[str, Any]) -> tuple[float, str]:
    """Full width at half maximum in mm, and where the number comes from.

    A Gaussian post filter named in ConvolutionKernel (0018,1210), such as ``XYZ Gauss5.00``, is added in quadrature
    to the scanner's own resolution; otherwise a usual value is assumed. The voxels' own size is not included.
    """
    text = " ".join(words(header.get("kernel")))
    match = re.search(r"GAUSS(?:IAN)?[ :_-]*(\d{1,2}(?:\.\d+)?)", text)
    if match and _LEGAL_FILTER_MM[0] <= float(match[1]) <= _LEGAL_FILTER_MM[1]:
        width = math.hypot(SCANNER_FWHM_MM, float(match[1]))
        return round(width, 2), f"{SCANNER_FWHM_MM} mm of the scanner, assumed, and ConvolutionKernel (0018,1210)"
    return ASSUMED_FWHM_MM, "assumed"
