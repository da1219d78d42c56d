"""Lesions measured anew inside outlines that a reader gave, by the rules that measure the machine's own."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calciflow.deposits.crop import CtCrop, rim_of
from calciflow.deposits.ct import MARGIN_MM, CtRules, Deposit, measure_deposit
from calciflow.deposits.diffuse import DIFFUSE_ML
from calciflow.deposits.match import Part
from calciflow.deposits.metal import metal_voxels
from calciflow.deposits.reference import ct_blur, slice_noise
from calciflow.deposits.rows import Facts, lesion_rows
from calciflow.deposits.scene import PetScene, build_scene
from calciflow.deposits.status import PetEvidence, StatusRules, weigh_deposits
from calciflow.deposits.uncertain import released_bone
from calciflow.errors import ScanError
from calciflow.images import Volume
from calciflow.labels import TISSUES
from calciflow.lesions import Rules
from calciflow.mapping import Mapping as PetMapping
from calciflow.measure.boxes import Box, box_of, grow, offset

CALCIUM_SHARE = 0.3
"""A new outline with at least that share over the CT threshold is drawn around calcium; with less, calcium is a core
in what is drawn around uptake. Ours: the blurred rim of a 5 mm deposit in 3 mm slices is half of its half-maximum
contour."""

CALCIUM_ML = 0.005
"""Calcium of a new outline that is no more than a speck of noise does not count: as the machine's smallest deposit."""

HALF = 0.5


@dataclass(frozen=True)
class ScanImages:
    """A scan's images, maps and constants.

    Attributes
    ----------
    ct, suv
        HU and g/ml.
    tissues, regions
        Label maps on the CT's grid.
    anatomy, reference
        ``desc-tissues.json``, and ``reference`` of ``desc-candidates_lesions.json``.
    mapping
        Where CT points lie in the PET.
    slice_mm
        Slice thickness of the CT, if known.
    """

    ct: Volume
    suv: Volume
    tissues: NDArray[np.uint8]
    regions: NDArray[np.uint8]
    anatomy: Mapping[str, Any]
    reference: Mapping[str, Any]
    mapping: PetMapping
    slice_mm: float | None
    scan: Mapping[str, Any]


