import pytest

from nexus.llm.protocols.converse import families

ARN = "arn:aws:bedrock:us-east-1:123456789012:"


@pytest.mark.parametrize(
    ("model", "base"),
    [
        ("anthropic.claude-v2", "anthropic.claude-v2"),
        ("us.anthropic.claude-opus-4-6-v1", "anthropic.claude-opus-4-6-v1"),
        ("us-gov.anthropic.claude-3-haiku-20240307-v1:0", "anthropic.claude-3-haiku-20240307-v1:0"),
        ("apac.amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
        ("global.amazon.nova-2-lite-v1:0", "amazon.nova-2-lite-v1:0"),
        (f"{ARN}inference-profile/jp.anthropic.claude-haiku-4-5-v1:0", "anthropic.claude-haiku-4-5-v1:0"),
        ("arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/meta.llama3-8b-v1:0", "meta.llama3-8b-v1:0"),
        (f"{ARN}application-inference-profile/abc123", "abc123"),
        ("ca.amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
        ("zai.glm-4.7-flash", "zai.glm-4.7-flash"),
        ("", ""),
    ],
)
def test_the_model_behind_a_name(model: str, base: str) -> None:
    assert families.base_model(model) == base


@pytest.mark.parametrize(
    ("base", "generation"),
    [
        ("anthropic.claude-v2:1", (2, 0)),
        ("anthropic.claude-instant-v1", (1, 0)),
        ("anthropic.claude-3-haiku-20240307-v1:0", (3, 0)),
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", (3, 5)),
        ("anthropic.claude-3-7-sonnet-20250219-v1:0", (3, 7)),
        ("anthropic.claude-sonnet-4-20250514-v1:0", (4, 0)),
        ("anthropic.claude-opus-4-1-20250805-v1:0", (4, 1)),
        ("anthropic.claude-opus-4-6-v1", (4, 6)),
        ("anthropic.claude-opus-4-7", (4, 7)),
        ("anthropic.claude-opus-5", (5, 0)),
        ("anthropic.claude-mythos-preview", (99, 0)),
    ],
)
def test_the_generation_of_a_claude(base: str, generation: tuple[int, int]) -> None:
    assert families.generation(base) == generation
