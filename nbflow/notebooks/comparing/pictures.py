"""Images by their pixels: two files of one picture may differ in what is written beside it."""

import base64
import binascii
import hashlib
import io
import struct
from collections.abc import Iterator

_PNG = b"\x89PNG\r\n\x1a\n"


def picture(data: str, mime: str) -> str:
    """Return what stands for an image: its kind, and a digest of what is to be seen.

    Where Pillow is not installed, of a PNG's compressed pixels; of other kinds always of the file.
    """
    try:
        content = base64.b64decode(data)
    except (binascii.Error, ValueError):
        return data
    return picture_file(content, mime)


def picture_file(content: bytes, mime: str) -> str:
    """Return the same for the content of a file, which may be no image at all."""
    if mime != "image/png" or not content.startswith(_PNG):
        return f"<{mime}, {_digest(content)}>"
    return _pixels(content) or f"<{mime}, {_digest(b''.join(_critical(content)))}>"


def _pixels(content: bytes) -> str:
    try:
        from PIL import Image, UnidentifiedImageError  # lazy: optional, and slow to import
    except ImportError:
        return ""
    try:
        with Image.open(io.BytesIO(content)) as image:
            width, height = image.size
            return f"<image/png of {width} x {height}, {_digest(image.convert('RGBA').tobytes())}>"
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        # Damaged, or too large for Pillow's taste: then the file itself is compared.
        return ""


def _critical(content: bytes) -> Iterator[bytes]:
    """Yield the chunks that a picture consists of; those about it begin with a small letter."""
    at = len(_PNG)
    while at + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        if kind[:1].isupper():
            yield content[at : at + 8 + length]
        at += 12 + length


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
