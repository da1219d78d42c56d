"""Which PET and which CT: rules in a fixed order, each with a reason that a person can check."""

from collections.abc import Callable
from dataclasses import dataclass, field

from calciflow.dicom.candidates import forced, listed, rows_of, rows_to_write, unusable
from calciflow.dicom.headers import Header
from calciflow.dicom.join import chains, join
from calciflow.dicom.kernels import kernel_is_sharp
from calciflow.dicom.leftovers import check_leftovers
from calciflow.dicom.series import Group
from calciflow.errors import Refusal

Reasons = dict[int, tuple[str | None, str]]

SAME_EXTENT = 0.05
"""PET volumes whose lengths differ by less cover the same (a bed position is 10 to 20 % of a body). Ours."""
SAME_COVERAGE = 0.02
"""The same for the part of the PET that a CT covers. Ours."""
OTHER_EXAMINATION = 0.5
"""PET of another day is a rival from this part of the longest PET's length on; shorter, it is a detail view. Ours."""
OTHER_PIECE = 0.25
"""PET of the same day in another frame of reference, from this part on, is a piece of the body that must not be lost
(legs after turning the patient); shorter, it is a detail view that is left out with a warning. Ours."""
MINIMUM_PIECE = 0.5
"""PET of the same frame of reference that lies by this part of its length outside the chosen one is a piece. Ours."""


@dataclass
class Choice:
    """The outcome: chosen groups and a reason for every group; ``without_ct`` says why there is no CT."""

    pet: Group
    ct: Group | None
    without_ct: Refusal | None = None
    reasons: Reasons = field(default_factory=dict)
    warnings: list[tuple[str, str]] = field(default_factory=list)


def _best(
    groups: list[Group],
    rules: list[tuple[str, Callable[[Group], float], float]],
    reasons: Reasons,
) -> list[Group]:
    """Apply preferences in turn (higher is better, within a tolerance equal); note why each other group fell out."""
    left = list(groups)
    for words, value, tolerance in rules:
        top = max(value(g) for g in left)
        kept = [g for g in left if value(g) >= top - tolerance]
        for g in left:
            if not any(g is other for other in kept):
                for piece in g.pieces or (g,):
                    reasons[piece.number] = (None, words)
        left = kept
    return left


def _derived(item: Group) -> float:
    words = item.first.image_type
    return float("ORIGINAL" in words[:1]) + 0.5 * float("PRIMARY" in words[1:2])


UNIT_ORDER = ("BQML", "GML", "CM2ML", "CNTS")


def _unit_rank(item: Group) -> float:
    return -float(UNIT_ORDER.index(item.first.units)) if item.first.units in UNIT_ORDER else -float(len(UNIT_ORDER))


def choose(
    groups: list[Group], *, ct_series: str | None = None, pet_series: str | None = None, who: str = ""
) -> Choice:
    """Choose the attenuation-corrected whole-body PET and the CT that belongs to it.

    PET, in this order: attenuation corrected, static slices; the longest; original before derived; Bq/ml before other
    units; the smaller voxels. CT: same patient and frame of reference; the best coverage of the PET's length; original
    axial before derived; no contrast agent before one (contrast in vessels and bowel reads like deposits); a soft
    kernel before a sharp one; thinner slices; the wider field of view. What remains equal is refused as ambiguous, with
    the candidates' rows. ``who`` (participant and session) stands before the rows of scans.tsv that a sentence gives.

    Raises
    ------
    Refusal
        If there is no such PET; its ``reasons`` (see :attr:`Choice.reasons`) are attached as attribute ``reasons``.
    """
    reasons: Reasons = {}
    warnings: list[tuple[str, str]] = []
    try:
        for item in groups:
            why = unusable(item)
            if why is not None:
                reasons[item.number] = (None, why[1])
        pets = [g for g in groups if g.is_pet and g.source != "ct_source"]
        cts = [g for g in groups if g.is_ct and g.source != "pet_source"]
        pet = forced(pets, pet_series, "PET") if pet_series else _choose_pet(warnings, pets, reasons, who)
        if pet.fault is not None:
            raise named(pet)
        if len({_person(h) for h in pet.headers}) > 1:
            raise Refusal("identity_mismatch", f"The images of PET row {pet.number} name several patients: check them.")
        check_leftovers(warnings, groups, pet, bool(pet_series))
        _note(reasons, pet, "pet", "named in the sheet" if pet_series else "attenuation-corrected whole-body PET")
        choice = Choice(pet, None, None, reasons, warnings)
        for other in pets:
            reasons.setdefault(other.number, (None, "another PET was named in the sheet"))
        try:
            choice.ct = forced(cts, ct_series, "CT") if ct_series else _choose_ct(cts, pet, reasons)
            _check_pair(choice, bool(ct_series))
        except Refusal as refusal:
            choice.ct, choice.without_ct = None, refusal
        if choice.ct is not None:
            check_leftovers(warnings, groups, choice.ct, bool(ct_series))
            _note(reasons, choice.ct, "ct", "named in the sheet" if ct_series else "best fit to the PET")
    except Refusal as refusal:
        refusal.reasons = reasons  # type: ignore[attr-defined]
        raise
    for item in groups:
        reasons.setdefault(item.number, (None, "another series was preferred"))
    return choice


