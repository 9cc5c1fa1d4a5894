"""A key's partition is Kafka's own; every compression that can be set makes a batch that is read again."""

from __future__ import annotations

from typing import get_args

import pytest
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from veilstream.processors.delivery import _Outputs
from veilstream.settings import KafkaSettings

CODECS = {
    "none": 0,
    "gzip": DefaultRecordBatch.CODEC_GZIP,
    "lz4": DefaultRecordBatch.CODEC_LZ4,
    "zstd": DefaultRecordBatch.CODEC_ZSTD,
}


def test_every_setting_is_tried() -> None:
    assert set(get_args(KafkaSettings.model_fields["compression"].annotation)) == set(CODECS)


@pytest.mark.parametrize("name", CODECS)
def test_a_compressed_batch_is_read_again(name: str) -> None:
    made = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=CODECS[name],
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=100_000,
    )
    values = [b"again and again " * 100 for _ in range(10)]
    for offset, value in enumerate(values):
        made.append(offset, timestamp=0, key=b"k", value=value, headers=[])
    built = bytes(made.build())
    assert (len(built) < 4000) == (name != "none")
    assert [record.value for record in DefaultRecordBatch(built)] == values


async def test_a_key_goes_where_every_kafka_client_puts_it() -> None:
    outputs = _Outputs(KafkaSettings.model_validate({}), transactional_id=None)
    theirs = DefaultPartitioner()
    for count in (1, 4, 7, 50):
        outputs._counts = dict.fromkeys(("interactions.protected", "interactions.quarantine"), count)
        every = list(range(count))
        for number in range(300):
            key = f"key {number}".encode()
            for _ in range(2):  # hashed, then remembered
                assert await outputs._partition("interactions.protected", key) == theirs(key, every, every)
