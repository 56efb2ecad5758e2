import pytest

from nexus.errors import InvalidRequest
from nexus.llm.protocols import form

TYPE = b"multipart/form-data; boundary=XyZ"


def written(*parts: tuple[str, bytes]) -> bytes:
    body = b"".join(
        b'--XyZ\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value)
        for name, value in parts
    )
    return body + b"--XyZ--\r\n"


def test_the_model_is_found_among_files() -> None:
    body = written(
        ("file", b'\x00\r\n\r\nname="model"\xff'), ("model", b"openai/whisper-1"), ("language", b"en")
    )
    span = form.locate(body, TYPE, "model")
    assert span is not None
    assert body[slice(*span)] == b"openai/whisper-1"


def test_quoted_boundaries_and_preambles_are_read() -> None:
    body = b"preamble\r\n" + written(("model", b"m"))
    span = form.locate(body, b'multipart/form-data; charset=x; boundary="XyZ"', "model")
    assert span is not None
    assert body[slice(*span)] == b"m"


def test_a_file_called_like_the_field_is_not_the_field() -> None:
    body = b'--XyZ\r\nContent-Disposition: form-data; name="file"; filename="model"\r\n\r\nx\r\n--XyZ--\r\n'
    assert form.locate(body, TYPE, "model") is None


def test_an_empty_value_has_a_place() -> None:
    body = written(("model", b""))
    span = form.locate(body, TYPE, "model")
    assert span is not None
    assert span[0] == span[1]


@pytest.mark.parametrize(
    ("body", "content_type", "says"),
    [
        (written(("model", b"a"), ("model", b"b")), TYPE, "there twice"),
        (written(("model", b"a")), b"multipart/form-data", "without a boundary"),
        (b"nothing", TYPE, "does not contain its boundary"),
        (b'--XyZ\r\nContent-Disposition: form-data; name="model"\r\n\r\nm', TYPE, "ends in the middle"),
        (b"--XyZ\r\nContent-Disposition: form-data", TYPE, "ends in the middle"),
        (b"--XyZ", TYPE, "ends in the middle"),
    ],
)
def test_a_broken_form_is_refused(body: bytes, content_type: bytes, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        form.locate(body, content_type, "model")


HEAD = b'content-disposition: form-data; name="model"\r\n\r\nopen\r\n'


@pytest.mark.parametrize(
    ("more", "content_type"),
    [
        (b"content-disposition: form-data; name=model\r\n\r\nx", TYPE),
        (b"content-disposition: form-data; name*=utf-8''model\r\n\r\nx", TYPE),
        (b'content-disposition: form-data; name="a"; name="model"\r\n\r\nx', TYPE),
        (b'content-disposition: form-data; name="mod\\el"\r\n\r\nx', TYPE),
        (b'x: y\r\n content-disposition: form-data; name="model"\r\n\r\nx', TYPE),
        (b'content-disposition: a; name="b"\r\ncontent-disposition: form-data; name="model"\r\n\r\nx', TYPE),
        (b'content-disposition: form-data; name="a"\r\n\r\n\n--XyZ\n' + HEAD, TYPE),
        (b'content-disposition: form-data; name="a"\r\n\r\nx', TYPE + b"; boundary=other"),
        (b'content-disposition: form-data; name="a"\r\n\r\nx', TYPE + b"; boundary*=utf-8''other"),
    ],
)
def test_no_other_reader_finds_another_model(more: bytes, content_type: bytes) -> None:
    body = b"--XyZ\r\n" + HEAD + b"--XyZ\r\n" + more + b"\r\n--XyZ--\r\n"
    with pytest.raises(InvalidRequest):
        form.locate(body, content_type, "model")


@pytest.mark.parametrize("after", [b"--XyZ\r\n" + HEAD + b"--XyZ--\r\n", b"\n--XyZ\n" + HEAD])
def test_nothing_that_looks_like_a_part_is_outside_of_the_form(after: bytes) -> None:
    with pytest.raises(InvalidRequest, match="boundary"):
        form.locate(b"--XyZ\r\n" + HEAD + b"--XyZ--\r\n" + after, TYPE, "model")


@pytest.mark.parametrize(
    "disposition",
    [
        b'form-data; name="file"; filename="a \\" b; name=model.wav"',
        b"form-data; name=file; filename*=utf-8''%e2%82%ac.wav",
        'form-data; name="image[]"; filename="\u00e4 (1).png";'.encode(),
    ],
)
def test_parts_as_clients_write_them_are_read(disposition: bytes) -> None:
    part = b"Content-Disposition: " + disposition + b"\r\nContent-Type: audio/wav\r\n\r\n\x00\x01"
    body = b"--XyZ\r\n" + HEAD + b"--XyZ\r\n" + part + b"\r\n--XyZ--\r\n"
    span = form.locate(body, TYPE, "model")
    assert span is not None
    assert body[slice(*span)] == b"open"
