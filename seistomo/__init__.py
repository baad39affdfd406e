"""Seismic tomography with deep learning, from random earth models to scored predictions."""

__version__ = "0.1.0"
