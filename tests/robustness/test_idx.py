"""The strict reader of IDX files: what it reads, and every kind of damage."""

import gzip
import hashlib
import re
import struct
import tracemalloc

import numpy as np
import pytest
from fastmlp.datasets import idx
from fastmlp.datasets.idx import load_idx, read_idx
from fastmlp.errors import DataFileError
from idx_files import HTML_PAGE, idx_bytes, images_like


@pytest.fixture(params=["plain", "gz"])
def write(request, tmp_path):
    """Write the content of an IDX file, compressed or not, and return its path."""

    def write_file(content, name="data-idx-ubyte"):
        path = tmp_path / (name if request.param == "plain" else f"{name}.gz")
        path.write_bytes(content if request.param == "plain" else gzip.compress(content, 1))
        return path

    return write_file


@pytest.mark.parametrize("shape", [(1,), (7,), (3, 28, 28), (2, 3, 4, 5)])
def test_read_idx_returns_what_was_written(write, shape):
    expected = images_like(*shape)
    values = read_idx(write(idx_bytes(expected)), (None, *shape[1:]))
    assert values.dtype == np.uint8
    assert values.flags.c_contiguous
    np.testing.assert_array_equal(values, expected)


def test_compression_is_recognised_by_content_not_by_name(tmp_path):
    expected = images_like(5, 4)
    (tmp_path / "plain.gz").write_bytes(idx_bytes(expected))
    (tmp_path / "compressed").write_bytes(gzip.compress(idx_bytes(expected)))
    np.testing.assert_array_equal(read_idx(tmp_path / "plain.gz"), expected)
    np.testing.assert_array_equal(read_idx(str(tmp_path / "compressed")), expected)


def test_file_of_several_gzip_members(tmp_path):
    content = idx_bytes(images_like(100))
    path = tmp_path / "members.gz"
    path.write_bytes(gzip.compress(content[:50]) + gzip.compress(content[50:]))
    np.testing.assert_array_equal(read_idx(path), images_like(100))


