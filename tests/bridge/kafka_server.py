"""A broker that speaks Kafka's protocol on the loopback: librdkafka's own, made to test its client.

What it is to do is said on its standard input: a line is a function of `rdkafka_mock.h` and its arguments after the
cluster, as `rd_kafka_mock_broker_set_down 1`.
"""

import ctypes
import sys
from pathlib import Path

import confluent_kafka

PRODUCER = 0
PACKAGE = Path(confluent_kafka.__file__).parent
(LIBRARY,) = [
    *PACKAGE.with_name("confluent_kafka.libs").glob("librdkafka*"),  # on Linux and Windows
    *PACKAGE.glob(".dylibs/librdkafka*"),
]


def main():
    library = ctypes.CDLL(str(LIBRARY))
    pointer = ctypes.c_void_p
    library.rd_kafka_conf_new.restype = pointer
    library.rd_kafka_new.restype = pointer
    library.rd_kafka_new.argtypes = [ctypes.c_int, pointer, ctypes.c_char_p, ctypes.c_size_t]
    library.rd_kafka_mock_cluster_new.restype = pointer
    library.rd_kafka_mock_cluster_new.argtypes = [pointer, ctypes.c_int]
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    library.rd_kafka_mock_cluster_bootstraps.argtypes = [pointer]
    error = ctypes.create_string_buffer(512)
    handle = library.rd_kafka_new(PRODUCER, library.rd_kafka_conf_new(), error, len(error))
    cluster = library.rd_kafka_mock_cluster_new(handle, 1)
    print(library.rd_kafka_mock_cluster_bootstraps(cluster).decode(), flush=True)
    for line in sys.stdin:
        name, *given = line.split()
        function = getattr(library, name)
        arguments = [int(each) if each.lstrip("-").isdecimal() else each.encode() for each in given]
        kinds = [ctypes.c_int32 if isinstance(each, int) else ctypes.c_char_p for each in arguments]
        function.restype = ctypes.c_int
        if name == "rd_kafka_mock_push_request_errors":  # the rest is variadic
            kinds = [ctypes.c_int16, ctypes.c_size_t] + [ctypes.c_int] * (len(arguments) - 2)
        function.argtypes = [pointer, *kinds]
        print(function(cluster, *arguments), flush=True)


main()
