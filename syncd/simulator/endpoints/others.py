"""What is not enabled in this subscription still answers, with the code that says so."""

from syncd.simulator.calls import Answer, ApiError, Call
from syncd.simulator.other_paths import ASSETS, BULK, LEAD_DATABASE
from syncd.simulator.routing import ASSET_TIME_OUT, READ_ASSET, WRITE_ASSET, route


async def _off(call: Call) -> Answer:
    del call
    raise ApiError(703, "Feature is not enabled for this subscription")


async def _no_custom_objects(call: Call) -> Answer:
    del call
    raise ApiError(1026, "Custom Object not enabled")


async def _none_found(call: Call) -> Answer:
    return call.found([])


async def _none(call: Call) -> Answer:
    return call.ok([])


def _register(table: str, prefix: str) -> None:
    for line in filter(None, table.split("\n")):
        methods, path = line.split(" ")
        for method in methods.split(","):
            if prefix == "/rest/asset/v1/":
                permissions, handler = (READ_ASSET, _none_found) if method == "GET" else (WRITE_ASSET, _off)
                route(method, prefix + path, *permissions, time_out=ASSET_TIME_OUT)(handler)
            elif path.startswith("customobjects"):
                route(method, prefix + path)(_no_custom_objects)
            else:
                route(method, prefix + path)(_none if path == "activities/external/types.json" else _off)


_register(LEAD_DATABASE, "/rest/v1/")
_register(BULK, "/bulk/v1/")
_register(ASSETS, "/rest/asset/v1/")
