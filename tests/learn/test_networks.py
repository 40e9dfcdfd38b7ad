"""Networks for tasks: shapes, the attention gate and the residual block written out, and reloading from weights."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from seqopt.errors import SeqoptError
from seqopt.learn.networks import AttentionUnet, name_and_sizes, networks


def make(name: str, outputs: int = 3, channels: int = 4, levels: int = 3) -> torch.nn.Module:
    torch.manual_seed(0)
    return networks[name](1, outputs, channels=channels, levels=levels).eval()


@pytest.mark.parametrize("size", [(32, 32), (33, 30)])
def test_u_nets_give_a_logit_a_pixel_and_class_of_any_size(size):
    for name in ("unet", "attention-unet"):
        assert make(name)(torch.randn(2, 1, *size)).shape == (2, 3, *size)


@pytest.mark.parametrize("size", [(32, 32), (33, 30)])
def test_the_classifier_gives_a_logit_an_image_and_class(size):
    images = torch.randn(2, 1, *size)
    network = make("residual-classifier")
    assert network(images).shape == (2, 3)
    assert torch.allclose(network(images)[1:], network(images[1:]), atol=1e-5)  # judged one by one or together


def test_an_attention_gate_weighs_each_pixel_of_the_skip_by_a_sigmoid():
    network = make("attention-unet")
    assert isinstance(network, AttentionUnet)
    skip, wide = torch.randn(2, 8, 5, 6), torch.randn(2, 16, 5, 6)
    state = {key.removeprefix("gates.0."): value for key, value in network.state_dict().items() if "gates.0" in key}
    of_skip = torch.einsum("oi,biyx->boyx", state["of_skip.weight"][..., 0, 0], skip)
    of_wide = torch.einsum("oi,biyx->boyx", state["of_wide.weight"][..., 0, 0], wide)
    inner = (of_skip + of_wide + state["of_wide.bias"][:, None, None]).clamp_min(0)
    asked = torch.einsum("oi,biyx->boyx", state["weight.weight"][..., 0, 0], inner) + state["weight.bias"]
    assert torch.allclose(network.skipped(0, skip, wide), skip / (1 + torch.exp(-asked)), atol=1e-5)


def test_closed_gates_let_nothing_across():
    network, images = make("attention-unet"), torch.randn(1, 1, 16, 16)
    open_result = network(images)
    for gate in network.gates:
        gate.weight.bias.data.fill_(-100.0)
    closed = network(images)
    assert not torch.allclose(closed, open_result, atol=1e-4)
    network.skipped = lambda rise, skip, wide: torch.zeros_like(skip)
    assert torch.allclose(network(images), closed, atol=1e-5)


def test_a_residual_block_adds_its_input():
    network = make("residual-classifier")
    block = network.stages[0][0]
    features = torch.randn(1, 4, 8, 8)
    inner = torch.relu(block.first[1](functional.conv2d(features, block.first[0].weight, padding=1)))
    expected = torch.relu(features + block.second[1](functional.conv2d(inner, block.second[0].weight, padding=1)))
    assert torch.allclose(block(features), expected, atol=1e-6)
    assert network.stages[1][0](features).shape == (1, 8, 4, 4)


@pytest.mark.parametrize("name", ["unet", "attention-unet", "residual-classifier"])
def test_weights_tell_what_network_they_are_of(name):
    network = make(name, outputs=2, channels=6, levels=2)
    weights = {key: value.numpy() for key, value in network.state_dict().items()}
    assert name_and_sizes(weights) == (name, {"inputs": 1, "outputs": 2, "channels": 6, "levels": 2})


def test_foreign_weights_are_refused():
    with pytest.raises(SeqoptError, match="weights of no known network"):
        name_and_sizes({"layer.weight": torch.zeros(2, 2)})
    with pytest.raises(SeqoptError, match="weights of no known network"):
        name_and_sizes({})
    with pytest.raises(SeqoptError, match="unknown network 'resnet'; known: unet, attention-unet, residual-classifier"):
        networks["resnet"]
