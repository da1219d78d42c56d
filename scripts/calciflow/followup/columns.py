"""Columns of the table of changes."""

MEASURES = ("ct_volume_ml", "hydroxyapatite_mg", "pet_volume_ml", "suv_max", "suv_mean", "tlf")
CHANGE_COLUMNS = [
    *(
        "participant_id acquisition session_before session_after change_id status size activity lesions_before "
        "lesions_after region side compartment flags distance_mm"
    ).split(),
    *(f"{name}_{when}" for name in MEASURES for when in ("before", "after")),
    *("pet_status_before pet_status_after ct_volume_ratio ct_volume_limit_low ct_volume_limit_high").split(),
    *(
        "hydroxyapatite_ratio suv_max_ratio recovery_ratio suv_mean_ratio suv_mean_change tlf_ratio tlf_change note"
    ).split(),
]