GOOD = idx_bytes(images_like(10, 28, 28))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "not an IDX file", id="empty file"),
        pytest.param(b"\0\0", "not an IDX file", id="two bytes"),
        pytest.param(HTML_PAGE, "not an IDX file.*DOCTYPE", id="HTML page"),
        pytest.param(b"\0\1" + GOOD[2:], "not an IDX file", id="wrong magic"),
        pytest.param(b"\0\0\x0d" + GOOD[3:], "type 0x08.*type 0x0d", id="floats"),
        pytest.param(b"\0\0\x08\0" + GOOD[4:], "1 to 8 dimensions.*says 0", id="no dimensions"),
        pytest.param(b"\0\0\x08\xff" + GOOD[4:], "1 to 8 dimensions.*says 255", id="255 dimensions"),
        pytest.param(GOOD[:11], "ends inside its header", id="cut in the header"),
        pytest.param(GOOD[:16], r"\(10, 28, 28\)", id="header alone"),
        pytest.param(GOOD[:-1], r"7840 values of shape \(10, 28, 28\)", id="one byte short"),
        pytest.param(GOOD + b"\0", r"7840 values of shape \(10, 28, 28\), but goes on", id="one byte long"),
        pytest.param(idx_bytes(images_like(0, 28)), r"empty.*\(0, 28\)", id="no samples"),
        pytest.param(idx_bytes(images_like(4), shape=(2**32 - 1,) * 8), "the limit is", id="absurd dimensions"),
        pytest.param(idx_bytes(images_like(4), shape=(2**30,)), "too short to hold them", id="unlikely dimensions"),
    ],
)
def test_malformed_idx_file(write, content, message):
    path = write(content)
    with pytest.raises(DataFileError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_every_prefix_of_a_file_is_rejected(tmp_path):
    path = tmp_path / "prefix"
    plain = idx_bytes(images_like(3, 2, 2))
    for content in (plain, gzip.compress(plain)):
        for length in range(len(content)):
            path.write_bytes(content[:length])
            with pytest.raises(DataFileError):
                read_idx(path)


def test_every_flipped_byte_of_a_gzip_file_is_rejected_or_harmless(tmp_path):
    expected = images_like(3, 2, 2)
    content = gzip.compress(idx_bytes(expected))
    path = tmp_path / "flipped.gz"
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            values = read_idx(path)
        except DataFileError:
            continue
        # Time stamp and operating system in the gzip header change nothing.
        np.testing.assert_array_equal(values, expected)


def test_bad_checksum(tmp_path):
    content = bytearray(gzip.compress(GOOD))
    content[-8] ^= 1
    path = tmp_path / "bad-checksum.gz"
    path.write_bytes(content)
    with pytest.raises(DataFileError, match="CRC"):
        read_idx(path)


def test_bytes_after_the_gzip_member(tmp_path):
    path = tmp_path / "trailing.gz"
    path.write_bytes(gzip.compress(GOOD) + b"more")
    with pytest.raises(DataFileError):
        read_idx(path)


@pytest.mark.parametrize("declared", [(10,), (2**32 - 1,), (2**16, 2**16)])
def test_gzip_bomb_stays_in_bounded_memory(tmp_path, declared):
    path = tmp_path / "bomb.gz"
    bomb = bytes(32 << 20)  # 32 MB in 32 kB
    path.write_bytes(gzip.compress(idx_bytes(np.empty(0), shape=declared) + bomb, 1))
    del bomb
    tracemalloc.start()
    try:
        with pytest.raises(DataFileError):
            read_idx(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20  # the reader's own blocks are 1 MB


def test_expected_shape_is_quoted_beside_the_shape_found(write):
    path = write(GOOD)
    with pytest.raises(DataFileError, match=r"\(any, 32, 32\).*\(10, 28, 28\)"):
        read_idx(path, (None, 32, 32))
    with pytest.raises(DataFileError, match=r"\(any,\).*\(10, 28, 28\)"):
        read_idx(path, (None,))


def test_max_bytes(write):
    path = write(GOOD)
    assert read_idx(path, max_bytes=7840).shape == (10, 28, 28)
    with pytest.raises(DataFileError, match="7840 values.*limit is 7839"):
        read_idx(path, max_bytes=7839)


def test_sha256_is_of_the_decompressed_file(write):
    path = write(GOOD)
    right = hashlib.sha256(GOOD).hexdigest()
    wrong = hashlib.sha256(b"").hexdigest()
    assert read_idx(path, sha256=right).shape == (10, 28, 28)
    with pytest.raises(DataFileError, match=f"expected sha256 {wrong}.*got {right}"):
        read_idx(path, sha256=wrong)


def test_missing_file_and_folder_in_its_place(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "nothing")
    with pytest.raises(DataFileError):
        read_idx(tmp_path)


def test_load_idx_flattens_images_and_widens_labels(write):
    labels = np.arange(10, dtype=np.uint8)
    X, y = load_idx(write(GOOD, "images"), write(idx_bytes(labels), "labels"))
    assert (X.shape, X.dtype, y.shape, y.dtype) == ((10, 784), np.uint8, (10,), np.int64)
    np.testing.assert_array_equal(X.ravel(), images_like(10, 28, 28).ravel())
    np.testing.assert_array_equal(y, labels)


def test_load_idx_rejects_counts_that_differ(write):
    images, labels = write(GOOD, "images"), write(idx_bytes(np.zeros(9)), "labels")
    with pytest.raises(DataFileError, match="10 images.*9 labels"):
        load_idx(images, labels)


def test_load_idx_rejects_labels_out_of_range(write):
    images = write(GOOD, "images")
    labels = write(idx_bytes(np.array([0, 1, 9, 10, 4, 5, 6, 11, 8, 9])), "labels")
    with pytest.raises(DataFileError, match=r"\[0, 10\), got 10 at position 3"):
        load_idx(images, labels)
    assert load_idx(images, labels, classes=12)[1].max() == 11


def test_load_idx_rejects_images_in_the_place_of_labels(write):
    images = write(GOOD, "images")
    with pytest.raises(DataFileError, match=r"\(any,\)"):
        load_idx(images, images)


# Bounds of headers and labels


@pytest.mark.parametrize("dimensions", range(12))
def test_one_to_eight_dimensions_are_read(write, dimensions):
    path = write(bytes([0, 0, 8, dimensions]) + struct.pack(f">{dimensions}I", *[1] * dimensions) + b"\x07")
    if 1 <= dimensions <= 8:
        assert read_idx(path).shape == (1,) * dimensions and read_idx(path).item() == 7
    else:
        with pytest.raises(DataFileError, match=f"must have 1 to 8 dimensions, its header says {dimensions}"):
            read_idx(path)


def test_every_other_type_and_first_bytes_are_rejected(tmp_path):
    path = tmp_path / "data"
    for code in (0, 7, 9, 0x0B, 0x0C, 0x0D, 0x0E, 0x18, 0x88, 255):
        path.write_bytes(idx_bytes(images_like(3), type_code=code))
        with pytest.raises(DataFileError, match=f"type 0x08.*its header says type 0x{code:02x}"):
            read_idx(path)
    for place, value in ((0, 1), (0, 255), (1, 1), (1, 8)):
        content = bytearray(idx_bytes(images_like(3)))
        content[place] = value
        path.write_bytes(content)
        with pytest.raises(DataFileError, match="expected two zero bytes first, it starts with"):
            read_idx(path)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_length_of_zero_is_rejected_in_any_place(write, place):
    shape = [2, 3, 4]
    shape[place] = 0
    with pytest.raises(DataFileError, match=re.escape(f"is empty: its header says shape {tuple(shape)}")):
        read_idx(write(idx_bytes(np.zeros(24), shape=tuple(shape))))


def test_sizes_up_to_the_limit_are_tried(tmp_path):
    """The default limit is 2^30 values; a plain file holds at most its bytes, a compressed one 1032 times as many."""
    path = tmp_path / "data"
    for size, found in [(2**30 + 1, "the limit is 1073741824"), (2**30, "too short to hold them")]:
        path.write_bytes(idx_bytes(images_like(4), shape=(size,)))
        with pytest.raises(DataFileError, match=f"declares {size} values of shape .{size},., .*{found}"):
            read_idx(path)
    for declared, found in [(12, "ends after 4"), (13, "too short to hold them")]:  # of twelve bytes in all
        path.write_bytes(idx_bytes(images_like(4), shape=(declared,)))
        with pytest.raises(DataFileError, match=found):
            read_idx(path)
    for more, found in [(0, "ends after 4"), (1, "too short to hold them")]:
        stored = len(gzip.compress(idx_bytes(images_like(4), shape=(2**16,)), mtime=0))
        for _ in range(9):  # until the length no longer depends on the number in the header
            content = gzip.compress(idx_bytes(images_like(4), shape=(1032 * stored + more,)), mtime=0)
            if len(content) == stored:
                break
            stored = len(content)
        path.write_bytes(content)
        with pytest.raises(DataFileError, match=found):
            read_idx(path)


@pytest.mark.parametrize("size", [1, 3, 4, 5, 8, 9])
def test_files_of_any_number_of_blocks_are_read(write, monkeypatch, size):
    monkeypatch.setattr(idx, "_BLOCK", 4)
    np.testing.assert_array_equal(read_idx(write(idx_bytes(images_like(size)))), images_like(size))


@pytest.mark.parametrize("classes", [1, 2, 9, 10, 11, 200, 255])
def test_labels_lie_below_the_number_of_classes(write, classes):
    """Exactly that number is too large, wherever it stands, and the first such label is named."""
    images = write(GOOD, "images")
    for place in (0, 4, 9):
        labels = np.full(10, classes - 1)
        assert (load_idx(images, write(idx_bytes(labels), "good"), classes=classes)[1] == classes - 1).all()
        labels[place] = classes
        found = re.escape(f"must hold labels in [0, {classes}), got {classes} at position {place}")
        with pytest.raises(DataFileError, match=found):
            load_idx(images, write(idx_bytes(labels), "bad"), classes=classes)
    labels = np.full(10, 255)
    assert load_idx(images, write(idx_bytes(labels), "all"), classes=256)[1].max() == 255


@pytest.mark.parametrize("labels", [1, 9, 11])
def test_as_many_labels_as_images(write, labels):
    with pytest.raises(DataFileError, match=f"images.* holds 10 images, but .*labels.* holds {labels} labels"):
        load_idx(write(GOOD, "images"), write(idx_bytes(np.zeros(labels)), "labels"))
