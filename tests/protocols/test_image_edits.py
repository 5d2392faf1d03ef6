"""Edits of images, read from JSON and from forms: the pictures with their types, the fields, what is refused."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.errors import ClientError
from ccx.protocols.image_edits import MOST_PICTURES, edit_of_form, edit_of_json, picture_type
from ccx.protocols.ir import Inline, Json, Remote
from ccx.protocols.multipart import Form, open_form

PNG = b"\x89PNG\r\n\x1a\n\x00\x00 a picture"
JPEG = b"\xff\xd8\xff\xe0 a photograph"
WEBP = b"RIFF\x10\x00\x00\x00WEBPVP8 "


def form(*parts: tuple[str, str | None, bytes]) -> Form:
    """A form of parts: what follows the field's `name=`, the content type, the content."""
    body = b""
    for disposition, kind, content in parts:
        body += b"--XX\r\nContent-Disposition: form-data; name=" + disposition.encode() + b"\r\n"
        body += b"" if kind is None else b"Content-Type: " + kind.encode() + b"\r\n"
        body += b"\r\n" + content + b"\r\n"
    return open_form(body + b"--XX--\r\n", "multipart/form-data; boundary=XX")


def inline(data: bytes, kind: str) -> Inline:
    return Inline(base64.b64encode(data).decode(), kind)


def url(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (WEBP, "image/webp"),
        (b"GIF89a..", "image/gif"),
        (b"\x00\x00\x00\x18ftypheic\x00", "image/heic"),
        (b"\x00\x00\x00\x18ftypmif1\x00", "image/heif"),
        (b"\x00\x00\x00\x1cftypavif\x00", "image/avif"),
        (b"RIFF\n\n\n\nWAVE", None),
        (b"\x00\x00\x00\x18ftypisom", None),
        (b"%PDF-1.7", None),
        (b" \x89PNG\r\n\x1a\n", None),
        (b"", None),
    ],
)
def test_the_bytes_tell_the_type(head: bytes, kind: str | None) -> None:
    assert picture_type(head) == kind


@pytest.mark.parametrize(
    ("data", "said", "kind"),
    [
        (PNG, None, "image/png"),
        (PNG, "application/octet-stream", "image/png"),
        (JPEG, "image/png", "image/jpeg"),  # a wrong type would be refused upstream
        (b"unknown", "image/x-new", "image/x-new"),
        (b"unknown", "image/jpg", "image/jpeg"),
        (b"unknown", "IMAGE/PNG; q=1", "image/png"),
    ],
)
def test_the_type_of_a_file(data: bytes, said: str | None, kind: str) -> None:
    assert edit_of_form(form(('image; filename="a"', said, data))).pictures == (inline(data, kind),)


def test_a_form() -> None:
    edit = edit_of_form(
        form(
            ("model", None, b"m"),
            ('"image[]"; filename="a.png"', "image/png", PNG),
            ("prompt", None, "Größer".encode()),
            ('"image[]"; filename="b.webp"', "application/octet-stream", WEBP),
            ("n", None, b"2"),
            ("mask; filename=m.png", "image/png", PNG),
            ("stream", None, b"True"),
            ("partial_images", None, b"0"),
            ("user", None, b"7"),
            ('"svg[model]"', None, b"x"),
            ("size", None, b""),
        )
    )
    assert edit.pictures == (inline(PNG, "image/png"), inline(WEBP, "image/webp"))
    assert edit.overlays == ("mask",)
    assert edit.fields == {
        "model": "m",
        "prompt": "Größer",
        "n": 2,
        "stream": True,
        "partial_images": 0,
        "user": "7",
        "svg": "x",
        "size": None,
    }


def test_json() -> None:
    edit = edit_of_json(
        {
            "model": "m",
            "prompt": "p",
            "images": [{"image_url": url(PNG, "image/webp")}, {"image_url": "https://x.example/a.png?b"}],
            "mask": {"file_id": "file-1"},
            "markup": None,
        }
    )
    assert edit.pictures == (inline(PNG, "image/png"), Remote("https://x.example/a.png?b"))
    assert (edit.overlays, edit.fields) == (("mask",), {"model": "m", "prompt": "p"})


@pytest.mark.parametrize(
    "image",
    [url(JPEG, "image/jpeg"), {"image_url": url(JPEG, "")}, {"image_url": {"url": url(JPEG, "text/plain;a=b")}}],
)
def test_other_spellings_of_one_picture(image: Json) -> None:
    for given_ in (image, [image]):
        assert edit_of_json({"image": given_}).pictures == (inline(JPEG, "image/jpeg"),)


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({}, "image", "at least one picture"),
        ({"images": []}, "image", "at least one picture"),
        ({"image": None}, "image", "at least one picture"),
        ({"images": [{"file_id": "file-1"}]}, "images[0]", "kept by OpenAI"),
        ({"images": [url(PNG, "image/png"), {}]}, "images[1]", "object with `image_url`"),
        ({"images": [7]}, "images[0]", "object with `image_url`"),
        ({"image": {"image_url": ""}}, "image", "object with `image_url`"),
        ({"image": "ftp://x/y.png"}, "image", "URL of https or a data: URL"),
        ({"image": "data:image/png,%89PNG"}, "image", "URL of https or a data: URL"),
        ({"image": "data:image/png;base64,#"}, "image", "not base64"),
        ({"image": "data:image/png;base64,é"}, "image", "not base64"),
        ({"image": "data:image/png;base64,"}, "image", "empty"),
        ({"image": url(b"%PDF-1.7", "application/pdf")}, "image", "no picture of a known format"),
        ({"images": [url(PNG, "")] * (MOST_PICTURES + 1)}, "image", "may have 16 pictures, not 17"),
    ],
)
def test_what_is_refused_in_json(body: Any, param: str, words: str) -> None:
    with pytest.raises(ClientError, match=words) as caught:
        edit_of_json(body)
    assert (caught.value.status, caught.value.kind, caught.value.param) == (400, "invalid_request", param)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((("prompt", None, b"p"),), "at least one picture"),
        ((("image; filename=a", "image/png", b""),), "empty"),
        ((("image; filename=a", None, b"text"),), "no picture of a known format"),
        ((("image; filename=a", "image/", b"text"),), "no picture of a known format"),
        ((("image; filename=a", None, PNG), ("prompt", None, b"\xff")), "not UTF-8"),
    ],
)
def test_what_is_refused_in_a_form(parts: tuple[tuple[str, str | None, bytes], ...], words: str) -> None:
    with pytest.raises(ClientError, match=words) as caught:
        edit_of_form(form(*parts))
    assert caught.value.status == 400


@given(st.lists(st.binary(max_size=200).filter(lambda data: b"--XX" not in data), min_size=1, max_size=4))
def test_pictures_of_both_forms_are_the_same(pictures: list[bytes]) -> None:
    files = [PNG + data for data in pictures]
    by_form = edit_of_form(form(*(('"image[]"; filename=a', None, data) for data in files)))
    by_json = edit_of_json({"images": [{"image_url": url(data, "image/png")} for data in files]})
    assert by_form == by_json
    assert [base64.b64decode(one.data) for one in by_form.pictures if isinstance(one, Inline)] == files
