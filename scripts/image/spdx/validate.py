"""Validate an SPDX document with the SPDX project's own library: validate.py FILE.spdx.json

Exit status 1, and what is wrong on standard error, where it is not valid.
"""

import sys

from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document


def main() -> int:
    document = parse_file(sys.argv[1])
    messages = validate_full_spdx_document(document)
    for message in messages:
        print(message.context.spdx_id or "document", message.validation_message, file=sys.stderr)
    if not document.packages:
        print("the document names no package", file=sys.stderr)
        return 1
    return 1 if messages else 0


if __name__ == "__main__":
    sys.exit(main())
