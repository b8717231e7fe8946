import numpy as np
import pytest

from stages.artifacts import tensors


def test_round_trip_keeps_arrays_and_metadata(tmp_path):
    path = tmp_path / "a.safetensors"
    values = np.arange(6, dtype=np.float16).reshape(2, 3).T
    tensors.write(path, {"x": values}, {"classes": ["a", "b"]})
    np.testing.assert_array_equal(tensors.read(path)["x"], values)
    assert tensors.read_metadata(path) == {"classes": ["a", "b"]}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_missing_file_or_tensor_is_named(tmp_path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(FileNotFoundError, match="run the stage that writes it"):
        tensors.read(path)
    tensors.write(path, {"x": np.zeros(1)})
    with pytest.raises(ValueError, match=r"no tensor \['y'\]; it holds \['x'\]"):
        tensors.read(path, ["y"])
