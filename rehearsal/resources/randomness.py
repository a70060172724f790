"""pulumi-random: made for real, kept in the state."""

from __future__ import annotations

import base64
import secrets
import string
import uuid

from rehearsal.resources.base import Inputs, Kind, Outcome, kind

SPECIAL = "!@#$%&*()-_=+[]{}<>:?"
"""The provider's default set of special characters."""

EVERYTHING = frozenset(
    {
        "length",
        "keepers",
        "lower",
        "upper",
        "numeric",
        "special",
        "minLower",
        "minUpper",
        "minNumeric",
        "minSpecial",
        "overrideSpecial",
        "byteLength",
        "prefix",
        "min",
        "max",
    }
)


def random_text(inputs: Inputs) -> str:
    """Text as `RandomPassword` makes it: each class of characters at least as often as asked."""
    special = inputs.get("overrideSpecial")
    classes = {
        "Lower": string.ascii_lowercase,
        "Upper": string.ascii_uppercase,
        "Numeric": string.digits,
        "Special": SPECIAL if special is None else special,
    }
    alphabet = "".join(characters for name, characters in classes.items() if inputs.get(name.lower(), True))
    chosen = [
        secrets.choice(characters)
        for name, characters in classes.items()
        for _ in range(int(inputs.get(f"min{name}") or 0))
    ]
    chosen += [secrets.choice(alphabet) for _ in range(int(inputs["length"]) - len(chosen))]
    secrets.SystemRandom().shuffle(chosen)
    return "".join(chosen)


@kind("random:index/randomPassword:RandomPassword")
class RandomPassword(Kind):
    """A password."""

    replace_on = EVERYTHING

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        return Outcome("none", {"result": random_text(inputs)}, secrets=("result",))


@kind("random:index/randomString:RandomString")
class RandomString(Kind):
    """Random text that is no secret."""

    replace_on = EVERYTHING

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        text = random_text(inputs)
        return Outcome(text, {"result": text})


@kind("random:index/randomUuid:RandomUuid")
class RandomUuid(Kind):
    """A UUID."""

    replace_on = EVERYTHING

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        value = str(uuid.uuid4())
        return Outcome(value, {"result": value})


@kind("random:index/randomId:RandomId", "random:index/randomBytes:RandomBytes")
class RandomId(Kind):
    """Random bytes in several spellings."""

    replace_on = EVERYTHING

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        data = secrets.token_bytes(int(inputs.get("byteLength") or inputs["length"]))
        url = base64.urlsafe_b64encode(data).rstrip(b"=").decode()
        return Outcome(
            url,
            {
                "hex": data.hex(),
                "b64Std": base64.b64encode(data).decode(),
                "b64Url": url,
                "base64": base64.b64encode(data).decode(),
                "dec": str(int.from_bytes(data, "big")),
            },
        )
