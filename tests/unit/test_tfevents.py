"""TensorBoard's event files, written by a real package, and damaged here."""

import struct
from pathlib import Path

import pytest
from tensorboardX import SummaryWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboardX.record_writer import RecordWriter

from simvue.tfevents import EventFile, checksum


def write(directory: Path, steps: int = 10) -> Path:
    with SummaryWriter(str(directory), write_to_disk=True) as writer:
        for step in range(steps):
            writer.add_scalar("loss/train", 1 / (step + 1), step, walltime=1000.5 + step)
        writer.add_histogram("weights", [1.0, 2.0], 0)
        writer.add_text("note", "hello", 0)
    (path,) = directory.glob("*tfevents*")
    return path


def test_the_checksum_is_the_one_of_the_files():
    # The known answer of CRC-32C for "123456789" is e3069283; masked as TensorFlow does it.
    crc = 0xE3069283
    assert checksum(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_numbers_are_read_and_the_rest_is_named(tmp_path):
    file = EventFile(write(tmp_path))
    events = [event for event in file.read() if "loss/train" in event.values]
    assert [event.step for event in events] == list(range(10))
    assert [event.timestamp for event in events] == [1000_500_000 + n * 10**6 for n in range(10)]
    # A float of 32 bits, as it stands in the file.
    expected = [struct.unpack("f", struct.pack("f", 1 / (n + 1)))[0] for n in range(10)]
    assert [event.values["loss/train"] for event in events] == expected
    assert any("weights" in tag for tag in file.left_out)
    assert any("note" in tag for tag in file.left_out)
    assert file.damage is None


@pytest.mark.parametrize("form", ["tensor_content", "float_val", "double_val"])
def test_numbers_in_the_form_of_tensorflow_2_are_read(tmp_path, form):
    """By the messages of the real package; TensorFlow itself is 600 MB."""
    path = tmp_path / "events.out.tfevents.1"
    writer = RecordWriter(str(path))
    writer.write(Event(wall_time=1.0, file_version="brain.Event:2").SerializeToString())
    for step in range(3):
        value = Summary.Value(tag="acc")
        if not step:
            plugin = SummaryMetadata.PluginData(plugin_name="scalars")
            value.metadata.CopyFrom(SummaryMetadata(plugin_data=plugin))
        value.tensor.dtype = 2 if form == "double_val" else 1
        if form == "tensor_content":
            value.tensor.tensor_content = struct.pack("<f", step + 0.5)
        else:
            getattr(value.tensor, form).append(step + 0.5)
        event = Event(wall_time=2.0 + step, step=step, summary=Summary(value=[value]))
        writer.write(event.SerializeToString())
    writer.close()
    assert [event.values for event in EventFile(path).read()] == [
        {"acc": 0.5}, {"acc": 1.5}, {"acc": 2.5},
    ]  # fmt: skip


def test_a_record_that_is_being_written_is_no_damage(tmp_path):
    path = write(tmp_path)
    whole = path.read_bytes()
    identity = EventFile(path).read_identity()
    for size in range(len(whole) - 60, len(whole)):
        path.write_bytes(whole[:size])
        file = EventFile(path)
        assert len(list(file.read())) == 10
        assert file.damage is None
        assert file.read_identity() == identity


def test_damage_ends_the_reading_and_is_named(tmp_path, rng):
    path = write(tmp_path)
    whole = path.read_bytes()
    for _ in range(200):
        bad = bytearray(whole)
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        path.write_bytes(bad)
        file = EventFile(path)
        events = list(file.read())
        assert file.damage is not None
        assert all(event.values["loss/train"] <= 1 for event in events)


def test_another_file_is_told_from_one(tmp_path):
    path = tmp_path / "x.tfevents"
    path.write_bytes(b"not one" * 10)
    with pytest.raises(ValueError, match="is no event file: the record at byte 0 is damaged"):
        EventFile(path).read_identity()
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="it is empty"):
        EventFile(path).read_identity()
