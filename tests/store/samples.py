"""Small samples and regions for the tests of every format."""

from __future__ import annotations

import hashlib
import io

import numpy as np

from store.records import Caption, Regions, Sample


def picture(seed: int, width: int = 8, height: int = 6, kind: str = "PNG") -> bytes:
    from PIL import Image

    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def sample(name: str, *, image: bytes = b"", extension: str = "png", dataset: str = "scenes") -> Sample:
    image = image or picture(len(name))
    key = f"{dataset}/{name}"
    captions = (
        Caption(id=f"{key}#en0", lang="en", text="A red “cube”\nnext to a <ball>."),
        Caption(id=f"{key}#cs0", lang="cs", text="Červená kostka vedle míče.", translates=f"{key}#en0"),
    )
    return Sample(
        key=key,
        captions=captions,
        image=image,
        extension=extension,
        url="https://example.org/a.png",
        sha256=hashlib.sha256(image).hexdigest(),
        width=8,
        height=6,
        split="train",
        licence="CC0",
        source_ids={"coco": "17", "flickr": "x"},
        truth={
            "objects": [{"box": [0.5, 1.0, 4.0, 5.0], "name": "cube", "attributes": ["red"]}],
            "relations": [],
        },
    )


def text_sample(name: str) -> Sample:
    caption = Caption(id=f"tatoeba/{name}#de0", lang="de", text="Guten Tag.")
    return Sample(
        key=f"tatoeba/{name}", captions=(caption,), image=None, extension="", sha256="", width=0, height=0
    )


def regions(seed: int, n: int = 5, dim: int = 16, posteriors: int = 0) -> Regions:
    make = np.random.default_rng(seed)
    corners = np.sort(make.uniform(0, 100, (n, 2, 2)), axis=1).reshape(n, 4)
    return Regions(
        boxes=corners.astype(np.float32),
        features=make.standard_normal((n, dim)).astype(np.float16),
        class_id=make.integers(0, 1600, n).astype(np.int32),
        score=np.sort(make.uniform(0, 1, n).astype(np.float32))[::-1].copy(),
        attribute_id=make.integers(-1, 400, n).astype(np.int32),
        attribute_score=make.uniform(0, 1, n).astype(np.float32),
        image_size=np.asarray([100, 120], np.int32),
        posteriors=make.uniform(0, 1, (n, posteriors)).astype(np.float16) if posteriors else None,
    )


def assert_same_regions(a: Regions, b: Regions) -> None:
    for name in Regions.__slots__:
        x, y = getattr(a, name), getattr(b, name)
        if x is None or y is None:
            assert x is y, name
            continue
        assert x.dtype == y.dtype, name
        assert x.shape == y.shape, name
        assert x.tobytes() == y.tobytes(), name
