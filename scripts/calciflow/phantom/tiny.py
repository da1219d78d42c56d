"""Very small scans for tests: a slab through both thighs with four known deposits."""

from calciflow.phantom.scan import PhantomScan, make_scan
from calciflow.phantom.spec import CtSpec, DepositSpec, Motion, PersonSpec, PetSpec, ScanSpec

LEG_DEPOSITS = (
    DepositSpec("thigh", "right", "subcutaneous", "CT+PET+", volume_ml=0.6, hu=600, suv=12.0, bone_gap_mm=15),
    DepositSpec("thigh", "right", "muscle", "CT+PET+", form="streak", volume_ml=1.6, hu=450, suv=9.0, bone_gap_mm=15),
    DepositSpec("thigh", "left", "subcutaneous", "CT+PET-", volume_ml=0.4, hu=700, bone_gap_mm=15),
    DepositSpec("thigh", "left", "muscle", "CT-PET+", volume_ml=2.0, suv=10.0, bone_gap_mm=15),
)
"""The four deposits of ``tiny_leg``: both compartments, all three classes."""


def leg_spec(
    name: str = "tiny",
    deposits: tuple[DepositSpec, ...] = LEG_DEPOSITS,
    motion: Motion | None = None,
    person: PersonSpec | None = None,
    pet: PetSpec | None = None,
) -> ScanSpec:
    """Spec of a slab of 40 slices above the knees: CT 160 x 128 at 2 x 2 x 3 mm, PET at 4 mm."""
    return ScanSpec(
        name=name,
        person=person or PersonSpec(height_m=1.70, bmi=22.5, sex="M", age=50),
        ct=CtSpec(pixel_mm=2.0, matrix=(160, 128), slice_mm=3.0),
        pet=pet or PetSpec(pixel_mm=4.0, slice_mm=4.0),
        motion=motion or Motion(),
        z_range_mm=(540.0, 660.0),
        centre_xy_mm=(0.0, -25.0),
        deposits=deposits,
    )


def tiny_leg(
    seed: int = 1,
    deposits: tuple[DepositSpec, ...] = LEG_DEPOSITS,
    motion: Motion | None = None,
    name: str = "tiny",
) -> PhantomScan:
    """Make a slab through both thighs (about 1 s), with the deposits of ``LEG_DEPOSITS`` or others."""
    return make_scan(leg_spec(name=name, deposits=deposits, motion=motion), seed)
