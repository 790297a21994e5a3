-- name: operations_put
-- Write the catalogue of operations of this version; only what differs.
WITH listed AS (
    SELECT * FROM jsonb_to_recordset(CAST(:operations AS jsonb)) AS t (name text, place integer, payload text, records integer,
        id_in_payload boolean, lookup text[], partition text, loose boolean, options jsonb, required text[])
), gone AS (
    DELETE FROM operation WHERE name NOT IN (SELECT name FROM listed)
)
INSERT INTO operation AS o (name, place, payload, records, id_in_payload, lookup, partition, loose, options, required)
SELECT name, place, payload, records, id_in_payload, lookup, partition, loose, options, required FROM listed
ON CONFLICT (name) DO UPDATE SET place = EXCLUDED.place, payload = EXCLUDED.payload, records = EXCLUDED.records,
    id_in_payload = EXCLUDED.id_in_payload, lookup = EXCLUDED.lookup, partition = EXCLUDED.partition, loose = EXCLUDED.loose,
    options = EXCLUDED.options, required = EXCLUDED.required
WHERE o IS DISTINCT FROM EXCLUDED;
