"""An export and its reports with identifiers planted wherever a hospital puts them; every one is invented."""

from __future__ import annotations

import csv
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dicom_files as df
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence


@dataclass(frozen=True)
class Canary:
    """An identifier.

    Attributes:
        place: where it is planted.
        needle: how it is searched for; any case, punctuation and order of words counts.
        said: how the report of its study says it; empty if it does not.
    """

    place: str
    needle: str
    said: str = ""


# By study, in the order of the studies. What stands in a header is said in the report in another spelling.
HEADERS: tuple[tuple[Canary, ...], ...] = (
    (
        Canary("PatientName", "Quillfeather", "Zebulon QUILLFEATHER"),
        Canary("PatientName, given", "Zebulon"),
        Canary("PatientID", "7734521", "record QX 7734521"),
        Canary("PatientBirthDate", "19310712", "born 1931-07-12"),
        Canary("AccessionNumber", "90817263", "number ACZ90817263"),
        Canary("InstitutionName", "Mirkwater", "the Mirkwater Infirmary"),
        Canary("ReferringPhysicianName", "Oxblood", "oxblood"),
        Canary("StationName", "ZEBMR1", "scanner ZEBMR1"),
        Canary("DeviceSerialNumber", "66041873", "serial 66041873"),
        Canary("OperatorsName", "Wexcombe", "Ludmilla Wexcombe"),
        Canary("PatientAddress", "Thornapple", "17 Thornapple Crescent"),
        Canary("PatientTelephoneNumbers", "960983", "01632 960983"),
        Canary("OtherPatientIDsSequence", "5519382", "HMO-5519382"),
        Canary("RequestAttributesSequence", "880142", "RPX880142"),
        Canary("sequence in a sequence in a sequence", "Pemberly", "Thaddeus Pemberly"),
        Canary("private LO", "Farrowmere", "Isolde Farrowmere"),
        Canary("private PN", "Crakehall", "Benedikt Crakehall"),
        Canary("private UN of bytes", "Windlesham", "Jocasta Windlesham"),
        Canary("private sequence", "Slaithwaite", "Umberto Slaithwaite"),
        Canary("ImageComments", "Yarborough", "Tamsin Yarborough"),
        Canary("PatientComments", "Euphemia", "Euphemia"),
        Canary("OverlayComments", "Cosima Ashgrove"),
        Canary("SeriesDescription", "Umberslade"),
        Canary("UIDs", "1.2.826.0.1.3680043"),
        Canary("AcquisitionDate", "20190923", "on 23.09.2019"),
    ),
    (Canary("GB18030", "欧阳娜娜", "欧阳娜娜"), Canary("GB18030, institution", "清河仁爱医院", "清河仁爱医院")),
    (Canary("GBK, undeclared", "慕容雪晴", "慕容雪晴"),),
    (Canary("UTF-8, undeclared", "诸葛明远", "诸葛明远"),),
    (Canary("ISO 2022 IR 87", "山田太郎", "山田太郎"), Canary("ISO 2022 IR 87, Latin", "Yamada", "Yamada Tarou")),
    (Canary("Latin-1, undeclared", "Grünwaldt", "Jörg Grünwaldt"),),
)
PATHS = (
    Canary("name of a folder", "Slipperwick"),
    Canary("name of a file", "Bellweather"),
    Canary("name of a ZIP", "Fotheringay"),
    Canary("name of a member, GBK", "司徒云"),
    Canary("comment of a ZIP", "Dragonwyck"),
)
# What no header holds, and has the form of an identifier.
REPORTS = (
    Canary("report, titled name", "Holloway", "Dr. Araminta Holloway"),
    Canary("report, e-mail", "thornmail", "a.holloway@thornmail.example"),
    Canary("report, telephone", "6221563", "+49 6221 563 4567"),
    Canary("report, date", "20180422", "22/04/2018"),
    Canary("report, date in words", "20170815", "August 15, 2017"),
    Canary("report, identity card", "110101199003077758", "110101199003077758"),
    Canary("report, header line", "Greyfriars", "\nPatient: Peregrine Greyfriars\n"),
    Canary("report, signature", "Tuppingham", "\nElectronically signed by: Rosalind Tuppingham\n"),
    Canary("report, physician in Chinese", "司马文昊", "医师：司马文昊"),
)
ALL = tuple(canary for canaries in (*HEADERS, PATHS, REPORTS) for canary in canaries)
NEEDLES = sorted({canary.needle for canary in ALL})


