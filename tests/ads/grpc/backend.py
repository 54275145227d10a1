"""A gRPC server that answers every call with the name it was given.

It prints its port, and serves until its input ends.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc


class Named(grpc.GenericRpcHandler):
    def service(self, _):
        return grpc.unary_unary_rpc_method_handler(lambda *_: sys.argv[1].encode())


server = grpc.server(ThreadPoolExecutor(4), handlers=[Named()])
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
sys.stdin.read()
server.stop(0)
