"""An image that takes all memory fails by itself, and takes nobody with it."""

from __future__ import annotations

import io
import resource
import sys

import pytest
from PIL import Image

from crawl.decode import DecodeError, verify
from crawl.limits import memory_limit

linux = pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA binds on Linux alone")


def png(side: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side)).save(buffer, "PNG")
    return buffer.getvalue()


@linux
def test_a_large_image_fails_and_a_small_one_passes() -> None:
    large, small = png(6000), png(300)  # 144 MB decoded, and 0.4
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with memory_limit(64 << 20):
        with pytest.raises(DecodeError, match="MemoryError"):
            verify(large, max_pixels=10**9)
        assert verify(small, max_pixels=10**9).width == 300
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert verify(large, max_pixels=10**9).width == 6000


@linux
def test_a_limit_that_stands_is_kept() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with memory_limit(4 << 30):
        outer = resource.getrlimit(resource.RLIMIT_DATA)
        assert outer != before
        with memory_limit(64 << 30):
            assert resource.getrlimit(resource.RLIMIT_DATA) == outer
    with memory_limit(0):
        assert resource.getrlimit(resource.RLIMIT_DATA) == before
