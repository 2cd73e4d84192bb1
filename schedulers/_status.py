"""The error of a replica in the form that `torchx status` prints, for every backend."""

import json


def error_json(text: str, code: int | None, when: float) -> str:
    """What stands in ReplicaStatus.structured_error_msg."""
    extra = {"timestamp": str(int(when))}
    return json.dumps({"message": {"message": text, "errorCode": code, "extraInfo": extra}})
