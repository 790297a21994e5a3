"""The mirror, the outbox and the machinery.

Rules: additive first, destructive a release later; every table and column has a COMMENT; schemas and
roles only as {mirror}, {machinery}, {owner}, {reader}, {writer}; no statement that rewrites a large table.
"""

from alembic import context, op

revision = "0001"
down_revision = None

MIRROR = """
CREATE TABLE {mirror}.lead_field (
    name text PRIMARY KEY,
    column_name text NOT NULL UNIQUE,
    display_name text NOT NULL,
    data_type text NOT NULL,
    description text,
    length integer,
    marketo_id bigint,
    read_only boolean NOT NULL,
    updateable boolean NOT NULL,
    searchable boolean NOT NULL,
    hidden boolean NOT NULL,
    sensitive boolean NOT NULL,
    custom boolean NOT NULL,
    crm_managed boolean NOT NULL,
    api_created boolean NOT NULL,
    html_encoded_in_email boolean NOT NULL,
    _added_at timestamptz NOT NULL DEFAULT now(),
    _removed_at timestamptz
);
COMMENT ON TABLE {mirror}.lead_field IS 'Each field of a lead that the API user can read, and the column of lead that holds it.';
COMMENT ON COLUMN {mirror}.lead_field.name IS 'API name, as payloads of the outbox must spell it.';
COMMENT ON COLUMN {mirror}.lead_field.column_name IS 'Column of lead.';
COMMENT ON COLUMN {mirror}.lead_field.display_name IS 'Name in Marketo''s own interface.';
COMMENT ON COLUMN {mirror}.lead_field.data_type IS 'Marketo''s type.';
COMMENT ON COLUMN {mirror}.lead_field.description IS 'What the people who made the field wrote about it.';
COMMENT ON COLUMN {mirror}.lead_field.length IS 'Characters at most, where Marketo says so.';
COMMENT ON COLUMN {mirror}.lead_field.marketo_id IS 'Number of the field in Marketo, as in change activities.';
COMMENT ON COLUMN {mirror}.lead_field.read_only IS 'Marketo''s describe call says that it cannot be written.';
COMMENT ON COLUMN {mirror}.lead_field.updateable IS 'Marketo''s newer describe call says that it can be written.';
COMMENT ON COLUMN {mirror}.lead_field.searchable IS 'Leads can be looked up by it.';
COMMENT ON COLUMN {mirror}.lead_field.hidden IS 'Hidden in Marketo''s own interface.';
COMMENT ON COLUMN {mirror}.lead_field.sensitive IS 'Marked sensitive in Marketo.';
COMMENT ON COLUMN {mirror}.lead_field.custom IS 'Made by this company rather than by Adobe.';
COMMENT ON COLUMN {mirror}.lead_field.crm_managed IS 'Owned by the connected CRM.';
COMMENT ON COLUMN {mirror}.lead_field.api_created IS 'Made through the API.';
COMMENT ON COLUMN {mirror}.lead_field.html_encoded_in_email IS 'HTML-encoded when used in an e-mail.';
COMMENT ON COLUMN {mirror}.lead_field._added_at IS 'When syncd first saw the field.';
COMMENT ON COLUMN {mirror}.lead_field._removed_at IS 'When the field was no longer offered by Marketo; its column and values stay.';

CREATE TABLE {mirror}.lead (
    id bigint PRIMARY KEY,
    email text,
    created_at timestamptz,
    updated_at timestamptz,
    _synced_at timestamptz NOT NULL DEFAULT now(),
    _deleted_at timestamptz,
    _merged_into_id bigint,
    _unparsed jsonb
);
CREATE INDEX lead_email_idx ON {mirror}.lead (lower(email));
CREATE INDEX lead_created_at_idx ON {mirror}.lead (created_at);
CREATE INDEX lead_merged_into_id_idx ON {mirror}.lead (_merged_into_id) WHERE _merged_into_id IS NOT NULL;
COMMENT ON TABLE {mirror}.lead IS 'One row a lead; one column a field (see lead_field). Deleted and merged leads stay as tombstones: WHERE _deleted_at IS NULL leaves the living.';
COMMENT ON COLUMN {mirror}.lead.id IS 'Marketo''s id of the lead.';
COMMENT ON COLUMN {mirror}.lead.email IS 'Email Address (Marketo field email, email).';
COMMENT ON COLUMN {mirror}.lead.created_at IS 'Created At (Marketo field createdAt, datetime).';
COMMENT ON COLUMN {mirror}.lead.updated_at IS 'Updated At (Marketo field updatedAt, datetime); Marketo moves it for standard fields only.';
COMMENT ON COLUMN {mirror}.lead._synced_at IS 'When this row was last written by syncd.';
COMMENT ON COLUMN {mirror}.lead._deleted_at IS 'When the lead was deleted or merged away, as far as Marketo tells; NULL while it lives.';
COMMENT ON COLUMN {mirror}.lead._merged_into_id IS 'The lead that it was merged into.';
COMMENT ON COLUMN {mirror}.lead._unparsed IS 'Values that do not fit their column''s type, by API name, as Marketo sent them.';

CREATE TABLE {mirror}.lead_partition (
    id bigint PRIMARY KEY,
    name text NOT NULL,
    description text,
    _synced_at timestamptz NOT NULL DEFAULT now(),
    _removed_at timestamptz
);
COMMENT ON TABLE {mirror}.lead_partition IS 'One row a lead partition.';
COMMENT ON COLUMN {mirror}.lead_partition.id IS 'Marketo''s id, as in lead.lead_partition_id.';
COMMENT ON COLUMN {mirror}.lead_partition.name IS 'Name, as outbox.partition_name must spell it.';
COMMENT ON COLUMN {mirror}.lead_partition.description IS 'Description.';
COMMENT ON COLUMN {mirror}.lead_partition._synced_at IS 'When this row was last written by syncd.';
COMMENT ON COLUMN {mirror}.lead_partition._removed_at IS 'When it was no longer listed by Marketo.';

CREATE TABLE {mirror}.static_list (
    id bigint PRIMARY KEY,
    name text NOT NULL,
    description text,
    program_name text,
    workspace_name text,
    created_at timestamptz,
    updated_at timestamptz,
    _synced_at timestamptz NOT NULL DEFAULT now(),
    _removed_at timestamptz
);
COMMENT ON TABLE {mirror}.static_list IS 'One row a static list.';
COMMENT ON COLUMN {mirror}.static_list.id IS 'Marketo''s id.';
COMMENT ON COLUMN {mirror}.static_list.name IS 'Name.';
COMMENT ON COLUMN {mirror}.static_list.description IS 'Description.';
COMMENT ON COLUMN {mirror}.static_list.program_name IS 'The program that it belongs to.';
COMMENT ON COLUMN {mirror}.static_list.workspace_name IS 'The workspace that it belongs to.';
COMMENT ON COLUMN {mirror}.static_list.created_at IS 'When it was made.';
COMMENT ON COLUMN {mirror}.static_list.updated_at IS 'When it was changed; members coming and going do not count.';
COMMENT ON COLUMN {mirror}.static_list._synced_at IS 'When this row was last written by syncd.';
COMMENT ON COLUMN {mirror}.static_list._removed_at IS 'When it was no longer listed by Marketo.';

CREATE TABLE {mirror}.program (
    id bigint PRIMARY KEY,
    name text NOT NULL,
    description text,
    type text,
    channel text,
    status text,
    workspace text,
    url text,
    created_at timestamptz,
    updated_at timestamptz,
    _synced_at timestamptz NOT NULL DEFAULT now(),
    _removed_at timestamptz
);
COMMENT ON TABLE {mirror}.program IS 'One row a program.';
COMMENT ON COLUMN {mirror}.program.id IS 'Marketo''s id.';
COMMENT ON COLUMN {mirror}.program.name IS 'Name.';
COMMENT ON COLUMN {mirror}.program.description IS 'Description.';
COMMENT ON COLUMN {mirror}.program.type IS 'Default, Event, Event with Webinar, Engagement or Email.';
COMMENT ON COLUMN {mirror}.program.channel IS 'Channel, which decides the statuses that members may have.';
COMMENT ON COLUMN {mirror}.program.status IS 'Status of engagement and e-mail programs.';
COMMENT ON COLUMN {mirror}.program.workspace IS 'The workspace that it belongs to.';
COMMENT ON COLUMN {mirror}.program.url IS 'Where it is in Marketo''s own interface.';
COMMENT ON COLUMN {mirror}.program.created_at IS 'When it was made.';
COMMENT ON COLUMN {mirror}.program.updated_at IS 'When it was changed.';
COMMENT ON COLUMN {mirror}.program._synced_at IS 'When this row was last written by syncd.';
COMMENT ON COLUMN {mirror}.program._removed_at IS 'When it was no longer listed by Marketo.';

CREATE TABLE {mirror}.smart_campaign (
    id bigint PRIMARY KEY,
    name text NOT NULL,
    description text,
    type text,
    status text,
    is_active boolean,
    is_requestable boolean,
    workspace text,
    created_at timestamptz,
    updated_at timestamptz,
    _synced_at timestamptz NOT NULL DEFAULT now(),
    _removed_at timestamptz
);
COMMENT ON TABLE {mirror}.smart_campaign IS 'One row a smart campaign.';
COMMENT ON COLUMN {mirror}.smart_campaign.id IS 'Marketo''s id.';
COMMENT ON COLUMN {mirror}.smart_campaign.name IS 'Name.';
COMMENT ON COLUMN {mirror}.smart_campaign.description IS 'Description.';
COMMENT ON COLUMN {mirror}.smart_campaign.type IS 'batch or trigger.';
COMMENT ON COLUMN {mirror}.smart_campaign.status IS 'Status.';
COMMENT ON COLUMN {mirror}.smart_campaign.is_active IS 'Whether it runs.';
COMMENT ON COLUMN {mirror}.smart_campaign.is_requestable IS 'Whether it can be requested through the API.';
COMMENT ON COLUMN {mirror}.smart_campaign.workspace IS 'The workspace that it belongs to.';
COMMENT ON COLUMN {mirror}.smart_campaign.created_at IS 'When it was made.';
COMMENT ON COLUMN {mirror}.smart_campaign.updated_at IS 'When it was changed.';
COMMENT ON COLUMN {mirror}.smart_campaign._synced_at IS 'When this row was last written by syncd.';
COMMENT ON COLUMN {mirror}.smart_campaign._removed_at IS 'When it was no longer listed by Marketo.';
"""

