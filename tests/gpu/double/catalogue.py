"""Which functions and methods of CuPy's the double has, where NumPy's do the same."""


def _words(text):
    return text.split()


PLAIN = _words("""
    all amax angle any append argmax argmin around average convolve
    corrcoef correlate count_nonzero cov cross cumprod cumsum diagflat diff digitize dot ediff1d
    inner interp isin isneginf isposinf kron max mean median nan_to_num nanargmax
    nanargmin nancumsum nanmean nanprod nanstd nansum nanvar outer pad partition percentile prod
    ptp quantile real_if_close resize roll round std sum tensordot tile trace trapezoid tril triu
    unwrap vander var vdot
""")
"""Functions that give a new array, and fetch nothing."""

VIEWS = _words("""
    array_split atleast_1d atleast_2d atleast_3d broadcast_arrays broadcast_to diagonal dsplit
    expand_dims flip fliplr flipud hsplit imag matrix_transpose moveaxis permute_dims ravel real
    reshape rollaxis rot90 split squeeze swapaxes transpose vsplit
""")
"""Functions that give a view where they can."""

ABOUT = _words("""
    broadcast_shapes can_cast common_type dtype finfo iinfo iscomplexobj isdtype isrealobj isscalar
    issubdtype may_share_memory min_scalar_type ndim promote_types result_type shape shares_memory
    size
""")
"""Functions that ask nothing of the device."""

JOINING = _words("column_stack concat concatenate dstack hstack stack vstack")
"""Functions of a list of arrays."""

WAITS = {
    "argpartition": 2,
    "argwhere": 1,
    "bincount": 2,
    "compress": 1,
    "extract": 1,
    "flatnonzero": 1,
    "histogram": 4,
    "intersect1d": 3,
    "nanmax": 1,
    "nanmin": 1,
    "nonzero": 1,
    "setdiff1d": 3,
    "trim_zeros": 2,
    "union1d": 1,
    "unique": 1,
    "unique_all": 2,
    "unique_counts": 2,
    "unique_inverse": 1,
    "unique_values": 1,
}
"""Functions for which the host fetches so many numbers, at the least: mostly the result's size."""

LINALG = _words("""
    cholesky det eigh eigvalsh inv matrix_power matrix_rank norm pinv qr slogdet solve svd
""")

NUMBERS = _words("""
    axes axis axis1 axis2 ddof decimals destination indices_or_sections k minlength ndim newshape
    pad_width reps shape shift source
""")
"""Parameters that are numbers of the host's."""

METHODS = _words("""
    all any argmax argmin conj conjugate cumprod cumsum dot max mean prod round std sum
    trace var
""")

VIEW_METHODS = _words("diagonal ravel reshape squeeze swapaxes transpose")
