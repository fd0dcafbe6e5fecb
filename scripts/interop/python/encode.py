"""Encode one report as an Avro single object with fastavro: encode.py SCHEMA REPORT_JSON > OUT.

fastavro has no call for the single-object header, so it is written here from its
fingerprint of the parsing canonical form (Avro 1.12 specification).
"""

import io
import json
import sys
import uuid
from datetime import date, datetime, timedelta, timezone

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form


def main() -> None:
    schema_path, report_path = sys.argv[1:3]
    with open(schema_path, encoding="utf-8") as f:
        raw = json.load(f)
    with open(report_path, encoding="utf-8") as f:
        report = json.load(f)
    for name in ("report_id", "installation_id", "host_id", "session_id"):
        report[name] = uuid.UUID(report[name]).bytes  # a fixed(16)
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    for name in ("sent_at", "session_started_at"):
        report[name] = epoch + timedelta(milliseconds=report.pop(name + "_ms"))
    report["day"] = date(1970, 1, 1) + timedelta(days=report["day"])
    report["installation_key"] = report["signature"] = None
    out = io.BytesIO()
    out.write(b"\xc3\x01" + bytes.fromhex(fingerprint(to_parsing_canonical_form(raw), "CRC-64-AVRO")))
    fastavro.schemaless_writer(out, fastavro.parse_schema(raw), report)
    sys.stdout.buffer.write(out.getvalue())


main()
