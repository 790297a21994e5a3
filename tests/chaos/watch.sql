-- Watches, in the transaction that marks a row as succeeded, whether the mirror shows what the row did.
CREATE SCHEMA chaos;
CREATE TABLE chaos.unseen (outbox_id bigint NOT NULL, told text NOT NULL);
CREATE TABLE chaos.watched (operation text PRIMARY KEY, rows bigint NOT NULL);
CREATE FUNCTION chaos.watch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = marketo, syncd, pg_catalog, pg_temp AS $$
DECLARE
    told text;
    lead_now lead%ROWTYPE;
    title text := coalesce(NEW.payload -> 'leadFormFields', NEW.payload) ->> 'title';
BEGIN
    -- What the present transaction wrote after it, or moved since by hand, is not this row's.
    IF NEW.result ? 'resolved_by' OR NEW.result ? 'proven_by' OR coalesce((NEW.result ->> 'sent_as_one_with')::bigint, NEW.id) <> NEW.id OR NEW.lead_id IS NULL
        OR NOT EXISTS (SELECT FROM outbox o WHERE o.id = NEW.id AND o.status = 'succeeded')
        OR EXISTS (SELECT FROM outbox o WHERE o.lead_id = NEW.lead_id AND o.finished_at = NEW.finished_at AND o.id <> NEW.id) THEN
        RETURN NULL;
    END IF;
    SELECT * INTO lead_now FROM lead WHERE id = NEW.lead_id;
    told := CASE
        WHEN NEW.operation = 'delete' THEN CASE WHEN lead_now._deleted_at IS NULL AND lead_now.id IS NOT NULL THEN 'the lead is still there' END
        -- A lead that the mirror has not met: what is kept of it is its memberships, and a mark that it is to be read.
        WHEN lead_now.id IS NULL AND NEW.operation NOT IN ('remove_from_list', 'remove_from_program') AND (
                NEW.operation NOT IN ('add_to_list', 'set_program_status', 'update_partition', 'trigger_campaign', 'associate')
                OR NOT EXISTS (SELECT FROM dirty_lead d WHERE d.lead_id = NEW.lead_id)) THEN 'the lead is not there'
        WHEN lead_now._deleted_at IS NOT NULL THEN NULL
        WHEN NEW.operation IN ('create_or_update', 'update_only', 'create_only', 'create_duplicate', 'push', 'submit_form')
            THEN CASE WHEN lead_now.title IS DISTINCT FROM title THEN 'the title is ' || coalesce(lead_now.title, 'nothing') END
        WHEN NEW.operation = 'merge' THEN (SELECT 'lead ' || min(l.id) || ' is not merged' FROM lead l
            WHERE l.id IN (SELECT x::bigint FROM jsonb_array_elements_text(NEW.payload -> 'leadIds') AS x) AND l._deleted_at IS NULL HAVING count(*) > 0)
        WHEN NEW.operation = 'add_to_list' THEN CASE WHEN NOT EXISTS (SELECT FROM list_membership m
            WHERE m.list_id = (NEW.options ->> 'listId')::bigint AND m.lead_id = NEW.lead_id) THEN 'the lead is not on the list' END
        WHEN NEW.operation = 'remove_from_list' THEN CASE WHEN EXISTS (SELECT FROM list_membership m
            WHERE m.list_id = (NEW.options ->> 'listId')::bigint AND m.lead_id = NEW.lead_id) THEN 'the lead is on the list' END
        WHEN NEW.operation = 'set_program_status' AND NEW.result ->> 'status' <> 'skipped' THEN CASE WHEN NOT EXISTS (SELECT FROM program_membership m
            WHERE m.program_id = (NEW.options ->> 'programId')::bigint AND m.lead_id = NEW.lead_id AND m.status = NEW.options ->> 'statusName')
            THEN 'the status is not there' END
        WHEN NEW.operation = 'remove_from_program' THEN CASE WHEN EXISTS (SELECT FROM program_membership m
            WHERE m.program_id = (NEW.options ->> 'programId')::bigint AND m.lead_id = NEW.lead_id) THEN 'the lead is in the program' END
        WHEN NEW.operation = 'update_partition' AND lead_now.id IS NOT NULL THEN CASE WHEN (SELECT p.name FROM lead_partition p WHERE p.id = lead_now.lead_partition_id)
            IS DISTINCT FROM NEW.partition_name THEN 'the partition is another' END
    END;
    INSERT INTO chaos.watched VALUES (NEW.operation, 1) ON CONFLICT (operation) DO UPDATE SET rows = watched.rows + 1;
    IF told IS NOT NULL THEN
        INSERT INTO chaos.unseen VALUES (NEW.id, format('when row %s (%s) was marked as succeeded, %s', NEW.id, NEW.operation, told));
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER chaos_watch AFTER UPDATE ON marketo.outbox DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.status = 'succeeded' AND OLD.status IS DISTINCT FROM 'succeeded') EXECUTE FUNCTION chaos.watch();
