#!/usr/bin/env python3
"""Gives each Service of type LoadBalancer an address of its own, as a cloud's controller does. kube-proxy answers there.

usage: loadbalancer.py SERVER PKI NETWORK

It lists Services, then watches them, and begins anew whenever the API server goes away.
"""

import http.client
import ipaddress
import json
import ssl
import sys
import time
import urllib.parse

# A watch ends by itself after so long; a connection that says nothing for longer is dead.
WATCH_SECONDS = 60
PAUSE = 0.2


def connect(server, pki):
    tls = ssl.create_default_context(cafile=f"{pki}/ca.crt")
    tls.load_cert_chain(f"{pki}/admin.crt", f"{pki}/admin.key")
    return http.client.HTTPSConnection(urllib.parse.urlsplit(server).netloc, context=tls, timeout=WATCH_SECONDS + 10)


def ask(connection, method, path, body=None):
    headers = {"Content-Type": "application/merge-patch+json"}
    connection.request(method, path, body and json.dumps(body), headers)
    response = connection.getresponse()
    return response, json.loads(response.read())


class Addresses:
    """Which Service has which address."""

    def __init__(self, network):
        self.network = [str(address) for address in ipaddress.ip_network(network).hosts()]
        self.taken = {}

    def see(self, kind, service):
        """Notes a Service as it is; returns the address that it has to be told, if any."""
        name = (service["metadata"]["namespace"], service["metadata"]["name"])
        if kind == "DELETED" or service["spec"]["type"] != "LoadBalancer":
            self.taken.pop(name, None)
            return None
        has = service["status"].get("loadBalancer", {}).get("ingress", [])
        if has:
            self.taken[name] = has[0]["ip"]
            return None
        if name not in self.taken:
            used = set(self.taken.values())
            self.taken[name] = next(address for address in self.network if address not in used)
        return self.taken[name]


def give(connection, service, address):
    namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
    status = {"status": {"loadBalancer": {"ingress": [{"ip": address}]}}}
    response, _ = ask(connection, "PATCH", f"/api/v1/namespaces/{namespace}/services/{name}/status", status)
    print(namespace, name, address, response.status, flush=True)
    # 404 says that it was deleted meanwhile.
    if response.status not in (200, 404):
        raise OSError(f"{namespace}/{name}: {response.status}")


def follow(server, pki, network):
    """Lists and watches until the server ends the watch."""
    writer, watcher = connect(server, pki), connect(server, pki)
    addresses = Addresses(network)
    response, services = ask(watcher, "GET", "/api/v1/services")
    if response.status != 200:
        raise OSError(f"list: {response.status}")
    # First those that have an address, so that it is not given to another.
    for service in sorted(services["items"], key=lambda item: not item["status"].get("loadBalancer")):
        if address := addresses.see("ADDED", service):
            give(writer, service, address)
    version = services["metadata"]["resourceVersion"]
    query = f"watch=1&resourceVersion={version}&timeoutSeconds={WATCH_SECONDS}"
    watcher.request("GET", f"/api/v1/services?{query}")
    events = watcher.getresponse()
    if events.status != 200:
        raise OSError(f"watch: {events.status}")
    for line in events:
        event = json.loads(line)
        if event["type"] == "ERROR":
            raise OSError(event["object"].get("message", "the watch failed"))
        if address := addresses.see(event["type"], event["object"]):
            give(writer, event["object"], address)


def main():
    server, pki, network = sys.argv[1:]
    while True:
        try:
            follow(server, pki, network)
        except (OSError, ValueError, http.client.HTTPException) as error:
            print(repr(error), flush=True)
            time.sleep(PAUSE)


main()
