import pytest

from stages.params import Params, load


class Inner(Params):
    rate: float


class Outer(Params):
    inner: Inner
    name: str = "x"


def write(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return path


def test_numbers_are_read_as_dvc_reads_them(tmp_path):
    path = write(tmp_path, "a: {b: {inner: {rate: 5e-4}}}\n")
    assert load("a.b", Outer, path).inner.rate == 5e-4


def test_unknown_and_wrong_values_are_named_by_their_dotted_path(tmp_path):
    path = write(tmp_path, "a: {inner: {rate: fast}, colour: red}\n")
    with pytest.raises(ValueError, match=r"(?s)a\.inner\.rate: .*got 'fast'.*a\.colour: ") as raised:
        load("a", Outer, path)
    assert "params.yaml" in str(raised.value)


def test_a_missing_section_or_file_says_so(tmp_path):
    with pytest.raises(ValueError, match="section 'b' is missing"):
        load("b", Outer, write(tmp_path, "a: {}\n"))
    with pytest.raises(FileNotFoundError, match="run from the repository root"):
        load("a", Outer, tmp_path / "none.yaml")
    with pytest.raises(ValueError, match="not valid YAML"):
        load("a", Outer, write(tmp_path, "a: [\n"))


def test_params_are_read_only():
    with pytest.raises(ValueError, match="frozen"):
        Inner(rate=1.0).rate = 2.0
