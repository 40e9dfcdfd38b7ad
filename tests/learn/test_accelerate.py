"""bfloat16 and compilation where they belong, and nowhere else."""

from __future__ import annotations

import shutil

import pytest
import torch
from together import STEPS, fit_of, trained

from seqopt.errors import SeqoptError
from seqopt.learn import accelerate
from seqopt.learn.accelerate import faster, in_bfloat16, networks
from seqopt.learn.parallel import alone
from seqopt.recon.in_loop import AdjointUnet, CgSense
from seqopt.recon.unet import UNet

CPU = torch.device("cpu")


def unet() -> UNet:
    torch.manual_seed(0)
    network = UNet(channels=8, levels=3)
    with torch.no_grad():
        network.last.weight.normal_(std=0.3)  # a fresh one only hands its input through
    return network


def test_the_unet_in_bfloat16_is_the_unet_within_two_per_cent() -> None:
    network, images = unet(), torch.rand(2, 48, 48)
    with torch.no_grad():
        plain, mixed = network(images), in_bfloat16(network.forward, "cpu")(images)
        network.last.weight.zero_()
        handed_through = network(images)
    assert mixed.dtype == torch.float32
    apart = float(torch.linalg.norm(mixed - plain) / torch.linalg.norm(plain))
    assert 1e-5 < apart < 0.02  # not the same: it was computed in bfloat16
    assert float(torch.linalg.norm(plain - handed_through)) > 0.1 * float(torch.linalg.norm(plain))


class Spy(torch.nn.Module):
    """Notes in which precision its convolution ran."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(1, 1, 3, padding=1)
        self.seen: list[torch.dtype] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append(self.layer(images[:, None]).dtype)
        return images


def recon_with(spy: Spy) -> AdjointUnet:
    recon = AdjointUnet(channels=4, levels=2)
    recon.unet = spy  # type: ignore[assignment]
    return recon


@pytest.mark.parametrize(("amp", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_only_the_network_runs_in_bfloat16_and_only_while_it_trains(amp: bool, dtype: torch.dtype) -> None:
    spy = Spy()
    context = faster(torch.nn.Identity(), recon_with(spy), device=CPU, amp=amp, compiled=False)
    with context():
        spy(torch.ones(1, 8, 8))
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32  # beside it, all as ever
    spy(torch.ones(1, 8, 8))
    assert spy.seen == [dtype, torch.float32]


def test_bfloat16_is_off_unless_asked_for() -> None:
    plain, mixed = trained("network"), trained("network", amp=True)
    fit = fit_of("network", alone)
    fit.recon.unet = spy = Spy()  # type: ignore[assignment]
    with fit.faster():
        spy(torch.ones(1, 8, 8))
    assert spy.seen == [torch.float32]
    apart = torch.linalg.norm(mixed["loss"] - plain["loss"]) / torch.linalg.norm(plain["loss"])
    assert 0 < float(apart) < 0.02


def test_a_trained_module_is_left_as_it_was() -> None:
    fit = fit_of("network", alone, amp=True)
    assert len(list(fit.steps())) == STEPS
    assert "forward" not in vars(fit.recon.unet)


def test_an_error_in_a_step_leaves_the_modules_as_they_were() -> None:
    recon = AdjointUnet(channels=4, levels=2)
    context = faster(torch.nn.Identity(), recon, device=CPU, amp=True, compiled=False)
    with pytest.raises(KeyError), context():
        assert "forward" in vars(recon.unet)
        raise KeyError
    assert "forward" not in vars(recon.unet)


def test_the_networks_of_a_reconstruction_are_its_children_that_learn() -> None:
    recon = AdjointUnet(channels=4, levels=2)
    assert networks(recon) == [recon.unet]
    assert networks(CgSense()) == []
    several = torch.nn.Module()
    several.steps = torch.nn.ModuleList([unet(), unet()])
    several.shape = torch.nn.Identity()
    assert networks(several) == list(several.steps)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")  # torch's own, while it compiles
@pytest.mark.parametrize("kind", ["trajectory", "network"])
def test_a_compiled_run_learns_what_an_uncompiled_one_learns(kind: str) -> None:
    with torch.no_grad():  # as the main job makes it
        fit_of("network", alone, compile=True)
    compiled, plain = trained(kind, compile=True), trained(kind)
    assert torch.linalg.norm(compiled["loss"] - plain["loss"]) < 1e-3 * torch.linalg.norm(plain["loss"])


def test_a_machine_that_cannot_compile_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> object:
        raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found\nand so on")

    monkeypatch.setattr(accelerate.torch, "compile", broken)
    with pytest.raises(SeqoptError, match=r"--compile: torch\.compile cannot run here") as caught:
        fit_of("network", alone, compile=True)
    assert "\n" not in str(caught.value)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", ["trajectory", "network"])
@pytest.mark.parametrize("options", [{}, {"amp": True}, {"compile": True}])
def test_a_gpu_learns_like_a_cpu(kind: str, options: dict[str, bool]) -> None:
    """Not the same noise, so not the same losses."""
    gpu, cpu = trained(kind, device="cuda", **options), trained(kind)
    assert gpu["loss"].isfinite().all()
    assert float((gpu["loss"] / cpu["loss"] - 1).abs().max()) < 0.2
