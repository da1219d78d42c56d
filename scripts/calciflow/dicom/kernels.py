"""Convolution kernels: which ones enhance edges."""

SHARP_KERNELS = ("LUNG", "BONE", "EDGE", "SHARP", "DETAIL", "ULTRA", "HR", "YA", "YB", "YC", "YD", "YE")
"""Vendors' words for edge-enhancing kernels: GE BONE, LUNG, EDGE; Philips YA to YE; Siemens by number, see below."""


def kernel_is_sharp(kernel: str) -> bool:
    """Whether a convolution kernel enhances edges: HU of small deposits and noise are then exaggerated.

    Siemens names kernels by a letter and two digits, B30f, Br38, I41s: from 50 on they are sharp.
    """
    word = kernel.upper().split("\\")[0]
    if any(word.startswith(sharp) for sharp in SHARP_KERNELS):
        return True
    digits = "".join(c for c in word if c.isdigit())[:2]
    return len(digits) == 2 and word[:1].isalpha() and word[:1] in "BHIUTQ" and int(digits) >= 50
