from __future__ import annotations

import contextlib
import email.parser
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.errors import ClientError
from ccx.protocols.multipart import MAX_FIELD, MAX_PARTS, is_form, open_form

TYPE = "multipart/form-data; boundary=XX"


def part(name: str, value: bytes, *, more: str = "", boundary: str = "XX") -> bytes:
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + value + b"\r\n"


FILE = part(
    "image", b'\x89PNG\r\n\r\n--X\r\n name="model" \xff\x00', more='; filename="a.png"\r\nContent-Type: image/png'
)
FORM = part("prompt", b"a cat") + FILE + part("model", b"gpt-image-1") + part("stream", b"true") + b"--XX--\r\n"


def test_fields_are_read_and_files_left_alone() -> None:
    form = open_form(FORM, TYPE)
    assert (form.model, form.stream) == ("gpt-image-1", True)
    assert [p.name for p in form.parts] == ["prompt", "image", "model", "stream"]
    assert form.field("prompt") == "a cat"
    assert form.field("nothing") is None
    assert b"".join(form.with_model("x/é")) == FORM.replace(b"gpt-image-1", "x/é".encode())
    [same] = form.with_model("gpt-image-1")
    assert same is FORM


@pytest.mark.parametrize(
    "content_type",
    [
        'multipart/form-data; boundary="XX"',
        "Multipart/Form-Data;charset=utf-8 ; BOUNDARY=XX",
        "multipart/form-data; boundary=XX;",
    ],
)
def test_content_types(content_type: str) -> None:
    assert is_form(content_type)
    assert open_form(FORM, content_type).model == "gpt-image-1"


def test_every_part_of_the_name_is_replaced() -> None:
    raw = part("model", b"big") + part("x", b"1") + part("model", b"small") + b"--XX--"
    form = open_form(raw, TYPE)
    assert form.model == "small"
    assert b"".join(form.with_model("small")) == raw.replace(b"big", b"small")
    assert b"".join(form.with_model("new")) == raw.replace(b"big", b"new").replace(b"small", b"new")


def test_a_missing_model_is_added() -> None:
    raw = b"preamble\r\n" + part("x", b"1") + b"--XX--"
    form = open_form(raw, TYPE)
    assert (form.model, form.stream) == (None, False)
    out = b"".join(form.with_model("m"))
    assert out == b"preamble\r\n" + part("model", b"m") + part("x", b"1") + b"--XX--"
    assert open_form(out, TYPE).model == "m"
    assert open_form(b"".join(open_form(b"--XX--", TYPE).with_model("m")), TYPE).model == "m"


def test_disposition_spellings() -> None:
    disposition = b'CONTENT-DISPOSITION:form-data ;\r\n filename="; name=\\"q\\""; name=model'
    raw = b"--XX \t\r\ncontent-type: text/plain\r\n" + disposition + b"\r\n\r\nm\r\n--XX--epilogue"
    assert open_form(raw, TYPE).model == "m"


