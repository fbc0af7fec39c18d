"""The digits, their network and their judge."""

import pytest
import torch

from imagegen.digits import DigitNet, as_pictures, digit_classifier, digits


@pytest.fixture(scope="module")
def data():
    return digits()


def test_digits_are_pictures_in_minus_one_to_one_with_their_labels(data):
    x0, label = data
    assert x0.shape == (1797, 1, 8, 8) and x0.dtype == torch.float32
    assert (x0.min(), x0.max()) == (-1, 1)
    assert label.shape == (1797,) and label.dtype == torch.int64
    assert label.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_as_pictures_maps_to_zero_to_one_and_cuts_what_is_outside():
    x = torch.tensor([-1.5, -1.0, 0.0, 1.0, 3.0]).repeat(2, 1)[:, None, None]
    assert [p.tolist() for p in as_pictures(x)] == [[[0.0, 0.0, 0.5, 1.0, 1.0]]] * 2


@pytest.mark.parametrize("classes", [0, 10])
def test_the_network_takes_one_step_or_one_for_each(classes):
    torch.manual_seed(0)
    model, xt = DigitNet(classes), torch.randn(3, 1, 8, 8)
    out = model(xt, 7)
    assert out.shape == xt.shape
    torch.testing.assert_close(model(xt, torch.tensor([7, 7, 7])), out)
    assert not torch.allclose(model(xt, 8), out)
    assert not torch.allclose(model(xt, torch.tensor([7, 7, 800]))[2], out[2])


def test_a_label_is_heard_and_the_last_one_means_none():
    torch.manual_seed(0)
    model, xt = DigitNet(classes=10), torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(model(xt, 5, 10), model(xt, 5))
    told = model(xt, 5, torch.tensor([3, 10]))
    assert not torch.allclose(told[0], model(xt, 5)[0])
    torch.testing.assert_close(told[1], model(xt, 5)[1])
    with pytest.raises(IndexError):
        model(xt, 5, 11)


def test_the_classifier_reads_held_out_digits_and_shuffled_labels_teach_it_nothing(data):
    x0, label = data
    test = torch.arange(len(x0)) % 4 == 0
    rows, truth = x0[test].flatten(1).numpy(), label[test].numpy()
    assert digit_classifier(x0[~test], label[~test]).score(rows, truth) > 0.94
    generator = torch.Generator().manual_seed(0)
    mixed = label[~test][torch.randperm((~test).sum(), generator=generator)]
    assert digit_classifier(x0[~test], mixed).score(rows, truth) < 0.25
