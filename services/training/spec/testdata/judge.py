"""Judges CreateTrainingJob requests, one JSON a line on stdin, by the service model that AWS's Python SDK carries.

Prints a line for each thing that the model forbids: the request's number, the path and what is wrong.
"""

import json
import re
import sys

import botocore.session


def pattern(text: str) -> re.Pattern[str]:
    # Python's re has no classes of Unicode; \w are its letters and digits.
    text = text.replace(r"\p{L}\p{Z}\p{N}_", r"\w\s").replace(r"\p{Alnum}", "a-zA-Z0-9")
    return re.compile(text)


def judge(shape, value, at):
    limits = shape.metadata
    if shape.type_name == "structure":
        for name in shape.required_members:
            if name not in value:
                yield f"{at}.{name} is missing"
        for name, member in value.items():
            if name not in shape.members:
                yield f"{at}.{name} is unknown"
            else:
                yield from judge(shape.members[name], member, f"{at}.{name}")
        return
    if shape.type_name == "list":
        for i, member in enumerate(value):
            yield from judge(shape.member, member, f"{at}[{i}]")
    if shape.type_name == "map":
        for name, member in value.items():
            yield from judge(shape.key, name, f"{at} key")
            yield from judge(shape.value, member, f"{at}.{name[:40]}")
    size = len(value) if isinstance(value, (str, list, dict)) else value
    if not isinstance(value, bool):
        if size < limits.get("min", size):
            yield f"{at} is {size}, less than {limits['min']}"
        if size > limits.get("max", size):
            yield f"{at} is {size}, more than {limits['max']}"
    if shape.type_name == "string":
        if shape.enum and value not in shape.enum:
            yield f"{at} is {value}, which is none of the enumeration"
        if "pattern" in limits and not pattern(limits["pattern"]).fullmatch(value):
            yield f"{at} is {value!r}, which isn't {limits['pattern']}"


def main():
    model = botocore.session.get_session().get_service_model("sagemaker")
    shape = model.operation_model("CreateTrainingJob").input_shape
    for number, line in enumerate(sys.stdin):
        for complaint in judge(shape, json.loads(line), "request"):
            print(f"{number}: {complaint}")


if __name__ == "__main__":
    main()
