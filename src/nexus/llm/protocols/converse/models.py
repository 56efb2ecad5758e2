"""The lists of models and of inference profiles that Bedrock gives.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_ListInferenceProfiles.html
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_ListFoundationModels.html
"""

import msgspec

from nexus.llm.protocols.converse.families import base_model


class _Arn(msgspec.Struct, rename="camel"):
    model_arn: str = ""


class _Profile(msgspec.Struct, rename="camel"):
    inference_profile_id: str
    inference_profile_arn: str = ""
    models: list[_Arn] = []


class _Model(msgspec.Struct, rename="camel"):
    model_id: str
    provider_name: str | None = None


class _Page(msgspec.Struct, rename="camel"):
    inference_profile_summaries: list[_Profile] = []
    model_summaries: list[_Model] = []
    next_token: str | None = None


class Found(msgspec.Struct, frozen=True):
    """One model, or one profile of a model."""

    id: str
    vendor: str
    """Empty where it is not told."""
    base: str
    """The vendor's model behind it."""
    arn: str = ""


_decode = msgspec.json.Decoder(_Page).decode


def read_page(body: bytes) -> tuple[list[Found], str | None]:
    """Read one page of either list, and the token of the next.

    Raises:
        msgspec.MsgspecError: it is no such list.
    """
    page = _decode(body)
    found = [_read_profile(one) for one in page.inference_profile_summaries]
    found += [Found(one.model_id, one.provider_name or "", one.model_id) for one in page.model_summaries]
    return found, page.next_token


def _read_profile(profile: _Profile) -> Found:
    base = (
        base_model(profile.models[0].model_arn)
        if profile.models
        else base_model(profile.inference_profile_id)
    )
    vendor = base.partition(".")[0] if profile.models else ""
    return Found(profile.inference_profile_id, vendor, base, profile.inference_profile_arn)
