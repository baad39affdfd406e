"""HDF5 files: the only place that imports h5py."""
