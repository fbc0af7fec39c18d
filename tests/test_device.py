"""The device and number format at hand, or one sentence why a wish cannot be granted."""

import pytest
import torch

from imagegen.device import VARIABLE, best_device, best_dtype, check_device, describe_device


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


def test_best_device_and_dtype_compute():
    device = best_device()
    x = torch.ones(4, 4, device=device, dtype=best_dtype(device))
    assert (x @ x).sum().item() == 64
    assert (device == "cpu") == (not torch.cuda.is_available() and not torch.mps.is_available())


def test_environment_decides(monkeypatch):
    monkeypatch.setenv(VARIABLE, " CPU ")
    assert best_device() == "cpu"
    assert f"chosen because {VARIABLE} asks for it" in describe_device()


@pytest.mark.parametrize("wish", ["tpu", "cuda:", "cuda:99", "cuda:x", "cpu0"])
def test_device_that_is_not_there_is_one_sentence(monkeypatch, wish):
    monkeypatch.setenv(VARIABLE, wish)
    with pytest.raises(ValueError, match=f"^{VARIABLE}={wish} .*[.]$"):
        best_device()
    with pytest.raises(ValueError, match=f"device='{wish}' "):
        check_device(wish)


def test_cpu_draws_in_full_precision():
    assert best_dtype("cpu") == torch.float32
    assert check_device(torch.device("cpu")) == "cpu"


def test_description_names_the_processor_and_the_reason():
    sentence = describe_device("cpu")
    assert sentence.startswith("Device cpu (") and "asked for" in sentence and "float32" in sentence
    assert str(torch.get_num_threads()) in sentence