@pytest.mark.parametrize(
    ("raw", "content_type", "message"),
    [
        (FORM, "application/json", "not multipart/form-data"),
        (FORM, "multipart/form-data", "names no boundary"),
        (FORM, 'multipart/form-data; boundary="a\tb"', "not a legal multipart boundary"),
        (FORM, "multipart/form-data; boundary=" + "x" * 71, "not a legal multipart boundary"),
        (FORM, "multipart/form-data; boundary=XX; boundary=YY", "repeated parameter"),
        (FORM, 'multipart/form-data; boundary="XX', "malformed"),
        (FORM, "multipart/form-data; boundary=ZZ", "does not appear"),
        (b"", TYPE, "does not appear"),
        (FORM[:-6], TYPE, "truncated"),
        (FORM[:30], TYPE, "truncated"),
        (b"--XX", TYPE, "truncated"),
        (b"--XXY\r\n\r\n--XX--", TYPE, "followed by something else on its line (at byte 4)"),
        (b"--XX\r\nContent-Disposition: form-data; name=a\r\n--XX--", TYPE, "no end of its headers"),
        (b"--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n--XX--", TYPE, "no end of its headers"),
        (b"--XX\r\nX: y\r\n\r\n1\r\n--XX--", TYPE, "one Content-Disposition"),
        (b"--XX\r\n\r\n1\r\n--XX--", TYPE, "one Content-Disposition"),
        (b"--XX\r\nContent-Disposition: form-data\r\n\r\n1\r\n--XX--", TYPE, "has no name"),
        (b'--XX\r\nContent-Disposition: form-data; filename="a; name=model\r\n\r\n1\r\n--XX--', TYPE, "malformed"),
        (
            part("x", b"1", more="\r\nContent-Disposition: form-data; name=y") + b"--XX--",
            TYPE,
            "one Content-Disposition",
        ),
        (part("x", b"1") * (MAX_PARTS + 1) + b"--XX--", TYPE, f"more than {MAX_PARTS} parts"),
        (part("x", b"1", more="\r\nX: " + "y" * 20_000) + b"--XX--", TYPE, "no end of its headers"),
        (part("stream", b"1") + b"--XX--", TYPE, "'stream' must be true or false, not '1'"),
        (part("model", b"m\xff") + b"--XX--", TYPE, "'model' is not UTF-8"),
        (part("model", b"m" * (MAX_FIELD + 1)) + b"--XX--", TYPE, "longer than"),
    ],
)
def test_refusals(raw: bytes, content_type: str, message: str) -> None:
    with pytest.raises(ClientError) as caught:
        open_form(raw, content_type)
    assert (caught.value.status, caught.value.kind) == (400, "invalid_request")
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("headers", "content_type", "file"),
    [
        ('Content-Disposition: form-data; name="image"', None, False),
        ('Content-Disposition: form-data; name="image"; filename="a.png"', None, True),
        ("Content-Disposition: form-data; name=image; filename*=UTF-8''a.png", None, True),
        ("Content-Disposition: form-data; name=image\r\nContent-Type: image/png", "image/png", False),
        ("CONTENT-TYPE :Image/PNG ; charset=x\r\nContent-Disposition: form-data; name=image", "image/png", False),
        ("Content-Disposition: form-data; name=image\r\nContent-Type:", None, False),
        ("Content-Disposition: form-data; name=image\r\nX-Content-Type: image/png", None, False),
    ],
)
def test_what_is_said_of_a_part(headers: str, content_type: str | None, file: bool) -> None:
    [found] = open_form(b"--XX\r\n" + headers.encode() + b"\r\n\r\nx\r\n--XX--", TYPE).parts
    assert (found.name, found.content_type, found.file) == ("image", content_type, file)


def test_a_model_cannot_break_the_framing() -> None:
    with pytest.raises(ClientError, match="cannot be the value"):
        open_form(FORM, TYPE).with_model("a\r\n--XX--")


def test_the_bound_on_parts_is_exact() -> None:
    assert len(open_form(part("x", b"1") * MAX_PARTS + b"--XX--", TYPE).parts) == MAX_PARTS


NAMES = st.sampled_from(["model", "prompt", "image[]", "x"])


@given(
    st.lists(st.tuples(NAMES, st.binary(max_size=20).filter(lambda b: b"--XX" not in b)), min_size=1), st.text("ab/")
)
def test_against_the_standard_library(fields: list[tuple[str, bytes]], new: str) -> None:
    fields = [(name, b"m" + value.hex().encode() if name == "model" else value) for name, value in fields]
    raw = b"".join(part(name, value) for name, value in fields) + b"--XX--\r\n"
    form = open_form(raw, TYPE)
    out = b"".join(form.with_model(new))
    expected = [(name, new.encode() if name == "model" else value) for name, value in fields]
    if form.model is None:
        expected.insert(0, ("model", new.encode()))
    again = open_form(out, TYPE)
    assert [(p.name, out[p.start : p.end]) for p in again.parts] == expected
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
        f"Content-Type: {TYPE}\r\n\r\n".encode() + out
    )
    names = [p.get_param("name", header="content-disposition") for p in message.iter_parts()]
    assert names == [name for name, _ in expected]


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_arbitrary_bytes_are_read_or_refused(before: bytes, after: bytes) -> None:
    for raw in (before, before + b"--XX" + after, before + b"\r\n--XX\r\n" + after + b"\r\n--XX--"):
        with contextlib.suppress(ClientError):
            assert open_form(raw, TYPE).raw is raw
