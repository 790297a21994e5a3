"""What a person does in Marketo's own interface, for the control surface."""

from collections.abc import Callable

from syncd.simulator import activity_types as kinds
from syncd.simulator import changes
from syncd.simulator.clock import stamp
from syncd.simulator.fields import NAME, Field
from syncd.simulator.progress import leave, set_status
from syncd.simulator.requests import Incoming
from syncd.simulator.service import Service
from syncd.simulator.surface import Body, Refused, action
from syncd.simulator.values import BadValue, fit
from syncd.simulator.world import UI, Origin, World


def lead_of(service: Service, text: str) -> int:
    """The lead in a path, or KeyError."""
    if not text.isdecimal() or not service.world.leads.exists(int(text)):
        raise KeyError(f"lead {text}")
    return int(text)


def values_of(world: World, body: Body) -> changes.Values:
    """Field values as a person types them; every field may be written but the system's own."""
    values: changes.Values = {}
    for name, value in body.items():
        field = world.schema.by_name.get(name.lower())
        if field is None or field.name in {"id", "createdAt", "updatedAt"}:
            raise Refused(f"A lead has no field {name!r} that can be changed.")
        try:
            values[field.slot] = fit(field, value)
        except BadValue:
            raise Refused(f"{value!r} does not fit the field {name}.") from None
    return values


def show(world: World, lead: int) -> Body:
    """A whole lead, with every field."""
    record = world.leads.get(lead)
    if record is None:
        raise KeyError(f"lead {lead}")
    return {f.name: record[f.slot] for f in world.schema.fields} | {"_changedAt": record[0]}


@action("POST", "leads")
def create(service: Service, _: Incoming, body: Body, __: list[str]) -> Body:
    """Create a lead as a person would."""
    partition = int(body.pop("leadPartitionId", 1) or 1)
    lead = changes.create(service.world, values_of(service.world, body), UI, partition=partition)
    return show(service.world, lead)


@action("GET", "leads", 1)
def read(service: Service, _: Incoming, __: Body, parts: list[str]) -> Body:
    """A whole lead."""
    return show(service.world, lead_of(service, parts[0]))


@action("POST", "leads", 1)
def edit(service: Service, _: Incoming, body: Body, parts: list[str]) -> Body:
    """Change a lead as a person would."""
    lead = lead_of(service, parts[0])
    changes.update(service.world, lead, values_of(service.world, body), UI)
    return show(service.world, lead)


@action("DELETE", "leads", 1)
def delete(service: Service, _: Incoming, __: Body, parts: list[str]) -> Body:
    """Delete a lead as a person would."""
    lead = lead_of(service, parts[0])
    changes.delete(service.world, lead, UI)
    return {"id": lead}


@action("POST", "leads", 2)
def lead_verb(service: Service, _: Incoming, body: Body, parts: list[str]) -> Body:
    """Merge other leads into one."""
    lead, verb = lead_of(service, parts[0]), parts[1]
    if verb == "merge":
        losers = [lead_of(service, str(loser)) for loser in body["losers"]]
        if lead in losers or not losers:
            raise Refused("A merge needs losers other than the winner.")
        changes.merge(service.world, lead, losers, UI, source=str(body.get("source", "leaddb")))
        return show(service.world, lead)
    raise KeyError(f"verb {verb}")


@action("POST", "lists", 2)
def add_to_list(service: Service, _: Incoming, body: Body, parts: list[str]) -> Body:
    """Put leads on a list."""
    return _membership(service, body, parts, changes.add_to_list)


@action("DELETE", "lists", 2)
def remove_from_list(service: Service, _: Incoming, body: Body, parts: list[str]) -> Body:
    """Take leads off a list."""
    return _membership(service, body, parts, changes.remove_from_list)


def _membership(service: Service, body: Body, parts: list[str], change: Callable[..., bool]) -> Body:
    number = int(parts[0])
    if number not in service.world.assets.lists or parts[1] != "leads":
        raise KeyError(f"list {parts[0]}")
    done = [lead for lead in body["leads"] if change(service.world, number, lead_of(service, str(lead)), UI)]
    return {"changed": done, "members": len(service.world.assets.lists[number].members)}


@action("POST", "programs", 2)
def set_program_status(service: Service, _: Incoming, body: Body, parts: list[str]) -> Body:
    """Put leads into a program's status; "Not in Program" takes them out."""
    program = service.world.assets.programs[int(parts[0])]
    status = service.world.assets.channel_of(program).find(str(body["status"]))
    if status is None or parts[1] != "members":
        raise Refused(f"Program {program.id} has no status {body['status']!r}.")
    done = []
    for lead in [lead_of(service, str(i)) for i in body["leads"]]:
        if status.step == 0:
            done.append(leave(service.world, program, lead, UI))
        else:
            done.append(bool(set_status(service.world, program, lead, status, UI)))
    return {"changed": done, "members": len(program.members)}