@dataclass(frozen=True)
class Outline:
    """A lesion's outline on the CT's grid: its parts on CT and on PET, in one crop."""

    number: int
    box: Box
    ct: NDArray[np.bool_] | None
    pet: NDArray[np.bool_] | None

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Both parts together."""
        if self.ct is None:
            assert self.pet is not None
            return self.pet
        return self.ct if self.pet is None else self.ct | self.pet


class Measurer:
    """Measures outlines of one scan; what all of them need is prepared once."""

    def __init__(self, images: ScanImages, rules: Rules) -> None:
        self.images = images
        self.rules = rules
        ct = images.ct
        self.tissues = released_bone(images.tissues, ct, images.anatomy.get("uncertain_bone") or [])
        self.bone = self.tissues == TISSUES["bone"]
        reference = images.reference
        self.threshold = float(reference.get("hu_threshold") or rules.hu_floor)
        noise = slice_noise(ct.array, self.tissues, images.anatomy.get("noise_hu"))
        self.ct_rules = CtRules(
            np.full(len(ct.array), self.threshold, np.float32),
            noise,
            ct_blur(ct, self.tissues, images.slice_mm),
            0.0,
            rules.merge_mm,
            np.array(list(metal_voxels(ct.array, self.tissues)), int),
        )
        fwhm = float(reference["pet_fwhm_mm"])
        self.scene: PetScene | None = build_scene(images.suv, ct, self.tissues, images.regions, images.mapping, fwhm)

    def outlines(
        self, labels: NDArray[np.uint16], rows: Mapping[int, Mapping[str, Any]], classes: Mapping[int, str]
    ) -> dict[int, Outline]:
        """Tell the CT part and the PET part of every label.

        Parameters
        ----------
        labels
            Label map on the CT's grid.
        rows
            What is known of the lesions, by number; of a new one nothing.
        classes
            Concordance that a reader gave, by number.
        """
        found = {}
        for number, box in enumerate(ndimage.find_objects(labels), 1):
            if box is None:
                continue
            own = labels[box] == number
            row = rows.get(number) or {}
            hu = self.images.ct.array[box]
            before = row.get("concordance")
            threshold = row.get("ct_threshold_hu")
            level = self.threshold if threshold is None or threshold != threshold else float(threshold)
            dense = own & (hu >= level)
            if before is None:
                calcium = float(dense.sum()) * self.images.ct.voxel_ml >= CALCIUM_ML
                narrow = float(dense.sum()) < CALCIUM_SHARE * float(own.sum())
                ct = None if not calcium else (dense if narrow else own)
                pet = own if ct is None or narrow else None
            else:
                # Where uptake was drawn around calcium, its contour's lowest HU tells the two apart.
                ct = None if before == "CT-PET+" else (own if before == "CT+PET-" or not dense.any() else dense)
                pet = own if str(before).endswith("PET+") else None
            kind = classes.get(number)
            if kind is not None:
                ct = None if kind == "CT-PET+" else (ct if ct is not None else (dense if dense.any() else own))
                pet = None if kind == "CT+PET-" else (pet if pet is not None else own)
            found[number] = Outline(number, box, ct, pet)
        return found

    def measure(
        self, outlines: Mapping[int, Outline], changed: Iterable[int], classes: Mapping[int, str]
    ) -> dict[int, dict[str, Any]]:
        """Rows of the changed lesions, with the columns that the stage ``lesions`` measures.

        All outlines are needed: neighbours share uptake and background.

        Raises
        ------
        ScanError
            An outline that lies outside the body, or in bone altogether.
        """
        wanted = [number for number in changed if number in outlines]
        if not wanted:
            return {}
        order = [outline for outline in outlines.values() if outline.ct is not None]
        deposits = self._deposits(order)
        places = {outline.number: index for index, outline in enumerate(order)}
        free = [
            # Where uptake without calcium fills so much, it is the ground that its neighbours lie on.
            Part(None, -1, voxels, diffuse=float(outline.pet.sum()) * self.images.ct.voxel_ml >= DIFFUSE_ML)
            for outline in outlines.values()
            if outline.ct is None and outline.pet is not None and (voxels := self._on_pet(outline)) is not None
        ]
        evidence = [PetEvidence() for _ in deposits]
        fitted: list[Part] = []
        if self.scene is not None:
            points = [
                self.scene.suv.index(self.images.mapping.ct_to_pet(self.images.ct.world(deposit.voxels)))
                for deposit in deposits
            ]
            evidence, fitted = weigh_deposits(deposits, points, [], list(free), self.scene, self._status())
        chosen: list[Deposit] = []
        seen: list[PetEvidence] = []
        parts: list[Part] = []
        for number in wanted:
            outline = outlines[number]
            index = None
            if outline.ct is not None:
                index = len(chosen)
                chosen.append(deposits[places[number]])
                seen.append(evidence[places[number]])
                drawn = self._on_pet(outline) if outline.pet is not None else None
                if drawn is not None:
                    seen[index].status = "positive"
                    parts.append(Part(index, -1, drawn))
                elif classes.get(number) != "CT+PET-":
                    parts += [Part(index, -1, p.voxels) for p in fitted if p.deposit == places[number]]
                elif seen[index].status == "positive":
                    seen[index].status = "indeterminate"  # the reader sees no uptake where the fit does
            else:
                drawn = self._on_pet(outline)
                if drawn is None:
                    raise ScanError(f"{self._name(outline)} has no calcium, and lies outside the PET")
                parts.append(Part(None, -1, drawn))
        bone = self.bone.copy()
        for outline in order:
            assert outline.ct is not None
            bone[outline.box] &= ~outline.ct  # a deposit that the machine took for bone is none
        facts = Facts(
            self.images.ct,
            self.images.suv,
            self.tissues,
            self.images.regions,
            bone,
            self.images.mapping,
            self.scene,
            float(self.images.reference["hydroxyapatite_mg_per_hu_ml"]),
            self.rules.suv_peak,
            dict(self.images.scan),
        )
        rows, painted = lesion_rows(chosen, seen, [], parts, facts, Counter())
        return {number: self._row(outlines[number], rows, painted) for number in wanted}

    def _row(self, outline: Outline, rows: list[dict[str, Any]], painted: NDArray[np.uint16]) -> dict[str, Any]:
        """Find the row that was measured in an outline: its label is the most frequent one there."""
        core = outline.ct if outline.ct is not None else outline.mask
        inside = np.bincount(painted[outline.box][core], minlength=1)
        inside[0] = 0
        if not inside.any():
            raise ScanError(f"{self._name(outline)} lies outside the body or in bone")
        return {**rows[int(inside.argmax()) - 1], "lesion_id": outline.number}

    def _name(self, outline: Outline) -> str:
        x, y, z = self.images.ct.world((np.argwhere(outline.mask) + offset(outline.box)).mean(axis=0, keepdims=True))[0]
        return f"label {outline.number} of the corrected mask, at x {x:.0f}, y {y:.0f}, z {z:.0f} mm,"

    def _status(self) -> StatusRules:
        rules, tolerance = self.rules, float(self.images.reference["tolerance_mm"])
        level = {"SUV10": 10.0, "SUV15": 15.0, "absolute": rules.suv_absolute}.get(rules.pet_threshold)
        return StatusRules(
            rules.positive_z, rules.negative_ratio, rules.bone_spill_max, rules.pet_rise, tolerance, level
        )

    def _deposits(self, outlines: list[Outline]) -> list[Deposit]:
        """Measure the CT parts; a part's neighbours are no background of it."""
        ct = self.images.ct
        taken = np.zeros(ct.array.shape, np.uint16)
        for outline in outlines:
            assert outline.ct is not None
            taken[outline.box][outline.ct] = outline.number
        deposits = []
        for outline in outlines:
            tight = box_of(taken[outline.box] == outline.number)
            assert tight is not None
            start = offset(outline.box)
            inner: Box = tuple(slice(p.start + a, p.stop + a) for p, a in zip(tight, start, strict=True))  # type: ignore[assignment]
            box = grow(inner, MARGIN_MM, ct.spacing, ct.array.shape)
            mask = taken[box] == outline.number
            skeleton = self.bone[box] & ~mask
            steady = ~np.isin(np.arange(box[0].start, box[0].stop), self.ct_rules.streaked)
            rim, blur_mm = rim_of(skeleton, ct.spacing), self.ct_rules.blur_mm
            crop = CtCrop(ct.array[box], self.tissues[box], skeleton, rim, steady, ct.spacing, blur_mm)
            deposit = measure_deposit(crop, mask, (taken[box] > 0) & ~mask)
            deposit.box = box
            deposit.peak = tuple(int(v) for v in np.array(deposit.peak) + offset(box))  # type: ignore[assignment]
            deposits.append(deposit)
        return deposits

    def _on_pet(self, outline: Outline) -> NDArray[np.int64] | None:
        """PET voxels that an outline fills by half or more; the fullest one if there is none, None outside the PET."""
        if self.scene is None or outline.pet is None:
            return None
        ct, pet = self.images.ct, self.scene.suv
        places = np.argwhere(outline.pet) + offset(outline.box)
        index = np.round(pet.index(self.images.mapping.ct_to_pet(ct.world(places)))).astype(np.int64)
        index = index[((index >= 0) & (index < np.array(pet.array.shape))).all(axis=1)]
        if not len(index):
            return None
        voxels, counts = np.unique(index, axis=0, return_counts=True)
        share = counts * ct.voxel_ml / pet.voxel_ml
        full: NDArray[np.int64] = voxels[share >= min(HALF, float(share.max()))]
        return full
