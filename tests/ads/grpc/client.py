"""A client that knows services by their names alone; it does what the lines of its input say.

`call NAME` calls a service and fails if it cannot be reached, `wait NAME` waits until it can be;
either prints `ok` and the answer, or the status and its words. `leave NAME` lets go of the service.
"""

import sys

import grpc

BOUND_SECONDS = 10

channels = {}
for line in sys.stdin:
    word, name = line.split()
    if word == "leave":
        channels.pop(name).close()
        print("left", flush=True)
        continue
    if name not in channels:
        channels[name] = grpc.insecure_channel(f"xds:///{name}")
    # Without serializers requests and answers are bytes.
    call = channels[name].unary_unary("/test.Names/Name")
    try:
        answer = call(b"", timeout=BOUND_SECONDS, wait_for_ready=word == "wait")
        print("ok", answer.decode(), flush=True)
    except grpc.RpcError as error:
        print(error.code().name, *error.details().split(), flush=True)
