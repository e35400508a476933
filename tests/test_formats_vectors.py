"""Tables of embeddings."""

import csv
import io

from compactcli.formats import FORMATS
from compactcli.records import Record, Vector


def embedded(path, *vectors):
    found = tuple(Vector(start=start, stop=stop, values=values) for start, stop, values in vectors)
    return Record(path=path, duration=found[-1].stop, sample_rate=8000, model="m", vectors=found)


FAILED = Record(path="b,c.wav", status="error", error_code="empty", error_message="it has no samples", model="m")


def write(*records):
    writer = FORMATS["embed"]["csv"]()
    return "".join([writer.begin(), *map(writer.record, records), writer.end()])


def test_a_row_for_each_stretch():
    text = write(embedded("a.wav", (0.0, 2.0, (0.5, -1.0)), (2.0, 3.0005, (1e-6, 12.3456789))))
    assert text == (
        "path,status,duration,start,stop,error,v1,v2\n"
        "a.wav,ok,3.001,0.000,2.000,,0.50000,-1.00000\n"
        "a.wav,ok,3.001,2.000,3.001,,0.00000,12.34568\n"
    )


def test_failures_keep_their_place_and_all_columns():
    one = embedded("a.wav", (0.0, 2.0, (0.5, 1.0)))
    for records in ([FAILED, one, FAILED], [one, FAILED, one], [FAILED, FAILED, one]):
        rows = list(csv.DictReader(io.StringIO(write(*records)), restkey="more", restval="missing"))
        assert [row["path"] for row in rows] == [record.path for record in records]
        assert [row["v2"] for row in rows] == ["" if record is FAILED else "1.00000" for record in records]
        assert all("more" not in row for row in rows)


def test_nothing_but_failures_has_no_columns_of_values():
    expected = "path,status,duration,start,stop,error\n"
    assert write() == expected
    assert write(FAILED) == expected + '"b,c.wav",error,,,,empty: it has no samples\n'