def _person(header: Header) -> str:
    """What tells patients apart: the id; the name where there is none (it is spelt in too many ways otherwise)."""
    return header.patient[0] or header.patient[1]


def _note(reasons: Reasons, item: Group, kind: str, words: str) -> None:
    for piece in item.pieces or (item,):
        others = rows_of([p for p in item.pieces if p is not piece])
        reasons[piece.number] = (kind, f"{words}, joined with row {others}" if others else words)


def named(item: Group) -> Refusal:
    """The refusal for a series that would be taken but for its fault."""
    assert item.fault is not None
    kind = "PET" if item.is_pet else "CT"
    hint = ""
    if item.siblings > 1:
        hint = f" The series falls into {item.siblings} parts that differ in matrix, pixel size, orientation or kind."
    return Refusal(item.fault.code, f"{kind} series, row {item.number}: {item.fault.reason}{hint}")


def _choose_pet(choice_warnings: list[tuple[str, str]], pets: list[Group], reasons: Reasons, who: str) -> Group:
    usable = [g for g in pets if unusable(g) is None]
    if not usable:
        _refuse_pets(pets)
    patients = {_person(g.first) for g in usable}
    if len(patients) > 1:
        raise Refusal(
            "identity_mismatch",
            f"The source holds PET of {len(patients)} patients: give each a source of their own, or name `pet_series`.",
        )
    sound = [g for g in usable if g.fault is None]
    if not sound:
        raise named(usable[0])
    candidates = [run[0] if len(run) == 1 else join(run) for run in chains(sound)]
    # A faulty series is preferred if it might be the longest: a shorter one instead of it would be a wrong answer.
    longest = max((g.extent for g in candidates), default=0.0)
    for item in usable:
        if item.fault is not None:
            reasons[item.number] = (None, item.fault.reason)
            if _rough_extent(item) > longest * (1 - SAME_EXTENT):
                raise named(item)
    _check_others(choice_warnings, candidates, longest, who)
    left = _best(
        candidates,
        [
            ("shorter than the PET that was taken", lambda g: g.extent, SAME_EXTENT * longest),
            ("derived, an original is there", _derived, 0.0),
            ("other units are preferred (Bq/ml, then SUV, then counts)", _unit_rank, 0.0),
            ("larger voxels", lambda g: -g.voxel, 1e-3 * max(g.voxel for g in candidates)),
        ],
        reasons,
    )
    if len(left) > 1:
        _equal(left, reasons)
        raise Refusal("ambiguous", f"PET series fit equally well, {listed(left)}: name one in `pet_series`.")
    _check_pieces(left[0], sound, who)
    return left[0]


