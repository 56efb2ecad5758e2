"""What becomes of whole requests and answers is what is kept, and the vendors' own libraries take it."""

from pathlib import Path

import anthropic
import msgspec
import openai
import pytest

from golden import clients, rules, vendors, write
from golden.meaning import meaning

REQUESTS, ANSWERS = write.sources(write.REQUESTS), write.sources(write.ANSWERS)
BROKEN = ("failed", "cut")
STREAMS = [one for one in ANSWERS if one.suffix == ".sse"]
WHOLE = [one for one in ANSWERS if one.suffix == ".json"]
PAIRED = [one for one in STREAMS if one.with_suffix(".json").exists()]
UNTOLD = {
    (
        "sound.openai.json",
        "responses",
    ): "other servers than OpenAI's take sound in Responses, which its library does not",
}
"""Requests that the vendor's library would refuse, and why they are sent all the same."""
VOLATILE = (
    "parsed",
    "parsed_arguments",
    "parsed_output",
    "created",
    "created_at",
    "id",
    "index",
    "container",
)


def name(source: Path) -> str:
    return source.name


@pytest.mark.parametrize("source", [*REQUESTS, *ANSWERS], ids=name)
def test_what_becomes_of_it_is_what_is_kept(source: Path) -> None:
    assert write.golden(source).read_text() == write.made(source), (
        "read the difference, then run `make golden`"
    )


def test_nothing_is_kept_of_what_is_gone() -> None:
    kept = {path for folder in (write.REQUESTS, write.ANSWERS) for path in folder.glob("*.as.*")}
    assert kept == {write.golden(source) for source in [*REQUESTS, *ANSWERS]}


@pytest.mark.parametrize("source", REQUESTS, ids=name)
def test_vendors_take_what_is_sent_to_them(source: Path) -> None:
    for wire, sent in write.sent(source):
        if "body" in sent and (source.name, wire) not in UNTOLD:
            assert vendors.complaints(wire, sent["body"]) == [], wire
            assert rules.broken(wire, sent["body"]) == [], wire


@pytest.mark.parametrize("source", WHOLE, ids=name)
def test_clients_take_every_whole_answer(source: Path) -> None:
    for inbound in write.readers(source):
        told = msgspec.json.decode(write.told_whole(source, inbound))
        clients.read_whole(inbound, msgspec.json.encode(told["body"]))


@pytest.mark.parametrize("source", STREAMS, ids=name)
def test_clients_take_every_event(source: Path) -> None:
    for inbound in write.readers(source):
        clients.check_events(inbound, write.told_stream(source, inbound))


@pytest.mark.parametrize("source", PAIRED, ids=name)
def test_clients_make_of_a_stream_what_they_make_of_the_whole_answer(source: Path) -> None:
    for inbound in write.readers(source):
        told = msgspec.json.decode(write.told_whole(source.with_suffix(".json"), inbound))
        whole = clients.read_whole(inbound, msgspec.json.encode(told["body"]))
        assert meaning(clients.read_stream(inbound, write.told_stream(source, inbound))) == meaning(whole), (
            inbound
        )


@pytest.mark.parametrize("source", [one for one in STREAMS if one.name.startswith(BROKEN)], ids=name)
def test_clients_are_told_that_a_stream_failed(source: Path) -> None:
    for inbound in write.readers(source):
        with pytest.raises((openai.APIError, anthropic.APIError)):
            clients.read_stream(inbound, write.told_stream(source, inbound))


@pytest.mark.parametrize("source", ANSWERS, ids=name)
def test_the_answers_are_such_as_vendors_give(source: Path) -> None:
    _, wire = write.sides(source)
    body = source.read_bytes()
    match wire, source.suffix:
        case "converse", ".json":
            answer = vendors.read_converse(body)
            assert answer.keys() - {"ResponseMetadata"} == msgspec.json.decode(body).keys()
        case (("openai" | "responses" | "anthropic"), ".json"):
            clients.read_whole(wire, body)
        case (("openai" | "responses" | "anthropic"), _) if not source.name.startswith(BROKEN):
            clients.read_stream(wire, body)
        case _:
            pass  # of Google there is no library here, of Bedrock's streams only the frames
