import pytest

from stages.artifacts.identity import SiteKey, tokenise
from stages.reports.lexicon import Lexicon
from stages.reports.scrubbing import MASK, Scrubber

KEY = SiteKey(bytes(32))
STUDY = "0123456789abcdef"


def scrubber(*identifiers):
    hashes: dict[int, set[str]] = {}
    for identifier in identifiers:
        tokens = [token.text for token in tokenise(identifier)]
        hashes.setdefault(len(tokens), set()).add(KEY.ngram_id(tokens))
    known = {STUDY: {length: frozenset(values) for length, values in hashes.items()}}
    return Scrubber(KEY, known, Lexicon.load("head_mri"))


@pytest.mark.parametrize(
    ("identifier", "text", "expected"),
    [
        ("Mary White", "Mary White was scanned.", f"{MASK} was scanned."),
        ("Mary White", "MARY  WHITE was scanned.", f"{MASK} was scanned."),
        ("Novak", "We thank novak for coming.", f"We thank {MASK} for coming."),
        ("White", "White has white matter lesions.", f"{MASK} has white matter lesions."),
        ("White", "White matter lesions. WHITE MATTER.", "White matter lesions. WHITE MATTER."),
        ("张伟", "张伟，左侧额叶梗死。", f"{MASK}，左侧额叶梗死。"),
        ("左额", "左额叶梗死", f"{MASK}叶梗死"),
        ("额叶", "额叶梗死", "额叶梗死"),
        ("4711", "Record 4711 of the ward.", f"Record {MASK} of the ward."),
        ("White Matter", "White matter lesions.", "White matter lesions."),
    ],
)
def test_known_identifiers(identifier, text, expected):
    assert scrubber(identifier).scrub(STUDY, text).text == expected


def test_identifiers_of_another_study_stay():
    assert scrubber("Novak").scrub("f" * 16, "Novak sign").text == "Novak sign"


@pytest.mark.parametrize(
    "secret",
    [
        "2019-03-04",
        "04/03/2019",
        "4 March 2019",
        "March 4, 2019",
        "2019年3月4日",
        "jane.doe@example.org",
        "+49 6221 563 4567",
        "13812345678",
        "110101199003077758",
        "1.2.840.113619.2.55.3",
        "Dr. Jane Doe",
        "ACC0012345",
    ],
)
def test_shapes_of_identifiers(secret):
    scrubbed = scrubber().scrub(STUDY, f"Seen on {secret} again.")
    assert scrubbed.text == f"Seen on {MASK} again."
    assert scrubbed.num_masked == 1


@pytest.mark.parametrize(
    "text", ["A 3.2 x 2.1 cm mass, b 1000.", "T2*, TR 4500.", "Fazekas 2, 12 mm.", "大小约3.5cm×2.8cm。"]
)
def test_measurements_stay(text):
    assert scrubber().scrub(STUDY, text).text == text