def _refuse_pets(pets: list[Group]) -> None:
    if not pets:
        raise Refusal("no_pet", "The source holds no PET images (modality PT): add them, or name `pet_source`.")
    codes = [unusable(g) for g in pets]
    if any(c and c[0] == "geometry" for c in codes):
        raise Refusal("geometry", "The attenuation-corrected PET has too few slices: send the whole series.")
    raise Refusal(
        "no_ac_pet",
        f"None of the {len(pets)} PET series is attenuation corrected, static and made of slices: send that one.",
    )


def _check_others(warnings: list[tuple[str, str]], candidates: list[Group], longest: float, who: str) -> None:
    """Refuse, or warn of, PET of other examinations and of other frames of reference: they are not interchangeable."""
    top = max(candidates, key=lambda g: g.extent)
    for item in candidates:
        one, two = top.first, item.first
        if one.frame_uid == two.frame_uid and one.study_uid == two.study_uid:
            continue
        same_day = one.study_uid == two.study_uid or (one.study_date == two.study_date and bool(one.study_date))
        if not same_day and item.extent > OTHER_EXAMINATION * longest:
            raise Refusal(
                "ambiguous",
                f"PET series of several examinations fit, {listed([top, item])}: name one in `pet_series`, or "
                "separate them.",
            )
        if same_day and item.extent > OTHER_PIECE * longest:
            raise Refusal(
                "pieces",
                f"PET rows {rows_of([top, item])} have different frames of reference (0020,0052): "
                f"{rows_to_write(_frames(candidates, top, longest), who)}.",
            )
        if same_day:
            text = f"PET row {item.number}, {item.extent:.0f} mm long, has another frame of reference and was left out."
            warnings.append(("pieces", text))


def _check_pieces(pet: Group, sound: list[Group], who: str) -> None:
    """Refuse to leave out PET of the same frame of reference that reaches where the chosen one does not."""
    box = pet.box
    assert box is not None
    for item in sound:
        other = item.box
        if other is None or item in (pet, *pet.pieces) or item.first.frame_uid != pet.first.frame_uid:
            continue
        beyond = max(box[0, 2] - other[0, 2], other[1, 2] - box[1, 2])
        if item.first.frame_uid and beyond > MINIMUM_PIECE * (other[1, 2] - other[0, 2]):
            raise Refusal(
                "pieces",
                f"PET row {item.number} reaches {beyond:.0f} mm beyond row {pet.number}, but the two cannot be joined "
                "(matrix, pixel size, increment, units or overlap differ): send them as one reconstruction, or "
                f"{rows_to_write([pet, item], who)}.",
            )


def _frames(candidates: list[Group], top: Group, longest: float) -> list[Group]:
    """The longest PET of each frame of reference of the day, the longest first."""
    found = {top.first.frame_uid: top}
    for item in sorted(candidates, key=lambda g: (-g.extent, g.number)):
        same_day = item.first.study_uid == top.first.study_uid or item.first.study_date == top.first.study_date
        if same_day and item.extent > OTHER_PIECE * longest:
            found.setdefault(item.first.frame_uid, item)
    return list(found.values())


def _equal(left: list[Group], reasons: Reasons) -> None:
    for item in left:
        for piece in item.pieces or (item,):
            others = rows_of([other for other in left if other is not item])
            reasons[piece.number] = (None, f"a candidate that fits as well as row {others}")


def _rough_extent(item: Group) -> float:
    """Length from the outermost positions, for a group without a sound grid."""
    heights = [h.position[2] for h in item.headers if h.position is not None]
    return max(heights) - min(heights) if heights else 0.0


def coverage(pet: Group, ct: Group) -> float:
    """Fraction of the PET's length that the CT covers."""
    one, two = pet.box, ct.box
    if one is None or two is None:
        return 0.0
    low, high = max(one[0, 2], two[0, 2]), min(one[1, 2], two[1, 2])
    return float(max(0.0, high - low) / (one[1, 2] - one[0, 2]))


