COMPARED = {
    "ct": "ct.nii.gz",
    "tissues": "space-ct_desc-tissues_dseg.nii.gz",
    "regions": "space-ct_desc-regions_dseg.nii.gz",
    "lesions": "space-ct_desc-lesions_dseg.nii.gz",
    "table": "lesions.tsv",
    "findings": "desc-candidates_lesions.json",
}
"""What the comparison of two sessions takes of each."""


def follow_ups():
    """Accepted scans that have an earlier one of the same person and acquisition, each with the last such one."""
    pairs, last = [], {}
    for scan in sorted(
        accepted(),
        key=lambda scan: (scan.participant_id, scan.session_id, scan.acquisition or ""),
    ):
        key = (scan.participant_id, scan.acquisition)
        if key in last:
            pairs.append((scan, last[key]))
        last[key] = scan
    return pairs


def before(wildcards):
    """The scan that a follow-up is compared with."""
    for scan, earlier in follow_ups():
        if scan.prefix == wildcards.scan:
            return earlier
    raise WorkflowError(
        f"{wildcards.scan}: no earlier session of this person was accepted."
    )


def both_sessions(wildcards):
    """Files of a follow-up and of the scan before it."""
    scan, earlier = row(wildcards), before(wildcards)
    own = {key: path_of(scan, name) for key, name in COMPARED.items()}
    other = {f"before_{key}": path_of(earlier, name) for key, name in COMPARED.items()}
    return {**own, **other}


def of_follow_ups(name):
    """Input function: one file of every follow-up."""
    return lambda wildcards: [path_of(scan, name) for scan, _ in follow_ups()]