OUTBOX = """
CREATE TABLE {mirror}.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operation text NOT NULL,
    payload jsonb NOT NULL,
    lookup_field text,
    partition_name text,
    options jsonb NOT NULL DEFAULT '{{}}',
    idempotency_key text UNIQUE,
    not_before timestamptz,
    expires_at timestamptz,
    on_unknown_outcome text NOT NULL DEFAULT 'hold',
    status text NOT NULL DEFAULT 'pending',
    lead_id bigint,
    result jsonb,
    error_code text,
    error_message text,
    request_id text,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL DEFAULT session_user,
    first_sent_at timestamptz,
    finished_at timestamptz,
    CONSTRAINT outbox_on_unknown_outcome_is_hold_or_resend CHECK (on_unknown_outcome IN ('hold', 'resend')),
    CONSTRAINT outbox_expires_after_not_before CHECK (expires_at > not_before),
    CONSTRAINT outbox_status_is_known CHECK (status IN
        ('pending', 'sending', 'retrying', 'succeeded', 'failed', 'uncertain', 'cancelled', 'expired')),
    CONSTRAINT outbox_finished_has_a_time CHECK ((finished_at IS NOT NULL)
        = (status IN ('succeeded', 'failed', 'uncertain', 'cancelled', 'expired'))),
    CONSTRAINT outbox_retrying_has_a_time CHECK (status <> 'retrying' OR next_attempt_at IS NOT NULL),
    CONSTRAINT outbox_failure_has_a_reason CHECK (status NOT IN ('failed', 'uncertain') OR error_message IS NOT NULL)
);
CREATE INDEX outbox_unfinished_idx ON {mirror}.outbox (status, id) WHERE finished_at IS NULL;
CREATE INDEX outbox_troubled_idx ON {mirror}.outbox (status, id) WHERE status IN ('failed', 'uncertain');
CREATE INDEX outbox_finished_at_idx ON {mirror}.outbox (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX outbox_lead_id_idx ON {mirror}.outbox (lead_id) WHERE lead_id IS NOT NULL;
COMMENT ON TABLE {mirror}.outbox IS 'Changes to carry out in Marketo. INSERT operation and payload; syncd writes the rest.';
COMMENT ON COLUMN {mirror}.outbox.id IS 'Order: rows that touch the same lead take effect in the order of id.';
COMMENT ON COLUMN {mirror}.outbox.operation IS 'create_or_update, create_only, update_only, create_duplicate or delete.';
COMMENT ON COLUMN {mirror}.outbox.payload IS 'The record, with Marketo''s API names; null clears a field, fields not named stay.';
COMMENT ON COLUMN {mirror}.outbox.lookup_field IS 'Field that finds the lead; by default email, or id where update_only or delete names an id.';
COMMENT ON COLUMN {mirror}.outbox.partition_name IS 'Lead partition of a new lead; by default Marketo''s default partition.';
COMMENT ON COLUMN {mirror}.outbox.options IS 'Further options of the operation; none are known yet for these operations.';
COMMENT ON COLUMN {mirror}.outbox.idempotency_key IS 'Unique where given: inserting the same key again is refused.';
COMMENT ON COLUMN {mirror}.outbox.not_before IS 'The earliest time at which it may be sent.';
COMMENT ON COLUMN {mirror}.outbox.expires_at IS 'The time after which it may no longer be sent.';
COMMENT ON COLUMN {mirror}.outbox.on_unknown_outcome IS 'For create_duplicate: hold (end as uncertain) or resend.';
COMMENT ON COLUMN {mirror}.outbox.status IS 'pending, sending, retrying; then succeeded, failed, uncertain, cancelled or expired.';
COMMENT ON COLUMN {mirror}.outbox.lead_id IS 'The lead that Marketo says it changed.';
COMMENT ON COLUMN {mirror}.outbox.result IS 'Marketo''s answer for this row.';
COMMENT ON COLUMN {mirror}.outbox.error_code IS 'Marketo''s code of the last failure.';
COMMENT ON COLUMN {mirror}.outbox.error_message IS 'The last failure in words.';
COMMENT ON COLUMN {mirror}.outbox.request_id IS 'Marketo''s id of the last call.';
COMMENT ON COLUMN {mirror}.outbox.attempts IS 'Calls that carried this row.';
COMMENT ON COLUMN {mirror}.outbox.next_attempt_at IS 'When it will be tried again.';
COMMENT ON COLUMN {mirror}.outbox.created_at IS 'When it was inserted.';
COMMENT ON COLUMN {mirror}.outbox.created_by IS 'The role that inserted it.';
COMMENT ON COLUMN {mirror}.outbox.first_sent_at IS 'When it was first sent.';
COMMENT ON COLUMN {mirror}.outbox.finished_at IS 'When it reached its final state.';

CREATE TABLE {machinery}.outbox_queue (
    outbox_id bigint PRIMARY KEY REFERENCES {mirror}.outbox (id) ON DELETE CASCADE,
    state text NOT NULL DEFAULT 'new',
    shape text,
    bytes integer,
    due_at timestamptz,
    expires_at timestamptz,
    unknown boolean NOT NULL DEFAULT false,
    replica bigint,
    claim bigint,
    claimed_at timestamptz,
    CONSTRAINT outbox_queue_state_is_known CHECK (state IN ('new', 'blocked', 'waiting', 'ready', 'sending', 'closing')),
    CONSTRAINT outbox_queue_sorted_has_a_shape CHECK (state = 'new' OR (shape IS NOT NULL AND due_at IS NOT NULL)),
    CONSTRAINT outbox_queue_claim_has_an_owner CHECK (
        (state = 'sending') = (claim IS NOT NULL) AND (claim IS NULL) = (replica IS NULL) AND (claim IS NULL) = (claimed_at IS NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
CREATE INDEX outbox_queue_new_idx ON {machinery}.outbox_queue (outbox_id) WHERE state = 'new';
CREATE INDEX outbox_queue_ready_idx ON {machinery}.outbox_queue (outbox_id) WHERE state = 'ready';
CREATE INDEX outbox_queue_shape_idx ON {machinery}.outbox_queue (shape, outbox_id) WHERE state = 'ready';
CREATE INDEX outbox_queue_due_idx ON {machinery}.outbox_queue (due_at) WHERE state IN ('waiting', 'closing');
CREATE INDEX outbox_queue_claim_idx ON {machinery}.outbox_queue (claim) WHERE state = 'sending';
CREATE INDEX outbox_queue_expires_idx ON {machinery}.outbox_queue (expires_at)
    WHERE expires_at IS NOT NULL AND state NOT IN ('sending', 'closing');
CREATE SEQUENCE {machinery}.outbox_claim;
COMMENT ON TABLE {machinery}.outbox_queue IS 'Where each unfinished outbox row stands. Changed only under the queue''s advisory lock.';
COMMENT ON COLUMN {machinery}.outbox_queue.outbox_id IS 'The row.';
COMMENT ON COLUMN {machinery}.outbox_queue.state IS 'new: not yet looked at; blocked: an earlier row shares a key; waiting: for due_at; ready; sending; closing: its outcome is not known and its keys stay closed until due_at.';
COMMENT ON COLUMN {machinery}.outbox_queue.shape IS 'Rows of one shape can share a call.';
COMMENT ON COLUMN {machinery}.outbox_queue.bytes IS 'Length of the payload as JSON, for the limit on a call''s body.';
COMMENT ON COLUMN {machinery}.outbox_queue.due_at IS 'Not to be sent before.';
COMMENT ON COLUMN {machinery}.outbox_queue.expires_at IS 'Not to be sent after.';
COMMENT ON COLUMN {machinery}.outbox_queue.unknown IS 'An earlier attempt may have taken effect.';
COMMENT ON COLUMN {machinery}.outbox_queue.replica IS 'Who is sending it.';
COMMENT ON COLUMN {machinery}.outbox_queue.claim IS 'Number of the claim, which a settlement must show.';
COMMENT ON COLUMN {machinery}.outbox_queue.claimed_at IS 'When it was claimed.';

CREATE TABLE {machinery}.outbox_key (
    key text NOT NULL,
    outbox_id bigint NOT NULL REFERENCES {machinery}.outbox_queue (outbox_id) ON DELETE CASCADE,
    busy boolean NOT NULL DEFAULT false,
    PRIMARY KEY (key, outbox_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
CREATE INDEX outbox_key_busy_idx ON {machinery}.outbox_key (key) WHERE busy;
CREATE INDEX outbox_key_outbox_id_idx ON {machinery}.outbox_key (outbox_id);
COMMENT ON TABLE {machinery}.outbox_key IS 'Every name of every lead that an unfinished row touches; two rows that share one keep their order.';
COMMENT ON COLUMN {machinery}.outbox_key.key IS 'lead:42, email:a@b.com or field:NAME:value.';
COMMENT ON COLUMN {machinery}.outbox_key.outbox_id IS 'The row.';
COMMENT ON COLUMN {machinery}.outbox_key.busy IS 'The row is being sent, or its outcome is still open: nothing else may touch the key.';

CREATE TABLE {machinery}.outbox_attempt (
    outbox_id bigint NOT NULL REFERENCES {mirror}.outbox (id) ON DELETE CASCADE,
    number integer NOT NULL,
    claim bigint NOT NULL,
    replica bigint NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT now(),
    duration_ms integer,
    outcome text NOT NULL,
    endpoint text,
    request_id text,
    error_code text,
    error_message text,
    PRIMARY KEY (outbox_id, number),
    CONSTRAINT outbox_attempt_outcome_is_known CHECK (outcome IN ('succeeded', 'failed', 'retry', 'unknown'))
);
COMMENT ON TABLE {machinery}.outbox_attempt IS 'Each time that a row was carried by a call.';
COMMENT ON COLUMN {machinery}.outbox_attempt.outbox_id IS 'The row.';
COMMENT ON COLUMN {machinery}.outbox_attempt.number IS '1 for the first.';
COMMENT ON COLUMN {machinery}.outbox_attempt.claim IS 'The claim under which it was sent; rows of one claim shared it.';
COMMENT ON COLUMN {machinery}.outbox_attempt.replica IS 'Who sent it.';
COMMENT ON COLUMN {machinery}.outbox_attempt.started_at IS 'When it was claimed.';
COMMENT ON COLUMN {machinery}.outbox_attempt.finished_at IS 'When its outcome was written down.';
COMMENT ON COLUMN {machinery}.outbox_attempt.duration_ms IS 'How long the call took.';
COMMENT ON COLUMN {machinery}.outbox_attempt.outcome IS 'succeeded, failed, retry (nothing was executed) or unknown.';
COMMENT ON COLUMN {machinery}.outbox_attempt.endpoint IS 'The endpoint that was called.';
COMMENT ON COLUMN {machinery}.outbox_attempt.request_id IS 'Marketo''s id of the call.';
COMMENT ON COLUMN {machinery}.outbox_attempt.error_code IS 'Marketo''s code.';
COMMENT ON COLUMN {machinery}.outbox_attempt.error_message IS 'What went wrong, in words.';

CREATE FUNCTION {machinery}.outbox_check() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {mirror}, {machinery}, pg_temp AS $$
DECLARE
    bad record;
    schema_known boolean := EXISTS (SELECT FROM lead_field);
BEGIN
    SELECT n.id, n.operation, coalesce(shape.problem, field.problem) AS problem INTO bad
    FROM new_rows n
    CROSS JOIN LATERAL (SELECT
        jsonb_typeof(n.payload) = 'object' AS is_object,
        coalesce(n.lookup_field, CASE
            WHEN n.operation IN ('update_only', 'delete') AND n.payload ? 'id' THEN 'id' ELSE 'email' END) AS lookup
    ) AS r
    CROSS JOIN LATERAL (SELECT CASE
        WHEN n.operation NOT IN ('create_or_update', 'create_only', 'update_only', 'create_duplicate', 'delete') THEN
            'the operation is not known; it must be create_or_update, create_only, update_only, create_duplicate or delete'
        WHEN NOT r.is_object THEN
            'the payload is a JSON ' || jsonb_typeof(n.payload) || ' and must be an object such as {{"email": "a@b.com"}}'
        WHEN length(n.lookup_field) > 255 THEN
            'lookup_field: it has over 255 characters'
        WHEN length(n.partition_name) > 255 THEN
            'partition_name: it has over 255 characters'
        WHEN n.options <> '{{}}' THEN
            'options: there are none for this operation, so it must be left out'
        WHEN octet_length(n.payload::text) > 900000 THEN
            'the payload has over 900,000 bytes; Marketo takes 1 MB in a call'
        WHEN n.operation IN ('create_or_update', 'create_only', 'create_duplicate') AND n.payload ? 'id' THEN
            'field id: Marketo takes it with update_only and delete alone; name the lead by another field'
        WHEN n.payload ? 'id' AND NOT coalesce(n.payload ->> 'id' ~ '^[1-9][0-9]{{0,17}}$', false) THEN
            'field id: it must be a whole number above 0'
        WHEN n.operation = 'delete' AND r.lookup NOT IN ('id', 'email') THEN
            'lookup_field ' || r.lookup || ': a delete names its lead by id or email'
        WHEN r.lookup = 'id' AND n.operation NOT IN ('update_only', 'delete') THEN
            'lookup_field id: Marketo takes it with update_only alone'
        WHEN coalesce(btrim(n.payload ->> r.lookup), '') = '' THEN
            'field ' || r.lookup || ': the payload must name the lead by it, and it is missing or empty'
        WHEN n.partition_name IS NOT NULL AND n.operation NOT IN ('create_or_update', 'create_only') THEN
            'partition_name: Marketo takes it with create_or_update and create_only alone'
        WHEN schema_known AND r.lookup NOT IN ('id', 'email') AND NOT EXISTS (
            SELECT FROM lead_field f WHERE f.name = r.lookup AND f.searchable AND f._removed_at IS NULL) THEN
            'lookup_field ' || r.lookup || ': leads cannot be looked up by it; see lead_field.searchable'
    END AS problem) AS shape
    LEFT JOIN LATERAL (
        SELECT 'field ' || v.name || ': ' || CASE
            WHEN v.kind IN ('object', 'array') THEN 'its value is a JSON ' || v.kind || ' and must be text, a number, true, false or null'
            WHEN f.name IS NULL THEN coalesce(
                (SELECT 'Marketo has no such field; did you mean ' || o.name || '?' FROM lead_field o
                    WHERE lower(o.name) = lower(v.name) OR o.column_name = lower(v.name) ORDER BY o.name LIMIT 1),
                'Marketo has no such field; SELECT name FROM lead_field lists them')
            WHEN f._removed_at IS NOT NULL THEN 'Marketo no longer offers this field'
            WHEN f.read_only OR NOT f.updateable THEN 'it is read-only in Marketo'
            ELSE 'its value has ' || length(v.value) || ' characters and Marketo takes ' || f.length
        END AS problem
        FROM (SELECT e.key AS name, e.value #>> '{{}}' AS value, jsonb_typeof(e.value) AS kind
              FROM jsonb_each(CASE WHEN r.is_object THEN n.payload ELSE '{{}}' END) AS e
              WHERE n.operation <> 'delete') AS v
        LEFT JOIN lead_field f ON f.name = v.name
        WHERE v.kind IN ('object', 'array')
           OR schema_known AND v.name <> 'id' AND (f.name IS NULL OR f._removed_at IS NOT NULL
                OR f.read_only OR NOT f.updateable OR (v.kind = 'string' AND length(v.value) > f.length))
        ORDER BY v.name LIMIT 1
    ) AS field ON shape.problem IS NULL
    WHERE shape.problem IS NOT NULL OR field.problem IS NOT NULL
    ORDER BY n.id LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'outbox row % (%): %', bad.id, bad.operation, bad.problem
            USING ERRCODE = 'check_violation', TABLE = 'outbox';
    END IF;
    INSERT INTO outbox_queue (outbox_id) SELECT id FROM new_rows;
    PERFORM pg_notify('{channel}', '');
    RETURN NULL;
END $$;
COMMENT ON FUNCTION {machinery}.outbox_check() IS 'Refuses what Marketo would refuse, queues the rest and wakes the drain: once a statement.';
REVOKE ALL ON FUNCTION {machinery}.outbox_check() FROM PUBLIC;
CREATE TRIGGER outbox_check AFTER INSERT ON {mirror}.outbox
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION {machinery}.outbox_check();
"""

