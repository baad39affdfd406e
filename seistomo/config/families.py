"""Names of the families of earth models."""

GEOLOGICAL_FAMILIES = ("layers", "folds", "faults", "salt", "mixture")
# Named after those of Deng et al. (2022): flat or curved layers, with or without faults, and
# structures with the look of images, each at the difficulties a and b.
OPENFWI_FAMILIES = tuple(
    f"{kind}_{difficulty}"
    for kind in ("flatvel", "curvevel", "flatfault", "curvefault", "style")
    for difficulty in "ab"
)
FAMILIES = GEOLOGICAL_FAMILIES + OPENFWI_FAMILIES
