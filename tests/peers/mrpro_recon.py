"""Run by mrpro's own environment: raw data, exported trajectory and all, to an image. SCAN OUT.npy ITERATIONS."""

import sys
import types

for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"):
    sys.modules[name] = types.ModuleType(name)  # mrpro's brain phantom alone needs it, and it is large

import numpy as np  # noqa: E402
from mrpro.algorithms.reconstruction import DirectReconstruction, IterativeSENSEReconstruction  # noqa: E402
from mrpro.data import CsmData, DcfData, KData  # noqa: E402
from mrpro.data.traj_calculators import KTrajectoryIsmrmrd  # noqa: E402


class CyclesPerSample(KTrajectoryIsmrmrd):
    """The file's own unit, which its header names; mrpro wants 1/FOV."""

    def __call__(self, acquisitions, encoding_matrix):
        found = super().__call__(acquisitions, encoding_matrix)
        return type(found)(kz=found.kz, ky=found.ky * encoding_matrix.y, kx=found.kx * encoding_matrix.x)


scan, out, iterations = sys.argv[1], sys.argv[2], int(sys.argv[3])
kdata = KData.from_file(scan, CyclesPerSample())
direct = DirectReconstruction(kdata, csm=None)
maps = CsmData.from_idata_walsh(direct(kdata))
dcf = DcfData.from_traj_voronoi(kdata.traj)
sense = IterativeSENSEReconstruction(kdata, csm=maps, dcf=dcf, n_iterations=iterations)
np.save(out, sense(kdata).data.numpy().squeeze())
