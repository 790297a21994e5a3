"""RecordCutter: a stream of CSV in any pieces gives back the same records."""

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncd.core.csv import Mended, RecordCutter, ValueReplacer
from syncd.errors import WorkFailed

AWKWARD = st.sampled_from(
    [
        "",
        "null",
        '"',
        '""',
        ",",
        "\n",
        "\r",
        "\r\n",
        "a\nb",
        'say "no"',
        "\u2028",
        "\u2029",
        "\x85",
        "\ufeff",
        "é😀",
        "\\.",
        "\0",
    ]
)
VALUES = st.one_of(AWKWARD, st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12))
TABLES = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(VALUES, min_size=width, max_size=width), max_size=8)
)
ENDS = st.sampled_from(["\n", "\r\n"])


def as_csv(rows: list[list[str]], *, end: str = "\n", last: bool = True) -> bytes:
    out = io.StringIO(newline="")
    # Python 3.11 leaves a carriage return without quotes where it does not end lines.
    quoting = csv.QUOTE_ALL if any("\r" in value for row in rows for value in row) else csv.QUOTE_MINIMAL
    writer = csv.writer(out, lineterminator=end, quoting=quoting)
    writer.writerows(rows)
    text = out.getvalue()
    return (text if last else text.removesuffix(end)).encode()


def read(records: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(records.decode(), newline="")))


def cut(cutter: RecordCutter, data: bytes, sizes: list[int]) -> list[bytes]:
    """Feed the data in chunks of these sizes, over and over; return the pieces that came out."""
    pieces, place, turn = [], 0, 0
    while place < len(data):
        size = sizes[turn % len(sizes)]
        pieces.append(cutter.feed(data[place : place + size]))
        place, turn = place + size, turn + 1
    return [piece for piece in [*pieces, cutter.finish()] if piece]


@given(TABLES, st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers(1, 60), ENDS, st.booleans())
@example([["a\nb", '"'], ["\r\n", "\u2028"]], [1], 1, "\n", False)
def test_whatever_the_pieces_the_same_records_come_out(rows, sizes, piece, end, last):
    rows = [[str(n), *row] for n, row in enumerate(rows)]
    header = ["id", *(f"field{n}" for n in range(len(rows[0]) - 1 if rows else 2))]
    cutter = RecordCutter(piece)
    head = ",".join(header).encode() + end.encode()
    pieces = cut(cutter, head + as_csv(rows, end=end, last=last), sizes)
    wanted = [[value.replace("\0", "") for value in row] for row in rows]
    assert cutter.header == header
    assert read(b"".join(pieces)) == wanted
    # Each piece is whole by itself, so that each can be copied by itself.
    assert [row for one in pieces for row in read(one)] == wanted
    assert [m.what for m in cutter.mended] == ["nul"] * sum("\0" in value for row in rows for value in row)


def test_nothing_is_cut_before_a_piece_is_full():
    cutter = RecordCutter(100)
    assert cutter.feed(b"id,name\n1,a\n") == b""
    assert cutter.feed(b"2,b\n") == b""
    assert cutter.finish() == b"1,a\n2,b\n"


def test_a_record_longer_than_a_piece_waits_for_its_end():
    cutter = RecordCutter(8)
    assert cutter.feed(b"id,name\n") == b""
    assert cutter.feed(b'1,"a\nb\nc\nd\ne') == b""
    assert cutter.feed(b'\nf"\n2,') == b'1,"a\nb\nc\nd\ne\nf"\n'
    assert cutter.feed(b"x") == b""
    assert cutter.finish() == b"2,x"


def test_a_header_alone_is_no_record():
    cutter = RecordCutter()
    cutter.feed(b"id,email\n")
    assert cutter.finish() == b""
    assert cutter.header == ["id", "email"]


def test_an_empty_stream_has_neither_header_nor_records():
    cutter = RecordCutter()
    assert cutter.finish() == b""
    assert cutter.header is None


def test_a_byte_order_mark_is_no_part_of_the_first_name():
    cutter = RecordCutter()
    cutter.feed(b"\xef\xbb\xbfid,email\r\n1,a\r\n")
    assert cutter.finish() == b"1,a\r\n"
    assert cutter.header == ["id", "email"]


