"""Image losses and metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from seqopt.registry import Registry


def ssim_map(estimate: Tensor, truth: Tensor, *, data_range: Tensor | float, window: int = 7) -> Tensor:
    """Structural similarity of each pixel: magnitude images (batch, y, x), uniform window, as fastMRI and skimage.

    Source: Wang et al., IEEE TIP 13:600 (2004), K1 = 0.01, K2 = 0.03, unbiased covariance.
    """
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    unbias = window**2 / (window**2 - 1)
    stack = torch.stack([estimate, truth, estimate * estimate, truth * truth, estimate * truth], 1)
    means = functional.avg_pool2d(stack, window, stride=1)
    mean_e, mean_t, square_e, square_t, cross = means.unbind(1)
    variance_e, variance_t = unbias * (square_e - mean_e**2), unbias * (square_t - mean_t**2)
    covariance = unbias * (cross - mean_e * mean_t)
    luminance = (2 * mean_e * mean_t + c1) / (mean_e**2 + mean_t**2 + c1)
    return luminance * (2 * covariance + c2) / (variance_e + variance_t + c2)


ImageLoss = Callable[[Tensor, Tensor], Tensor]
image_losses: Registry[ImageLoss] = Registry("loss")


@image_losses.register("l1")
def l1(estimate: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute error; both images scaled by the truth's largest value, as in every loss here."""
    return (estimate - truth).abs().mean()


@image_losses.register("ssim")
def one_minus_ssim(estimate: Tensor, truth: Tensor) -> Tensor:
    """1 - SSIM."""
    return 1.0 - ssim_map(estimate, truth, data_range=1.0).mean()


@image_losses.register("mse")
def mse(estimate: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error."""
    return (estimate - truth).square().mean()


@image_losses.register("rmse")
def rmse(estimate: Tensor, truth: Tensor) -> Tensor:
    """Root of the mean squared error of each image: its gradient does not fade as the error does, unlike MSE's."""
    return ((estimate - truth).square().mean((-2, -1)) + 1e-12).sqrt().mean()


def image_loss(estimate: Tensor, truth: Tensor, terms: Mapping[str, float]) -> Tensor:
    """Weighted sum of losses by name, of magnitudes (batch, y, x) scaled by the truth's largest value."""
    peak = truth.amax((-2, -1), keepdim=True).clamp_min(1e-12)
    values = [weight * image_losses[name](estimate / peak, truth / peak) for name, weight in terms.items()]
    return torch.stack(values).sum()


def psnr(estimate: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB, the peak being the truth's largest value: (batch,)."""
    error = (estimate - truth).square().mean((-2, -1))
    return 10.0 * torch.log10(truth.amax((-2, -1)) ** 2 / error.clamp_min(1e-20))


def ssim(estimate: Tensor, truth: Tensor) -> Tensor:
    """Mean structural similarity of each image, data range the truth's largest value: (batch,)."""
    peak = truth.amax((-2, -1), keepdim=True)
    return ssim_map(estimate / peak, truth / peak, data_range=1.0).mean((-2, -1))


def nmse(estimate: Tensor, truth: Tensor) -> Tensor:
    """Normalised mean squared error of each image: (batch,)."""
    return (estimate - truth).square().sum((-2, -1)) / truth.square().sum((-2, -1)).clamp_min(1e-20)
