"""Image bytes as they are meant to be seen, for every package: upright, in RGB, nothing transparent."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

from store.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

# Pillow warns of half of its own limit and of odd metadata; limits are the crawl's. Once for all: filters
# belong to the process, and images are decoded in several threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


def upright(data: bytes) -> Image.Image:
    """Decode an image, turn it as its EXIF orientation says, and make it RGB.

    Raises:
        DataError: the bytes are no image that can be read to its end.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            return opaque(image if orientation(image) == 1 else ImageOps.exif_transpose(image))
    except Exception as error:
        # Decoders raise nearly anything on crafted bytes; whatever it is, this image does not decode.
        raise DataError(f"image does not decode: {type(error).__name__}: {error}") from error


def orientation(image: Image.Image) -> int:
    """EXIF orientation 1–8; 1 when the tag is absent or the EXIF block itself is broken."""
    from PIL import ExifTags

    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError):
        return 1


def opaque(image: Image.Image) -> Image.Image:
    """RGB; what is transparent becomes white, and 16 bits are scaled to 8, which `convert` would cut off."""
    from PIL import Image

    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):
        image = image.point(lambda value: value / 257).convert("L")
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
