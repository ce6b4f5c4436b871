"""The content of IDX files."""

import struct

import numpy as np

HTML_PAGE = b"<!DOCTYPE html>\n<html><body>Please log in to this network.</body></html>\n"


def idx_bytes(values, *, type_code=0x08, shape=None):
    """An IDX file of uint8 values, whose header may lie about the shape."""
    shape = values.shape if shape is None else shape
    header = bytes([0, 0, type_code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
    return header + values.astype(np.uint8).tobytes()


def images_like(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