def _choose_ct(cts: list[Group], pet: Group, reasons: Reasons) -> Group:
    if not cts:
        raise Refusal("no_ct", "The source holds no CT images: add them, or name `ct_source`.")
    usable = [g for g in cts if unusable(g) is None]
    if not usable:
        raise Refusal(
            "no_ct", f"None of the {len(cts)} CT series is a volume of slices: send the axial CT of the PET/CT."
        )
    same = [g for g in usable if _same_frame(g, pet)]
    for item in usable:
        if item not in same:
            reasons[item.number] = (None, "another frame of reference than the PET")
    if not same:
        raise Refusal(
            "frame_of_reference",
            f"No CT shares the frame of reference (0020,0052) of the PET: rows {rows_of(usable)} do not; "
            "name one in `ct_series` if they are aligned all the same.",
        )
    sound = [g for g in same if g.fault is None]
    for item in same:
        if item.fault is not None:
            reasons[item.number] = (None, item.fault.reason)
    if not sound:
        raise named(same[0])
    candidates = [run[0] if len(run) == 1 else join(run) for run in chains(sound)]
    covers = {id(g): coverage(pet, g) for g in candidates}
    if max(covers.values()) <= 0:
        raise Refusal(
            "no_overlap", f"CT and PET do not overlap, CT rows {rows_of(sound)}: send the CT of the same beds."
        )
    for item in same:
        if item.fault is not None and _rough_cover(pet, item) > max(covers.values()) + SAME_COVERAGE:
            raise named(item)
    left = _best(
        candidates,
        [
            ("covers less of the PET", lambda g: covers[id(g)], SAME_COVERAGE),
            ("derived, an original is there", _derived, 0.0),
            ("a contrast agent was given, there is one without", lambda g: -float(g.first.contrast), 0.0),
            ("a sharper kernel", lambda g: -float(kernel_is_sharp(g.first.kernel)), 0.0),
            ("thicker slices", lambda g: -(g.grid.increment if g.grid else 0.0), 0.01),
            ("a narrower field of view", _width, 1.0),
        ],
        reasons,
    )
    if len(left) > 1:
        _equal(left, reasons)
        raise Refusal("ambiguous", f"CT series fit equally well, {listed(left)}: name one in `ct_series`.")
    return left[0]


def _width(item: Group) -> float:
    box = item.box
    return float(box[1, 0] - box[0, 0]) if box is not None else 0.0


def _rough_cover(pet: Group, ct: Group) -> float:
    box = pet.box
    heights = [h.position[2] for h in ct.headers if h.position is not None]
    if box is None or not heights:
        return 0.0
    low, high = max(box[0, 2], min(heights)), min(box[1, 2], max(heights))
    return float(max(0.0, high - low) / (box[1, 2] - box[0, 2]))


def _same_frame(ct: Group, pet: Group) -> bool:
    if ct.first.frame_uid and pet.first.frame_uid:
        return ct.first.frame_uid == pet.first.frame_uid
    return bool(ct.first.study_uid) and ct.first.study_uid == pet.first.study_uid


def _check_pair(choice: Choice, was_forced: bool) -> None:
    pet, ct = choice.pet, choice.ct
    assert ct is not None
    if ct.fault is not None:
        raise named(ct)
    people = {_person(h) for h in (*pet.headers, *ct.headers)}
    if len(people) > 1:
        raise Refusal(
            "identity_mismatch",
            f"PET (row {pet.number}) and CT (row {ct.number}) name {len(people)} different patients: check the source.",
        )
    if coverage(pet, ct) <= 0:
        raise Refusal("no_overlap", f"PET (row {pet.number}) and CT (row {ct.number}) do not overlap.")
    if not ct.first.frame_uid or not pet.first.frame_uid:
        text = "PET or CT has no frame of reference (0020,0052); they are of one study, so they were taken together."
        choice.warnings.append(("frame_of_reference", text))
    elif ct.first.frame_uid != pet.first.frame_uid and was_forced:
        text = "PET and CT have different frames of reference; the sheet says to use them together."
        choice.warnings.append(("frame_of_reference", text))
    part = coverage(pet, ct)
    if part < 1 - SAME_COVERAGE:
        choice.warnings.append(("coverage", f"The CT covers {100 * part:.0f} % of the PET's length."))
