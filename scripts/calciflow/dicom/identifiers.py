"""What in a source identifies a person or a place: kept in private, so that results can be searched for it."""

from collections.abc import Iterable
from typing import Any

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from calciflow.dicom.headers import Header, Listing, parse

PEOPLE_AND_PLACES = frozenset(
    """
    PatientName PatientID IssuerOfPatientID PatientBirthDate OtherPatientIDs OtherPatientNames PatientBirthName
    PatientMotherBirthName MedicalRecordLocator PatientAddress PatientTelephoneNumbers PatientInsurancePlanCodeSequence
    MilitaryRank CountryOfResidence RegionOfResidence ResponsiblePerson ResponsibleOrganization AccessionNumber StudyID
    AdmissionID ServiceEpisodeID PlacerOrderNumberImagingServiceRequest FillerOrderNumberImagingServiceRequest
    RequestedProcedureID ScheduledProcedureStepID PerformedProcedureStepID InstitutionName InstitutionAddress
    InstitutionalDepartmentName RequestingService StationName DeviceSerialNumber DeviceUID GantryID
    ReferringPhysicianAddress ReferringPhysicianTelephoneNumbers ClinicalTrialSubjectID ClinicalTrialSubjectReadingID
    ClinicalTrialSiteID ClinicalTrialSiteName ClinicalTrialSponsorName EthnicGroup Occupation PatientReligiousPreference
    """.split()
)
"""Attributes of DICOM PS3.15, table E.1-1, that name a person, a place, an order or a device, beside all names of
people (VR PN) and all UIDs (VR UI)."""

STANDARD_UIDS = "1.2.840.10008."
"""UIDs of DICOM itself, of classes and syntaxes: they name nobody."""


def of_dataset(dataset: Dataset) -> set[tuple[str, str]]:
    """Keyword and value of all that identifies in a data set, its sequences included; never raises."""
    found: set[tuple[str, str]] = set()
    waiting = [dataset]
    while waiting:
        current = waiting.pop()
        for tag in list(current.keys()):
            try:
                element = current[tag]
                if element.VR == "SQ" and isinstance(element.value, Sequence):
                    waiting.extend(element.value)
                    continue
                keyword = keyword_for_tag(tag) or ""
                if element.VR not in ("PN", "UI") and keyword not in PEOPLE_AND_PLACES:
                    continue
                values = element.value if element.VM > 1 else [element.value]
                found |= {(keyword or f"{tag:08X}", str(value).strip()) for value in values if value}
            except Exception:
                continue
    return {(name, value) for name, value in found if value and not value.startswith(STANDARD_UIDS)}


def of_headers(headers: Iterable[Header]) -> set[tuple[str, str]]:
    """What every single image says of its patient, and the stems of the images' own UIDs."""
    found: set[tuple[str, str]] = set()
    for header in headers:
        for name, value in zip(("PatientID", "PatientName", "PatientBirthDate"), header.patient, strict=True):
            found.add((name, value))
        for uid in (header.study_uid, header.series_uid, header.frame_uid):
            found.add(("UID", uid))
        found.add(("UIDStem", header.sop_uid.rpartition(".")[0]))
    return {(name, value) for name, value in found if value}


def of_source(path: str, listing: Listing) -> set[tuple[str, str]]:
    """All identifiers of a source: of its headers, and of the names of its folders and files."""
    found = of_headers(listing.headers)
    for head in listing.heads.values():
        try:
            found |= of_dataset(parse(head)[0])
        except Exception:
            continue
    places = path.replace("\\", "/").split("/")
    for entry in [header.entry for header in listing.headers] + listing.broken:
        places += f"{entry.path}/{entry.member}".split("/")
    return found | {("path", part) for part in places if part not in ("", ".", "..")}


def as_rows(found: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """Sorted, for the private file."""
    return [{"what": name, "value": value} for name, value in sorted(set(found))]