MACHINERY = """
CREATE TABLE {machinery}.replica (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    host text NOT NULL,
    pid integer NOT NULL,
    version text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE {machinery}.replica IS 'Each process that may claim outbox rows. It lives as long as its session holds the advisory lock of its id.';
COMMENT ON COLUMN {machinery}.replica.id IS 'Number of the replica, and of its advisory lock.';
COMMENT ON COLUMN {machinery}.replica.host IS 'Its machine.';
COMMENT ON COLUMN {machinery}.replica.pid IS 'Its process.';
COMMENT ON COLUMN {machinery}.replica.version IS 'Its version of syncd.';
COMMENT ON COLUMN {machinery}.replica.started_at IS 'When it came up.';

CREATE TABLE {machinery}.cursor (
    feed text PRIMARY KEY,
    token text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE {machinery}.cursor IS 'Where each change feed stands; moved in the transaction that holds the effects of the page.';
COMMENT ON COLUMN {machinery}.cursor.feed IS 'Name of the feed.';
COMMENT ON COLUMN {machinery}.cursor.token IS 'Marketo''s paging token.';
COMMENT ON COLUMN {machinery}.cursor.updated_at IS 'When it last moved.';

CREATE TABLE {machinery}.run (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    feed text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    outcome text NOT NULL DEFAULT 'running',
    counts jsonb NOT NULL DEFAULT '{{}}',
    error text,
    CONSTRAINT run_outcome_is_known CHECK (outcome IN ('running', 'done', 'failed', 'stopped')),
    CONSTRAINT run_finished_has_a_time CHECK ((outcome = 'running') = (finished_at IS NULL))
);
CREATE INDEX run_feed_idx ON {machinery}.run (feed, id);
COMMENT ON TABLE {machinery}.run IS 'Each run of each feed.';
COMMENT ON COLUMN {machinery}.run.id IS 'Number.';
COMMENT ON COLUMN {machinery}.run.feed IS 'Name of the feed.';
COMMENT ON COLUMN {machinery}.run.started_at IS 'Start.';
COMMENT ON COLUMN {machinery}.run.finished_at IS 'End.';
COMMENT ON COLUMN {machinery}.run.outcome IS 'running, done, failed or stopped.';
COMMENT ON COLUMN {machinery}.run.counts IS 'What it did, in numbers.';
COMMENT ON COLUMN {machinery}.run.error IS 'Why it failed, in words.';

CREATE SEQUENCE {machinery}.dirty_mark;
CREATE TABLE {machinery}.dirty_lead (
    lead_id bigint PRIMARY KEY,
    mark bigint NOT NULL DEFAULT nextval('{machinery}.dirty_mark'),
    reason text NOT NULL,
    marked_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX dirty_lead_mark_idx ON {machinery}.dirty_lead (mark);
COMMENT ON TABLE {machinery}.dirty_lead IS 'Leads whose row in the mirror may be old; one fetcher drains it.';
COMMENT ON COLUMN {machinery}.dirty_lead.lead_id IS 'The lead.';
COMMENT ON COLUMN {machinery}.dirty_lead.mark IS 'Grows with each marking: a read that began before the newest mark does not count.';
COMMENT ON COLUMN {machinery}.dirty_lead.reason IS 'Who marked it last.';
COMMENT ON COLUMN {machinery}.dirty_lead.marked_at IS 'When.';

CREATE TABLE {machinery}.backfill_window (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'planned',
    export_id text,
    exported_at timestamptz,
    rows bigint,
    bytes bigint,
    checksum text,
    unparsed bigint,
    finished_at timestamptz,
    CONSTRAINT backfill_window_is_a_window CHECK (starts_at <= ends_at),
    CONSTRAINT backfill_window_state_is_known CHECK (state IN ('planned', 'created', 'queued', 'done')),
    CONSTRAINT backfill_window_export_is_known CHECK ((state IN ('planned')) = (export_id IS NULL)),
    CONSTRAINT backfill_window_done_is_proven CHECK (state <> 'done' OR (rows IS NOT NULL AND bytes IS NOT NULL AND finished_at IS NOT NULL))
);
CREATE UNIQUE INDEX backfill_window_range_idx ON {machinery}.backfill_window (starts_at, ends_at);
COMMENT ON TABLE {machinery}.backfill_window IS 'The creation dates of leads, cut into windows of at most 31 days, each loaded by one bulk export.';
COMMENT ON COLUMN {machinery}.backfill_window.id IS 'Number.';
COMMENT ON COLUMN {machinery}.backfill_window.starts_at IS 'First second.';
COMMENT ON COLUMN {machinery}.backfill_window.ends_at IS 'Last second.';
COMMENT ON COLUMN {machinery}.backfill_window.state IS 'planned, created (a job exists), queued (it was started), done (its rows are in the mirror).';
COMMENT ON COLUMN {machinery}.backfill_window.export_id IS 'Marketo''s id of the job.';
COMMENT ON COLUMN {machinery}.backfill_window.exported_at IS 'Just before the job was started: rows written later are newer than the file.';
COMMENT ON COLUMN {machinery}.backfill_window.rows IS 'Leads in the file, as proven against Marketo''s own count.';
COMMENT ON COLUMN {machinery}.backfill_window.bytes IS 'Size of the file, as proven.';
COMMENT ON COLUMN {machinery}.backfill_window.checksum IS 'Checksum of the file, as proven.';
COMMENT ON COLUMN {machinery}.backfill_window.unparsed IS 'Leads with a value that does not fit its column.';
COMMENT ON COLUMN {machinery}.backfill_window.finished_at IS 'When it was done.';

CREATE UNLOGGED TABLE {machinery}.api_call (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane text NOT NULL,
    endpoint text NOT NULL,
    day date NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    finished_at timestamptz,
    replica bigint
);
CREATE INDEX api_call_started_at_idx ON {machinery}.api_call (started_at);
COMMENT ON TABLE {machinery}.api_call IS 'Calls of the last seconds and calls under way, of all replicas: what rate and concurrency are counted from.';
COMMENT ON COLUMN {machinery}.api_call.id IS 'Number of the lease.';
COMMENT ON COLUMN {machinery}.api_call.lane IS 'Who calls.';
COMMENT ON COLUMN {machinery}.api_call.endpoint IS 'What is called.';
COMMENT ON COLUMN {machinery}.api_call.day IS 'The day of Marketo (US Central) that it was charged to.';
COMMENT ON COLUMN {machinery}.api_call.started_at IS 'Start.';
COMMENT ON COLUMN {machinery}.api_call.expires_at IS 'When it no longer counts as under way, should its caller have died.';
COMMENT ON COLUMN {machinery}.api_call.finished_at IS 'End.';
COMMENT ON COLUMN {machinery}.api_call.replica IS 'The replica that calls; once its session has ended, the call no longer counts as under way.';

CREATE TABLE {machinery}.api_usage (
    day date NOT NULL,
    lane text NOT NULL,
    endpoint text NOT NULL,
    calls bigint NOT NULL DEFAULT 0,
    errors bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (day, lane, endpoint)
);
COMMENT ON TABLE {machinery}.api_usage IS 'Calls by Marketo''s day (US Central).';
COMMENT ON COLUMN {machinery}.api_usage.day IS 'Day in US Central time.';
COMMENT ON COLUMN {machinery}.api_usage.lane IS 'Who called.';
COMMENT ON COLUMN {machinery}.api_usage.endpoint IS 'What was called.';
COMMENT ON COLUMN {machinery}.api_usage.calls IS 'Calls that Marketo charges.';
COMMENT ON COLUMN {machinery}.api_usage.errors IS 'Calls that failed.';

CREATE TABLE {machinery}.quota_pause (
    what text PRIMARY KEY,
    until timestamptz NOT NULL,
    reason text NOT NULL
);
COMMENT ON TABLE {machinery}.quota_pause IS 'What Marketo told us to leave alone until a time.';
COMMENT ON COLUMN {machinery}.quota_pause.what IS 'calls (the daily quota) or export (the daily megabytes).';
COMMENT ON COLUMN {machinery}.quota_pause.until IS 'When it may go on.';
COMMENT ON COLUMN {machinery}.quota_pause.reason IS 'Marketo''s words.';

COMMENT ON TABLE {machinery}.alembic_version IS 'Which migration the database is at.';
COMMENT ON COLUMN {machinery}.alembic_version.version_num IS 'Number of the migration.';
"""

RIGHTS = """
GRANT USAGE ON SCHEMA {mirror} TO {reader}, {writer};
GRANT SELECT ON ALL TABLES IN SCHEMA {mirror} TO {reader}, {writer};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {mirror} GRANT SELECT ON TABLES TO {reader}, {writer};
GRANT INSERT (operation, payload, lookup_field, partition_name, options, idempotency_key, not_before, expires_at,
    on_unknown_outcome) ON {mirror}.outbox TO {writer};
"""


def upgrade() -> None:
    names = context.config.attributes["names"]
    for part in (MIRROR, OUTBOX, MACHINERY, RIGHTS):
        op.execute(part.format(**names))


def downgrade() -> None:
    raise RuntimeError("there is no way back from the first migration; drop both schemas instead")
