"""Pictures, forms and vectors."""

from __future__ import annotations

import math
import struct
import zlib
from base64 import b64decode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.upstream.demo.multipart import form
from ccx.upstream.demo.png import png
from ccx.upstream.demo.vector import unit_vector
from tests.upstream_demo.asking import body, events, post

BOUNDARY = "xyz"


def multipart(*parts: tuple[str, str | bytes]) -> bytes:
    """A form: text is a field, bytes are a file."""
    made = b""
    for name, value in parts:
        file = '; filename="a.png"\r\nContent-Type: image/png' if isinstance(value, bytes) else ""
        made += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode()
        made += (value if isinstance(value, bytes) else value.encode()) + b"\r\n"
    return made + f"--{BOUNDARY}--\r\n".encode()


def sent(path: str, *parts: tuple[str, str | bytes]) -> Any:
    return post(path, multipart(*parts), content_type=f"multipart/form-data; boundary={BOUNDARY}")


@pytest.mark.parametrize(("width", "height"), [(1, 1), (9, 3), (1024, 1536)])
def test_png(width: int, height: int) -> None:
    data = png(width, height, b"abc")
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, rest = {}, data[8:]
    while rest:
        (length,) = struct.unpack(">I", rest[:4])
        kind, content, (crc,) = rest[4:8], rest[8 : 8 + length], struct.unpack(">I", rest[8 + length : 12 + length])
        assert crc == zlib.crc32(kind + content)
        chunks[kind] = content
        rest = rest[12 + length :]
    assert list(chunks) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    assert struct.unpack(">II", chunks[b"IHDR"][:8]) == (width, height)
    assert len(zlib.decompress(chunks[b"IDAT"])) == height * (1 + (width + 7) // 8)
    assert len(data) < 1000


@given(st.binary(max_size=60), st.text(max_size=20))
def test_forms(file: bytes, text: str) -> None:
    safe = text.replace("\r", "").replace(BOUNDARY, "")
    if f"\r\n--{BOUNDARY}".encode() in b"\r\n" + file:
        return
    fields, files = form(
        f'multipart/form-data; boundary="{BOUNDARY}"', multipart(("a", safe), ("b", file), ("b", b"2"))
    )
    assert (fields, files) == ({"a": safe}, {"b": [file, b"2"]})


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("text/plain", b"a"),
        ("multipart/form-data", b"a"),
        (f"multipart/form-data; boundary={BOUNDARY}", b"nothing"),
        (f"multipart/form-data; boundary={BOUNDARY}", multipart(("a", "b"))[:-8]),
        (
            f"multipart/form-data; boundary={BOUNDARY}",
            b"--xyz\r\nContent-Disposition: form-data\r\n\r\na\r\n--xyz--\r\n",
        ),
    ],
)
def test_broken_forms(kind: str, raw: bytes) -> None:
    with pytest.raises(ValueError, match="form"):
        form(kind, raw)
    assert post("/v1/images/edits", raw, content_type=kind).status == 400


def test_edits_and_variations() -> None:
    made = body(
        sent("/v1/images/edits", ("image[]", b"1"), ("image[]", b"2"), ("prompt", "a"), ("n", "2"), ("size", "8x9"))
    )
    assert len(made["data"]) == 2
    assert struct.unpack(">II", b64decode(made["data"][0]["b64_json"])[16:24]) == (8, 9)
    assert made["size"] == "8x9"
    streamed = sent("/v1/images/edits", ("image", b"1"), ("prompt", "a"), ("stream", "true"), ("partial_images", "1"))
    assert [name for name, _ in events(streamed)] == ["image_edit.partial_image", "image_edit.completed"]
    in_json = {"images": [{"image_url": "data:,"}], "prompt": "a"}
    assert post("/v1/images/edits", in_json, content_type="application/json").status == 200
    varied = body(sent("/v1/images/variations", ("image", b"1"), ("model", "dall-e-2")))
    assert varied["data"][0]["url"].startswith("data:image/png;base64,")
    for path, parts in (
        ("/v1/images/edits", (("prompt", "a"),)),
        ("/v1/images/edits", (("image", b"1"),)),
        ("/v1/images/edits", (("image", b""), ("prompt", "a"))),
        ("/v1/images/variations", (("n", "1"),)),
        ("/v1/images/variations", (("image", b"1"), ("n", "many"))),
    ):
        assert sent(path, *parts).status == 400


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"n": 11}, "n"),
        ({"n": 0}, "n"),
        ({"size": "big"}, "size"),
        ({"size": "0x5"}, "size"),
        ({"size": "99999x5"}, "size"),
        ({"partial_images": 4}, "partial_images"),
        ({"response_format": "paper"}, "response_format"),
    ],
)
def test_image_validation(change: dict[str, Any], param: str) -> None:
    answer = post("/v1/images/generations", {"prompt": "a", **change})
    assert (answer.status, body(answer)["error"]["param"]) == (400, param)


def test_pictures_differ_and_streams_fail_halfway() -> None:
    data = body(post("/v1/images/generations", {"prompt": "a", "n": 2}))["data"]
    assert data[0] != data[1]
    broken = post(
        "/v1/images/generations", {"prompt": "a", "model": "demo-error-midstream", "stream": True, "partial_images": 2}
    )
    assert [name for name, _ in events(broken)] == ["image_generation.partial_image", "error"]


@given(st.binary(max_size=20), st.integers(1, 300))
def test_vectors(content: bytes, size: int) -> None:
    vector = unit_vector(content, size)
    assert len(vector) == size
    assert math.isclose(sum(value * value for value in vector), 1, abs_tol=1e-4)
    assert vector == unit_vector(content, size)


@pytest.mark.parametrize("given_input", ["one two", ["one two"], [1, 2], [[1, 2]]])
def test_embedding_inputs(given_input: Any) -> None:
    answer = body(post("/v1/embeddings", {"model": "m", "input": given_input, "dimensions": 4}))
    assert [len(item["embedding"]) for item in answer["data"]] == [4]
    assert answer["usage"] == {"prompt_tokens": 2, "total_tokens": 2}


@pytest.mark.parametrize(
    "change",
    [{"input": ""}, {"input": []}, {"input": ["a", ""]}, {"input": ["a", 5]}, {"input": {}}, {"input": ["a"] * 2049},
     {"dimensions": 0}, {"dimensions": 10**6}, {"dimensions": "4"}, {"encoding_format": "hex"}],
    ids=lambda change: repr(change)[:30],
)  # fmt: skip
def test_embedding_validation(change: dict[str, Any]) -> None:
    assert post("/v1/embeddings", {"model": "m", "input": "a", **change}).status == 400


def test_gemini_embeddings() -> None:
    content = {"parts": [{"text": "a"}]}
    made = body(post("/v1beta/models/m:embedContent", {"content": content, "outputDimensionality": 5}))
    assert len(made["embedding"]["values"]) == 5
    assert len(body(post("/v1beta/models/m:embedContent", {"content": content}))["embedding"]["values"]) == 3072
    several = body(
        post(
            "/v1beta/models/m:batchEmbedContents", {"requests": [{"content": content, "output_dimensionality": 5}] * 2}
        )
    )
    assert several["embeddings"] == [made["embedding"]] * 2
    refused: dict[str, Any]
    for refused in ({"content": {}}, {"content": content, "outputDimensionality": -1}):
        assert post("/v1beta/models/m:embedContent", refused).status == 400
        assert post("/v1beta/models/m:batchEmbedContents", {"requests": [refused]}).status == 400
    assert post("/v1beta/models/m:batchEmbedContents", {"requests": []}).status == 400