def test_nul_characters_are_taken_out_and_their_values_named():
    cutter = RecordCutter(1)
    pieces = cut(cutter, b'id,name\n1,"a\0b\0"\n2,\0\n', [3])
    assert b"".join(pieces) == b'1,"ab"\n2,\n'
    assert cutter.mended == [Mended("1", "name", "nul"), Mended("2", "name", "nul")]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_broken_utf8_becomes_a_replacement_character_and_its_value_is_named(size):
    cutter = RecordCutter(10**6)
    pieces = cut(cutter, b"id,name\n1,\xc3\xa9\n2,a\xffb\xc3\n", [size])
    assert b"".join(pieces).decode() == "1,é\n2,a\ufffdb\ufffd\n"
    assert cutter.mended == [Mended("2", "name", "utf8")]


def test_good_utf8_is_never_broken_by_a_chunk_boundary():
    data = b"id,name\n" + as_csv([[str(n), "é😀\u2028" * 5] for n in range(50)])
    for size in (1, 2, 3, 5):
        cutter = RecordCutter(64)
        cut(cutter, data, [size])
        assert cutter.mended == []


@pytest.mark.parametrize(
    ("bare", "quoted"),
    [
        (b"1,a\rb\n", b'1,"a\rb"\n'),
        (b"1,\ra\r,b\n", b'1,"\ra\r",b\n'),
        (b"1,a\r\n2,b\rc\r\n", b'1,a\r\n2,"b\rc"\r\n'),
        (b'1,"a\rb",c\n2,"x""\r",d\re', b'1,"a\rb",c\n2,"x""\r","d\re"'),
        (b"1,a\r", b'1,"a\r"'),
        (b"1,\r,b\n", b'1,"\r",b\n'),
    ],
)
def test_a_carriage_return_without_quotes_gets_them(bare, quoted):
    cutter = RecordCutter()
    cutter.feed(b"id,name\n" + bare)
    assert cutter.finish() == quoted


# --- values replaced ------------------------------------------------------------------------------


def told(value: str | None) -> str | None:
    """Show what a replacer was given; an empty value stays empty."""
    return f"<{value}>" if value else None


@given(TABLES, st.sets(st.integers(1, 5)), ENDS, st.booleans())
def test_the_values_of_the_chosen_columns_are_replaced_and_all_others_stay(rows, chosen, end, last):
    # The writer of this test does not always put quotes around the word null.
    plain = [[value.replace("\0", "").replace("null", "nil") for value in row] for row in rows]
    rows = [[str(n), *row] for n, row in enumerate(plain)]
    header = [f"f{n}" for n in range(len(rows[0]) if rows else 3)]
    replacer = ValueReplacer(header, {f"f{n}": told for n in chosen})
    made = replacer.replaced(as_csv(rows, end=end, last=last))
    wanted = [[(told(v) or "null") if n in chosen else v for n, v in enumerate(row)] for row in rows]
    assert read(made) == wanted


def test_nothing_and_the_word_null_are_told_apart():
    given = []
    replacer = ValueReplacer(["id", "a"], {"a": given.append})
    assert replacer.replaced(b'1,null\n2,"null"\n3,\n4,""\n5,"a""b"\n6,x"y,z"\n') == (
        b"1,null\n2,null\n3,null\n4,null\n5,null\n6,null\n"
    )
    assert given == [None, "null", "", "", 'a"b', "xy,z"]


@pytest.mark.parametrize("records", [b"1,a,b\n", b"1\n", b'1,"a\n', b"1,a\n\n2,b\n"])
def test_a_record_with_other_columns_is_refused_rather_than_let_through(records):
    with pytest.raises(WorkFailed, match="columns"):
        ValueReplacer(["id", "a"], {"a": told}).replaced(records)


def test_a_file_with_another_header_is_refused_before_its_first_record():
    cutter = RecordCutter(1, replacer=ValueReplacer(["id", "a"], {"a": told}))
    with pytest.raises(WorkFailed, match="columns"):
        cut(cutter, b"id,b\n1,secret\n", [100])
