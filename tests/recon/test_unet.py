"""The U-Net: sizes, units, weights as plain arrays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seqopt.core import Geometry
from seqopt.errors import SeqoptError
from seqopt.recon.registry import reconstructions, unet_from_weights
from seqopt.recon.unet import UNet


def trained(channels: int = 4, levels: int = 3) -> UNet:
    """A net whose correction is not zero, as it is before training."""
    torch.manual_seed(0)
    network = UNet(channels=channels, levels=levels)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return network.eval()


def magnitudes(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("shape", [(32, 32), (34, 46), (26, 40), (22, 18)])
def test_any_even_size_comes_back_as_it_went_in(shape):
    restored = trained()(magnitudes(2, *shape))
    assert restored.shape == (2, *shape)
    assert bool((restored >= 0).all())


def test_an_untrained_net_is_the_identity():
    images = magnitudes(2, 32, 36)
    assert torch.allclose(UNet(channels=4, levels=3)(images), images, atol=1e-6)


@pytest.mark.parametrize("unit", [1e-6, 1e5])
def test_the_output_is_in_the_unit_of_the_input(unit):
    images, network = magnitudes(2, 32, 36), trained()
    restored = network(images)
    assert not torch.allclose(restored, images, atol=1e-2)  # it does something
    assert torch.allclose(network(unit * images) / unit, restored, rtol=1e-3, atol=1e-4)


def test_each_image_is_scaled_by_itself():
    images, network = magnitudes(2, 32, 32), trained()
    scaled = images * torch.tensor([1.0, 1000.0])[:, None, None]
    assert torch.allclose(network(scaled)[0], network(images)[0], atol=1e-5)


def test_a_black_image_stays_finite():
    assert bool(torch.isfinite(trained()(torch.zeros(1, 32, 32))).all())


def test_every_weight_learns():
    network = trained().train()
    network(magnitudes(1, 32, 32)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def arrays(network: UNet) -> dict[str, np.ndarray]:
    return {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize(("channels", "levels"), [(4, 3), (6, 2), (16, 4)])
def test_weights_make_the_round_trip_through_plain_arrays(channels, levels):
    network = trained(channels, levels)
    rebuilt = unet_from_weights(arrays(network))
    images = magnitudes(1, 32, 32)
    with torch.no_grad():
        assert torch.equal(rebuilt(images), network(images))


def test_foreign_weights_are_refused():
    damaged = arrays(trained())
    del damaged["last.weight"]
    for weights in ({}, {"some.weight": np.zeros(3)}, damaged, {**arrays(trained()), "last.bias": np.zeros(7)}):
        with pytest.raises(SeqoptError, match="not those of a seqopt U-Net"):
            unet_from_weights(weights)


def test_the_method_unet_restores_the_adjoint():
    geometry = Geometry(fov_m=(0.2, 0.2), matrix=(16, 16))
    generator = torch.Generator().manual_seed(3)
    samples = torch.complex(
        torch.randn(1, 2, 4, 32, generator=generator), torch.randn(1, 2, 4, 32, generator=generator)
    )
    k = (torch.rand(4, 32, 2, generator=generator, dtype=torch.float64) - 0.5) * 80
    weights = torch.ones(4, 32)
    network = trained()
    restored = reconstructions["unet"](samples, k, weights, None, geometry, network_weights=arrays(network))
    with torch.no_grad():
        expected = network(reconstructions["adjoint"](samples, k, weights, None, geometry))
    assert torch.equal(restored, expected)
    with pytest.raises(SeqoptError, match="needs the design whose network was trained"):
        reconstructions["unet"](samples, k, weights, None, geometry)
