"""What schemathesis must not take for a fault."""

import schemathesis


@schemathesis.hook
def filter_case(context, case):
    """Nulls and blank texts count as missing, at any depth, whatever the schema of their place says."""
    return not holds_blank(case.body)


def holds_blank(value):
    if isinstance(value, dict):
        return any(is_blank(member) or holds_blank(member) for member in value.values())
    if isinstance(value, list):
        return any(is_blank(item) or holds_blank(item) for item in value)
    return False


def is_blank(value):
    return value is None or isinstance(value, str) and not value.strip()
