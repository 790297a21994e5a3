"""Runs in an environment that holds tap-marketo: discovers and syncs all streams from the host given."""

import contextlib
import io
import json
import sys
import time
from collections import Counter

import tap_marketo
from tap_marketo.client import Client

base = sys.argv[1]
Client.get_url = lambda _self, url: f"{base}/{url}"

month_ago = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(time.time() - 25 * 86_400))
config = {
    "endpoint": "https://123-ABC-456.mktorest.com/rest",
    "client_id": "simulator",
    "client_secret": "simulator-secret",
    "start_date": month_ago,
    "poll_interval": 0.3,
}


def spoken(*arguments, **more):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        tap_marketo._main(*arguments, **more)
    return out.getvalue()


catalog = json.loads(spoken(config, None, {}, discover_mode=True))
names = {stream["tap_stream_id"] for stream in catalog["streams"]}
assert {"leads", "lists", "programs", "campaigns", "activity_types"} <= names, names
wanted = {"leads", "lists", "programs", "campaigns", "activity_types"}
wanted |= {
    n for n in names if n in {"activities_new_lead", "activities_change_data_value", "activities_add_to_list"}
}
for stream in catalog["streams"]:
    for data in stream["metadata"]:
        data["metadata"]["selected"] = stream["tap_stream_id"] in wanted
lines = [json.loads(line) for line in spoken(config, catalog, {}).splitlines()]
counts = Counter(line["stream"] for line in lines if line["type"] == "RECORD")
sys.stderr.write(f"{dict(counts)}\n")
assert wanted <= set(counts), wanted - set(counts)
assert counts["leads"] > 50
lead = next(line["record"] for line in lines if line["type"] == "RECORD" and line["stream"] == "leads")
assert lead["email"]
sys.stdout.write("tap-marketo is content\n")
