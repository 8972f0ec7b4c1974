"""Clients at three edge locations: the origin answers once, and a bad release is rolled back."""

import ssl
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.request import Request, urlopen

import pytest

EDGES = ("FRA56-P1", "NRT57-P4", "GRU3-P3")


@pytest.fixture(scope="module")
def updates(deploy):
    return deploy(".", folder=Path(__file__).parent)


class Fleet:
    """What listens on the machines: files, and how often each was asked for."""

    def __init__(self):
        self.files, self.asked = {"/": b"ok"}, Counter()


@pytest.fixture
def fleet(local_aws, updates):
    fleet = Fleet()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            fleet.asked[self.path] += 1
            body = fleet.files.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    with local_aws.instances_answer(updates.outputs["FleetName"], f"http://127.0.0.1:{server.server_port}"):
        yield fleet
    server.shutdown()
    server.server_close()


def get(local_aws, updates, path, edge=EDGES[0]):
    address = local_aws.address_of_distribution(updates.outputs["DomainName"])
    headers = {"Host": address.host, "X-Localaws-Edge": edge}
    trusted = ssl.create_default_context(cafile=address.ca_file)
    with urlopen(Request(address.url + path, headers=headers), context=trusted) as response:
        return response.read()


def test_all_downloads_of_a_release_cost_one_request(local_aws, updates, fleet):
    fleet.files["/releases/1.0/app.bin"] = b"app 1.0"
    bodies = {get(local_aws, updates, "/releases/1.0/app.bin", edge) for edge in EDGES * 3}
    assert bodies == {b"app 1.0"}
    assert fleet.asked["/releases/1.0/app.bin"] == 1


def test_the_manifest_takes_a_bad_release_back_at_once(local_aws, updates, fleet):
    for version in (b"1.0", b"1.1", b"1.0"):
        fleet.files["/manifest.json"] = version
        assert [get(local_aws, updates, "/manifest.json", edge) for edge in EDGES] == [version] * 3
