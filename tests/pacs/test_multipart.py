"""Multipart messages are taken apart alike, wherever the network cuts them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.pacs.multipart import boundary_of, first_part, one_part


@given(st.binary(max_size=300), st.integers(1, 40))
def test_a_part_comes_back_however_it_is_cut(content: bytes, size: int) -> None:
    message = b"".join(one_part([content[:7], content[7:]], b"boundary-4711"))
    blocks = (message[i : i + size] for i in range(0, len(message), size))
    assert b"".join(first_part(blocks, b"boundary-4711")) == content


def test_only_the_first_part_is_taken() -> None:
    message = b"\r\n--b\r\nContent-Type: application/dicom\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--"
    assert b"".join(first_part([message], b"b")) == b"one"


@pytest.mark.parametrize("message", [b"", b"--b\r\n\r\nhalf", b"--c\r\n\r\nx\r\n--b--", b"x" * 40_000])
def test_what_is_cut_short_or_something_else_is_an_error(message: bytes) -> None:
    with pytest.raises(ValueError, match=r"part|boundary|short"):
        list(first_part([message], b"b"))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ('multipart/related; type="application/dicom"; boundary="a-b"', b"a-b"),
        ("Multipart/Related; boundary=ab; type=x", b"ab"),
        ("application/dicom", None),
        ("multipart/related", None),
    ],
)
def test_the_boundary_is_found(kind: str, expected: bytes | None) -> None:
    assert boundary_of(kind) == expected
