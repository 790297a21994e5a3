-- name: take_lock
-- Wait for one of the subscription's locks until the transaction ends.
SELECT pg_advisory_xact_lock(:kind, :which);

-- name: share_lock
-- Wait until nobody holds one of the subscription's locks alone, and keep it open for others like us.
SELECT pg_advisory_xact_lock_shared(:kind, :which);

-- name: server_version
-- The server's version as a number such as 180006.
SELECT current_setting('server_version_num');

-- name: server_encoding
-- In which encoding the database keeps text.
SELECT current_setting('server_encoding');

-- name: short_lock_wait
-- Rather fail and come again than make readers queue behind a change of columns.
SET LOCAL lock_timeout = '5s';
