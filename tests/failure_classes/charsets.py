"""Names in the character sets that hospitals use, declared, declared wrongly, and not declared."""

from __future__ import annotations

import dicom_files as df
from failure_classes.case import Case, used, written
from pydicom.dataset import Dataset

_NAMES = {
    "ISO_IR 100": "Müller^Jörg",
    "ISO_IR 144": "Люкceмбypг",
    "ISO_IR 192": "王^小东",
    "GB18030": "王^小东",
    "GBK": "王^小东",
    "\\ISO 2022 IR 58": "Zhang^XiaoDong=张^小东",
    "\\ISO 2022 IR 149": "Hong^Gildong=洪^吉洞=홍^길동",
    "\\ISO 2022 IR 87": "Yamada^Tarou=山田^太郎",
}
_STAND_IN = "QQQQQQQQ"


def _undeclared(ds: Dataset, character_set: str | None) -> bytes:
    """A header with bytes of GBK under another character set or none."""
    ds.PatientName = ds.InstitutionName = _STAND_IN
    if character_set is not None:
        ds.SpecificCharacterSet = character_set
    return df.encode(ds).replace(_STAND_IN.encode(), "王小东们".encode("gbk"))


CHARACTER_SETS: dict[str, Case] = {
    f"names in {character_set}": used(
        lambda character_set=character_set, name=name: df.slices(
            SpecificCharacterSet=character_set.split("\\"), PatientName=name
        )
    )
    for character_set, name in _NAMES.items()
} | {
    "names in GBK that is not declared": written(None, lambda ds: _undeclared(ds, None)),
    "names in GBK that is declared UTF-8": written(None, lambda ds: _undeclared(ds, "ISO_IR 192")),
    "names in a character set that nobody knows": written(None, lambda ds: _undeclared(ds, "ISO_IR 999")),
}
