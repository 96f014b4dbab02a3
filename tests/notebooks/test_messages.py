"""Envelopes and the inbox, with frames as kernels send them."""

import asyncio
import json
import time

import pytest
import zmq
import zmq.asyncio
from jupyter_client.session import DELIM, Session

from nbflow.notebooks.messages import Envelope, Inbox


@pytest.fixture
def session():
    return Session(key=b"key")


def frames(session, kind, content, **fields):
    message = session.msg(kind, content=content, **fields)
    return [zmq.Frame(part) for part in session.serialize(message)[1:]]


def envelope(session, kind, content, **fields):
    return Envelope(frames(session, kind, content, **fields), session)


def packed(session, content):
    """A stream message whose content is these very bytes."""
    parts = [part.bytes for part in frames(session, "stream", {})]
    parts[4] = content
    parts[0] = session.sign(parts[1:5])
    return Envelope([zmq.Frame(part) for part in parts], session)


def test_a_message_reads_as_jupyter_client_reads_it(session):
    parent = session.msg("execute_request", content={})
    content = {"name": "stdout", "text": "é\n", "big": 2**70}
    message = session.msg("stream", content=content, parent=parent)
    wire = session.serialize(message)[1:]
    read = Envelope([zmq.Frame(part) for part in wire], session)
    assert (read.type, read.parent_id) == ("stream", parent["msg_id"])
    assert read.size_bytes == len(wire[4])
    assert read.message() == Session(key=b"key").deserialize(wire)


def test_what_python_takes_for_json_is_taken(session):
    assert str(packed(session, b'{"x": NaN}').message()["content"]["x"]) == "nan"
    assert packed(session, b'{"x": "\\ud83d"}').message()["content"] == {"x": "\ud83d"}
    assert packed(session, b'{"x": "\xff"}').message()["content"] == {"x": "\ufffd"}


def test_messages_of_an_older_protocol_are_adapted(session):
    header = {**session.msg_header("pyout"), "version": "4.1"}
    content = {"data": {"text/plain": "1"}, "metadata": {}, "execution_count": 1}
    read = envelope(session, "pyout", content, header=header)
    assert read.message()["header"]["msg_type"] == "execute_result"


def test_a_wrong_signature_and_a_torso_are_refused(session):
    foreign = Envelope(frames(Session(key=b"other"), "stream", {}), session)
    with pytest.raises(ValueError, match="wrong signature"):
        foreign.message()
    with pytest.raises(ValueError, match="wrong signature"):
        foreign.cut_stream(1)
    with pytest.raises(ValueError, match="2 frames"):
        Envelope([zmq.Frame(b""), zmq.Frame(b"{}")], session)


TEXTS = ["x" * 40, '\n"\\' * 10, "é😀" * 10, "\x07\x08" * 10]


@pytest.mark.parametrize("text", TEXTS, ids=["plain", "escapes", "wide", "control"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_stream_can_be_cut_anywhere(session, text, ascii_only):
    whole = json.dumps({"name": "stderr", "text": text}, ensure_ascii=ascii_only).encode()
    lengths = []
    for size in range(len(whole) - 30):
        content = packed(session, whole).cut_stream(size)["content"]
        assert content["name"] == "stderr"
        got = content["text"].encode(errors="ignore").decode()
        assert text.startswith(got)
        # No more than one character is lost to the cut.
        assert len(json.dumps(got, ensure_ascii=ascii_only).encode()) - 2 > size - 12
        lengths.append(len(got))
    assert lengths == sorted(lengths)


def test_a_stream_that_is_written_in_another_order_is_cut_too(session):
    content = packed(session, b'{"text": "hello", "name": "stdout"}').cut_stream(3)["content"]
    assert content == {"text": "hel", "name": "stdout"}


def test_nothing_is_lost_while_nobody_reads(session, tmp_path):
    count = 20_000

    async def scenario():
        with zmq.asyncio.Context() as context, context.socket(zmq.SUB) as reader:
            publisher = zmq.Context.shadow(context).socket(zmq.XPUB)
            publisher.set(zmq.SNDHWM, 0)
            publisher.bind(f"ipc://{tmp_path}/s")
            reader.subscribe(b"")
            reader.connect(f"ipc://{tmp_path}/s")
            inbox = Inbox(reader, session)
            publisher.recv()
            for i in range(count):
                wire = session.serialize(session.msg("stream", content={"i": i}))
                publisher.send_multipart([b"topic", *wire])
            got = [(await inbox.next()).message()["content"]["i"] for _ in range(count)]
            publisher.close()
            return got

    assert asyncio.run(scenario()) == list(range(count))


def test_others_have_their_turn_while_messages_keep_coming(session, tmp_path):
    async def scenario():
        with zmq.asyncio.Context() as context, context.socket(zmq.SUB) as reader:
            publisher = zmq.Context.shadow(context).socket(zmq.XPUB)
            publisher.bind(f"ipc://{tmp_path}/s")
            reader.subscribe(b"")
            reader.connect(f"ipc://{tmp_path}/s")
            inbox = Inbox(reader, session)
            publisher.recv()
            wire = [DELIM, *session.serialize(session.msg("stream", content={}))[1:]]
            turns = 0

            async def other():
                nonlocal turns
                while True:
                    await asyncio.sleep(0)
                    turns += 1

            beside = asyncio.create_task(other())
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                publisher.send_multipart(wire)
                publisher.send_multipart(wire)
                await inbox.next()
            beside.cancel()
            await inbox.silence(0.05)
            publisher.close()
            return turns

    assert asyncio.run(scenario()) > 5