def write_cohort(folder: Path) -> None:
    """Write ``dicom/`` and ``reports.csv``: six studies with a report each."""
    studies = [_first_study(), *(_named_study(number, *about) for number, about in enumerate(_NAMES))]
    for number, files in enumerate(studies[:-1]):
        place = folder / "dicom" / f"Slipperwick {number}"
        place.mkdir(parents=True)
        for index, data in enumerate(files):
            (place / f"Bellweather{index}").write_bytes(data)
    _write_archive(folder / "dicom" / "Fotheringay.zip", studies[-1])
    with (folder / "reports.csv").open("w", encoding="utf-8", newline="") as file:
        rows = [(accession_number(number), _report(number)) for number in range(len(studies))]
        csv.writer(file).writerows([("accession_number", "report_text"), *rows])


def accession_number(number: int) -> str:
    """Accession number of a study."""
    return df.SECRETS["AccessionNumber"] if number == 0 else f"N5501{number}"


# Character set, name and institution as bytes.
_NAMES: tuple[tuple[str, bytes, bytes], ...] = (
    ("GB18030", "Ouyang^Nana=欧阳^娜娜".encode("gb18030"), "清河仁爱医院".encode("gb18030")),
    ("", "慕容雪晴".encode("gbk"), b"Infirmary"),
    ("", "诸葛^明远".encode(), b"Infirmary"),
    ("\\ISO 2022 IR 87", b"Yamada^Tarou=" + "山田^太郎".encode("iso2022_jp"), b"Infirmary"),
    ("", "Grünwaldt^Jörg".encode("latin-1"), b"Infirmary"),
)


def _report(number: int) -> str:
    said = [canary.said for canary in (*HEADERS[number], *(REPORTS if number == 0 else ())) if canary.said]
    discussed = " ".join(f"Discussed, {text}, as before." for text in said)
    return f"HISTORY: Seen before. {discussed}\nFINDINGS: Acute infarct in the left thalamus. {discussed}"


def _first_study() -> list[bytes]:
    slices = df.slices(num=5, SpecificCharacterSet="ISO_IR 100")
    for ds in slices:
        ds.DeviceSerialNumber, ds.OperatorsName = "SN-66041873", "Wexcombe^Ludmilla"
        ds.PatientAddress, ds.PatientTelephoneNumbers = "17 Thornapple Crescent", "+44 1632 960983"
        ds.ImageComments = "Referred by Dr. Tamsin Yarborough"
        ds.PatientComments, ds.AcquisitionDate = "daughter of Quillfeather^Euphemia", "20190923"
        ds.SeriesDescription = "t2_tse_tra Umberslade"
        ds.OtherPatientIDsSequence = Sequence([_item(PatientID="HMO-5519382")])
        ds.RequestAttributesSequence = Sequence([_item(RequestedProcedureID="RPX880142")])
        physician = _item(PersonName="Pemberly^Thaddeus")
        coded = _item(ReferringPhysicianIdentificationSequence=Sequence([physician]))
        ds.OriginalAttributesSequence = Sequence([_item(ModifiedAttributesSequence=Sequence([coded]))])
        ds.add_new(0x60004000, "LT", "Ashgrove^Cosima")
        block = ds.private_block(0x0011, "QUILL", create=True)
        block.add_new(0x01, "LO", "Isolde Farrowmere")
        block.add_new(0x02, "PN", "Crakehall^Benedikt")
        block.add_new(0x03, "UN", b"\x00\x03\x02Jocasta Windlesham\x00\xff")
        inner = Dataset()
        inner.private_block(0x0011, "QUILL", create=True).add_new(0x06, "LO", "Umberto Slaithwaite")
        block.add_new(0x04, "SQ", Sequence([inner]))
    return [df.encode(ds) for ds in slices]


def _named_study(number: int, character_set: str, name: bytes, institution: bytes) -> list[bytes]:
    """A study whose name and institution are these bytes, whatever the declared character set makes of them."""
    stand_ins = {"N" * len(name): name, "I" * len(institution): institution}
    slices = df.slices(
        num=5, seed=number + 1, AccessionNumber=accession_number(number + 1), PatientID=f"P7702{number}",
        PatientName="N" * len(name), InstitutionName="I" * len(institution), PatientBirthDate="19600101",
        StudyDescription="MR HEAD", ReferringPhysicianName="", StationName="",
        **({"SpecificCharacterSet": character_set.split("\\")} if character_set else {}),
    )  # fmt: skip
    files = [df.encode(ds) for ds in slices]
    for stand_in, value in stand_ins.items():
        files = [data.replace(stand_in.encode(), value) for data in files]
    return files


def _write_archive(path: Path, files: list[bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for number, data in enumerate(files):
            # Written as Chinese systems do: bytes of GBK, without the flag for UTF-8.
            info = zipfile.ZipInfo(f"member{number}.dcm")
            info.comment = b"Dragonwyck"
            archive.writestr(info, data)
        archive.comment = b"Dragonwyck"
    data = path.read_bytes()
    path.write_bytes(data.replace(b"member", "司徒云".encode("gbk")))


def _item(**values: Any) -> Dataset:
    ds = Dataset()
    for name, value in values.items():
        setattr(ds, name, value)
    return ds
