"""seqopt: learn an MRI acquisition, certify it, export it, reconstruct it."""

__version__ = "0.1.0"