@action("POST", "lists")
def create_list(service: Service, _: Incoming, body: Body, __: list[str]) -> Body:
    """Create a static list, with members if any are given."""
    made = service.world.assets.new_list(str(body["name"]), int(service.world.clock.now()))
    for lead in body.get("leads", []):
        changes.add_to_list(service.world, made.id, lead_of(service, str(lead)), UI)
    return {"id": made.id, "members": len(made.members)}


@action("POST", "fields")
def add_field(service: Service, _: Incoming, body: Body, __: list[str]) -> Body:
    """Add a custom field, of any type."""
    schema, name = service.world.schema, str(body["name"])
    if not NAME.match(name) or name.lower() in schema.by_name:
        raise Refused(f"{name!r} cannot be the name of a new field.")
    field = schema.create(name, str(body.get("displayName", name)), str(body.get("dataType", "string")))
    return _show_field(field)


@action("POST", "fields", 1)
def edit_field(service: Service, _: Incoming, body: Body, parts: list[str]) -> Body:
    """Hide or show a field, rename it, or change its type."""
    field = service.world.schema.by_name[parts[0].lower()]
    for name, ours in (
        ("isHidden", "hidden"), ("displayName", "display"), ("dataType", "type"), ("length", "length"),
        ("readOnly", "read_only"), ("isSensitive", "sensitive"),
    ):  # fmt: skip
        if name in body:
            setattr(field, ours, body[name])
    if body.get("blocked") is not None:
        (service.world.blocked.add if body["blocked"] else service.world.blocked.discard)(field.name.lower())
    return _show_field(field)


def _show_field(field: Field) -> Body:
    return {"id": field.id, **field.schema()}


@action("POST", "companies", 1)
def edit_company(service: Service, _: Incoming, body: Body, parts: list[str]) -> Body:
    """Change a company; all its leads change with it."""
    world, company = service.world, int(parts[0])
    values = values_of(world, body)
    if any(not world.schema.fields[slot - 1].company for slot in values):
        raise Refused("A company has company fields only.")
    slot = world.schema.slot("contactCompany")
    found = [
        i
        for i in range(1, world.seeder.count + 1)
        if world.seeder.company(i) == company and world.leads.exists(i)
    ]
    found += [
        i for i in world.leads.ids(world.seeder.count + 1) if (r := world.leads.get(i)) and r[slot] == company
    ]
    for lead in found:
        changes.update(world, lead, values, UI)
    return {"leads": found}


@action("POST", "visits")
def visit(service: Service, _: Incoming, body: Body, __: list[str]) -> Body:
    """A page visit; a cookie that nobody has makes an anonymous lead."""
    world, cookie = service.world, str(body["cookie"])
    origin = Origin("web", source="Web page visit", created_by="Web page visit")
    lead = world.cookies.get(cookie)
    if lead is None or not world.leads.exists(lead):
        slot = world.schema.slot
        record = world.schema.defaults.copy()
        now = world.clock.now()
        lead = world.leads.insert(record)
        text = stamp(now)
        values = {
            "createdAt": text,
            "updatedAt": text,
            "isAnonymous": True,
            "cookies": cookie,
            "leadPartitionId": 1,
        }
        world.leads.write(lead, {0: text, **{slot(n): v for n, v in values.items()}})
        world.anonymous.add(lead)
        world.cookies[cookie] = lead
        world.note("visited", lead, origin)
    page = str(body.get("pageURL", "https://www.example.com/"))
    world.write_log(
        kinds.VISIT, lead, origin, primary_id=1, primary=page, attributes=(("Webpage URL", page),)
    )
    return {"lead": lead}


@action("POST", "mkttokens", 1)
def mkt_token(service: Service, _: Incoming, __: Body, parts: list[str]) -> Body:
    """The mkt_tok value that a mail to this lead would carry."""
    lead = lead_of(service, parts[0])
    token = f"{service.world.random.getrandbits(96):024x}"
    service.world.mkt_tokens[token] = lead
    return {"token": token}


@action("POST", "campaigns", 1)
def edit_campaign(service: Service, _: Incoming, body: Body, parts: list[str]) -> Body:
    """Switch a campaign on or off."""
    campaign = service.world.assets.campaigns[int(parts[0])]
    if not isinstance(body.get("active"), bool):
        raise Refused("A campaign is active: true or false.")
    campaign.active, campaign.updated = body["active"], int(service.world.clock.now())
    return {"id": campaign.id, "active": campaign.active}
