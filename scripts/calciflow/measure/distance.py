"""Distances from a lesion to bone and to the outside of the body, exact nearby and on a coarse grid far off."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from calciflow.measure.boxes import Box, Spacing, box_of, distance_to, grow, inside, offset

LOOKS_MM = (8.0, 25.0)
"""Crops around a lesion in which distances are exact; the wide one costs ten times the narrow."""

COARSE_MM = 4.0


@dataclass
class Distances:
    """Distance to a set of voxels of a large grid.

    Attributes
    ----------
    target
        Voxels whose distance is asked for, on the whole grid.
    spacing
        Voxel size in mm, (z, y, x).
    """

    target: NDArray[np.bool_]
    spacing: Spacing
    _coarse: NDArray[np.float32] | None = field(default=None, repr=False)

    def nearest(self, mask: NDArray[np.bool_], box: Box) -> float:
        """Smallest distance in mm from a lesion to the target, between the faces of their voxels.

        Parameters
        ----------
        mask
            The lesion in its crop.
        box
            The crop's place in the grid.

        Returns
        -------
        float
            0 where they touch; NaN if the grid holds no target.
        """
        tight = box_of(mask)
        if tight is None:
            return float("nan")
        own: Box = tuple(  # type: ignore[assignment]
            slice(outer.start + inner.start, outer.start + inner.stop) for outer, inner in zip(box, tight, strict=True)
        )
        near = np.inf
        for reach in LOOKS_MM:
            wide = grow(own, reach, self.spacing, self.target.shape)
            place = inside(own, wide)
            near = float(distance_to(self.target[wide], self.spacing)[place][mask[tight]].min())
            if near <= reach:
                break
        else:
            near = self._far(np.argwhere(mask[tight]) + offset(own))
        # Centres of touching voxels are one voxel apart, their faces are not.
        return float(max(0.0, near - min(self.spacing[1:]))) if np.isfinite(near) else float("nan")

    def _far(self, voxels: NDArray[np.int64]) -> float:
        steps = [max(1, round(COARSE_MM / step)) for step in self.spacing]
        if self._coarse is None:
            thin = np.pad(self.target, [(0, -size % step) for size, step in zip(self.target.shape, steps, strict=True)])
            for axis in (2, 1, 0):
                parts = [
                    thin[tuple(slice(k, None, steps[axis]) if a == axis else slice(None) for a in range(3))]
                    for k in range(steps[axis])
                ]
                thin = np.logical_or.reduce(parts)
            wide = tuple(step * size for step, size in zip(steps, self.spacing, strict=True))
            self._coarse = distance_to(thin, (wide[0], wide[1], wide[2]))
        return float(self._coarse[tuple((voxels // np.array(steps)).T)].min())
