"""A person as a whole: pose, body, organs and skeleton, painted on any grid."""

import zlib
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from calciflow.phantom.asymmetry import bent, share_of
from calciflow.phantom.axial_bones import costal_cartilages, girdle_bones, rib_cage, skull_bones, spine_bones, teeth
from calciflow.phantom.body import Group, groups_of
from calciflow.phantom.bones import Bone
from calciflow.phantom.canvas import BONE_MARGIN_MM, Canvas, body_volume_ml, paint_body
from calciflow.phantom.details import paint_details
from calciflow.phantom.limb_bones import arm_bones, joint_spaces, leg_bones
from calciflow.phantom.organs import cavity_of, discs, paint_head, paint_organs
from calciflow.phantom.pose import Build, Limbs, build_of, limbs_of, trunk_lofts
from calciflow.phantom.shapes import Array, Box, Loft, Shape, field, tube
from calciflow.phantom.spec import PersonSpec

_DENSITY_KG_L = 1.0
"""Mean density of a body with air in its lungs, rounded: tissue is somewhat denser than water, air makes up for it."""

_FAT_RANGE = (0.35, 5.0)
"""The leanest have 3 mm of fat on the thigh: less is seen in no patient who is not starving."""

CARTILAGE = (85.0, 0.9)
"""CT value (HU) and uptake (SUV) of cartilage without calcium. Ours: somewhat denser than muscle."""

_UPTAKE_SD = 0.10
"""Spread of uptake from bone to bone (log)."""


@lru_cache(maxsize=32)
def calibrated_build(spec: PersonSpec) -> Build:
    """Proportions whose body weighs what height and body mass index say.

    Subcutaneous fat is solved for first; a body that is still too light or heavy at its limits gets more or less
    muscle.
    """

    def volume(fat: float, muscle: float) -> float:
        rng = np.random.default_rng(0)
        build = build_of(spec, fat, muscle)
        _, skin = trunk_lofts(build)
        limbs = [limbs_of(spec, build, skin, side, rng) for side in ("right", "left")]
        return body_volume_ml(groups_of(limbs, build, rng), 10.0) / 1000

    wanted = spec.weight_kg / _DENSITY_KG_L
    muscle = 1.0
    low, high = 0.6 * build_of(spec).fat, 1.5 * build_of(spec).fat + 0.2
    fat = low
    for _ in range(4):
        a, b = volume(low, muscle), volume(high, muscle)
        fat = float(np.clip(low + (wanted - a) / (b - a) * (high - low), *_FAT_RANGE))
        got = volume(fat, muscle)
        if abs(got / wanted - 1) < 0.01:
            break
        if fat in _FAT_RANGE:
            muscle *= (wanted / got) ** 0.7  # girths grow as the square root of volume, and not everywhere
        else:
            low, high = sorted((fat, high if got < wanted else low))
    return build_of(spec, fat, muscle)


@dataclass(frozen=True)
class Person:
    """A posed person, ready to be painted."""

    spec: PersonSpec
    build: Build
    limbs: tuple[Limbs, ...]
    groups: tuple[Group, ...]
    trunk: Loft
    seed: int

    @staticmethod
    def make(spec: PersonSpec, seed: int) -> "Person":
        """Pose a person; the seed varies joints and muscle bellies a little."""
        rng = np.random.default_rng([seed, 1])
        build = calibrated_build(spec)
        trunk, skin = trunk_lofts(build)
        limbs = tuple(limbs_of(spec, build, skin, side, rng) for side in ("right", "left"))
        return Person(spec, build, limbs, tuple(groups_of(limbs, build, rng)), trunk, seed)

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Corners (RAS mm) of the body's box."""
        boxes = [part.skin.bounds() for group in self.groups for part in group.parts]
        return np.min([low for low, _ in boxes], axis=0), np.max([high for _, high in boxes], axis=0)

    def bones(self) -> tuple[list[Bone], list[Bone]]:
        """Bones of trunk, head and girdles, and those of the limbs."""
        s, sway = self.build.scale, self.spec.scoliosis_mm
        axial = [*spine_bones(s, sway), *rib_cage(s, cavity_of(self.trunk, self.build), sway), *skull_bones(s)]
        free: list[Bone] = []
        for item in self.limbs:
            axial += girdle_bones(item, s)
            free += [*arm_bones(item, s), *leg_bones(item, s)]
        return [self._bent_bone(bone) for bone in axial], [self._bent_bone(bone) for bone in free]

    def bent(self, shape: Shape, share: float = 1.0) -> Shape:
        """A shape that belongs to a bone of one side, moved as that bone is (``PersonSpec.asymmetry_mm``)."""
        return bent(shape, self.seed, share * self.spec.asymmetry_mm * self.build.scale)

    def _bent_bone(self, bone: Bone) -> Bone:
        return replace(bone, shape=self.bent(bone.shape, share_of(bone.name)))

    def _uptake(self, bone: Bone) -> float:
        """A bone's own factor of uptake, whatever else is in view."""
        rng = np.random.default_rng([self.seed, 8, zlib.crc32(bone.name.encode())])
        return float(np.exp(rng.normal(0, _UPTAKE_SD)))

    @staticmethod
    def _place(bone: Bone, canvas: Canvas) -> tuple[Box, Array] | None:
        return field(bone.shape, canvas.grid, max(BONE_MARGIN_MM, 2 * canvas.voxel))

    def paint(self, canvas: Canvas, calcium: float = 1.0) -> None:
        """Paint the person; ``calcium`` scales the CT value of bone (tube voltage)."""
        rng = np.random.default_rng([self.seed, 2])
        s = self.build.scale
        planes = 1.1 + 0.012 * self.spec.age + 0.025 * max(0.0, self.spec.bmi - 20)
        axial, free = (
            [(bone, place) for bone in bones if (place := self._place(bone, canvas))] for bones in self.bones()
        )
        paint_body(
            canvas, self.groups, [place for _, place in axial + free], planes, np.random.default_rng([self.seed, 6])
        )
        paint_details(canvas, self.groups, self.limbs, s, self.seed)
        paint_organs(canvas, self.limbs, self.trunk, self.build, rng)
        for _, course in costal_cartilages(s, cavity_of(self.trunk, self.build)):
            canvas.paint(self.bent(tube(course, 4.4 * s)), *CARTILAGE, "other", structure="costal cartilage")
        for shape in discs(s, self.spec.scoliosis_mm):
            canvas.paint(shape, 85, 0.9, "other", structure="joint or disc")
        for bone, place in axial:
            canvas.paint_bone(bone, place, calcium, self._uptake(bone))
        for item in self.limbs:
            for shape in joint_spaces(item, s):
                canvas.paint(self.bent(shape), 85, 0.9, "other", structure="joint or disc")
        for bone, place in free:
            canvas.paint_bone(bone, place, calcium, self._uptake(bone))
        paint_head(canvas, s)
        for shape in teeth(s):
            canvas.paint(shape, 1900 * calcium, 0.8, "bone", structure="teeth")
