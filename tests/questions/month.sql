-- A month of traffic in conversations of ten events. Only the newest 100,000 events have bodies, for the search for a
-- customer. No question reads bodies, and bodies for all events would double the size. %(conversations)s is the number of conversations. Each statement ends with a semicolon at a line's end.

SET synchronous_commit = off;

SET maintenance_work_mem = '512MB';

SET max_parallel_maintenance_workers = 0;

CREATE TEMPORARY TABLE filler AS
SELECT n, gen_random_uuid()::text AS id,
    date_trunc('second', now()) - interval '30 days' * (1 - n::float8 / %(conversations)s) - interval '5 minutes' AS t
FROM generate_series(1, %(conversations)s) AS n;

INSERT INTO processed_events (id, idempotency_key, conversation_id, event_type, outcome, reason, occurred_at,
    received_at, processed_at, message_id, source, dialect, body_sha256, times_received, last_repeated_at, request_id)
SELECT (n - 1) * 10 + e + 1, id || ':' || n || ':' || e || ':id-' || gen_random_uuid(), id,
    'openmessaging:' || (ARRAY['conversation:new', 'conversation:message', 'conversation:message', 'conversation:updated',
        'conversation:message', 'conversation:message', 'conversation:message', 'conversation:updated',
        'conversation:message', 'receipt'])[e + 1],
    CASE WHEN e = 3 AND n %% 10 = 0 THEN 'skipped' ELSE 'processed' END,
    CASE WHEN e = 3 AND n %% 10 = 0 THEN 'no_transition' END,
    t + e * interval '20 s', t + e * interval '20 s' + wait, t + e * interval '20 s' + wait * 1.2,
    substr(md5((n %% 8)::text), 1, 16) || '-' || to_hex(n * 10 + e),
    CASE WHEN e = 5 AND n %% 200 = 0 THEN 'reconcile' ELSE 'webhook' END, 'guide',
    sha256((id || e)::bytea), CASE WHEN e = 2 AND n %% 10 = 0 THEN 2 ELSE 1 END,
    CASE WHEN e = 2 AND n %% 10 = 0 THEN t + interval '60 s' END, md5('request' || n * 10 + e)
FROM filler, generate_series(0, 9) AS e, 
    -- The expression contains e, so that a separate value is drawn for each event.
    LATERAL (SELECT (0.05 + random() * 0.1 + 0 * e) * interval '1 s' AS wait) AS w;

SELECT setval(pg_get_serial_sequence('processed_events', 'id'), (SELECT max(id) FROM processed_events));

INSERT INTO event_payloads (event_id, stored_at, body)
SELECT id, processed_at, convert_to(format('{"id": "ext:customer:%%s", "text": "%%s"}', id / 10, repeat('parcel ', 70)), 'UTF8')
FROM processed_events WHERE id > (SELECT max(id) - 100000 FROM processed_events);

INSERT INTO conversations (conversation_id, status, social_channel, started_at, routing_status, routing_queue,
    routing_changed_at, routing_sequence, event_count, message_count, first_event_at, last_event_at,
    window_opened_at, window_closes_at, window_limit_at, settled_count, settled_through_at, session_opened_at,
    updated_at)
SELECT id, 'started', 'integration-' || n %% 20, t, 'CONTACT-ROUTED', 'queue-' || n %% 7,
    t + interval '140 s', 0, 10, 6, t, t + interval '180 s', open.at, open.at, open.at,
    CASE WHEN open.at IS NOT NULL THEN 8 WHEN n %% 500 = 1 THEN 0 ELSE 10 END, t + interval '180 s', t, t + interval '182 s'
FROM filler, LATERAL (SELECT CASE WHEN n > %(conversations)s - 20 THEN t + interval '180 s' END AS at) AS open;

INSERT INTO conversation_messages (event_id, conversation_id, occurred_at, sequence, received_at, position,
    platform_message_id, sender, text)
SELECT id, conversation_id, occurred_at, 0, received_at, 1, md5(id::text), 'inbound', 'Where is my parcel?'
FROM processed_events WHERE event_type = 'openmessaging:conversation:message';

INSERT INTO message_receipts (event_id, conversation_id, platform_message_id, status, is_final, occurred_at)
SELECT id, conversation_id, md5((id - 1)::text), CASE WHEN id %% 400 = 0 THEN 'Failed' ELSE 'Delivered' END,
    true, occurred_at
FROM processed_events WHERE event_type = 'openmessaging:receipt';

INSERT INTO routing_updates (event_id, conversation_id, occurred_at, sequence, received_at, routing_status,
    routing_queue, decision, verified, decided_at, waits_since)
SELECT id, conversation_id, occurred_at, 0, received_at,
    CASE WHEN id %% 10 = 4 THEN 'CONTACT-QUEUED' ELSE 'CONTACT-ROUTED' END, 'queue-1', 'applied', true, processed_at, processed_at
FROM processed_events WHERE event_type = 'openmessaging:conversation:updated' AND outcome = 'processed';

INSERT INTO outbox (id, conversation_id, event_id, event_type, occurred_at, late, verified, created_at)
SELECT id, conversation_id, id, event_type, occurred_at, id %% 500 = 0, NULL, processed_at + interval '2 s'
FROM (SELECT id, conversation_id, event_type, occurred_at, processed_at FROM processed_events WHERE outcome = 'processed' ORDER BY id) AS told;

INSERT INTO destinations (name, registered_at) VALUES ('crm', now()), ('analytics', now());

INSERT INTO deliveries (outbox_id, destination, conversation_id, due_at, attempts, first_attempt_at, status,
    reason, outcome, finished_at)
SELECT id, 'crm', conversation_id, created_at, CASE WHEN is_odd THEN 3 ELSE 0 END,
    CASE WHEN is_odd THEN created_at END, CASE WHEN is_odd THEN 503 ELSE 200 END,
    CASE WHEN is_odd THEN 'refused' END, CASE WHEN id > newest - 200 THEN NULL WHEN is_odd THEN 'dead'
        ELSE 'delivered' END, CASE WHEN id > newest - 200 THEN NULL ELSE created_at + interval '40 ms' END
FROM outbox, LATERAL (SELECT outbox.id %% 1000 = 1 AS is_odd) AS o, (SELECT max(id) AS newest FROM outbox) AS n;

INSERT INTO dead_letters (message_id, code, reason, body_sha256, source, received_at, recorded_at, attempts)
SELECT 'dead-' || n, (ARRAY['not_json', 'missing_field', 'delivery_given_up'])[1 + n %% 3], 'constructed',
    sha256(n::text::bytea), 'webhook', t, t, 1
FROM filler WHERE n %% 100 = 0;

INSERT INTO event_conflicts (event_id, body_sha256, idempotency_key, body, message_id, source, times_received,
    first_seen_at, last_seen_at)
SELECT id, sha256(id::text::bytea), idempotency_key, ''::bytea, 'again-' || id, 'webhook', 1, processed_at,
    processed_at
FROM processed_events WHERE id %% 10000 = 1;

INSERT INTO drift (kind, name, event_type, first_seen_at, last_seen_at)
SELECT 'unknown_field', 'field-' || n, 'openmessaging:conversation:message', now() - n * interval '12 hours', now()
FROM generate_series(1, 40) AS n;

INSERT INTO interventions (intervention_id, action, operator, reason, selection, again, chosen, done, outcome,
    started_at, ended_at)
SELECT 'intervention-' || n, 'replay-events', 'operator-' || n %% 3, 'constructed', '{}', false, 10, 10, 'done',
    now() - n * interval '1 day', now() - n * interval '1 day'
FROM generate_series(1, 30) AS n;

INSERT INTO reconciliation_gaps (idempotency_key, reconciliation_id, conversation_id, event_type,
    platform_message_id, occurred_at, found_at, published_at, message_id)
SELECT idempotency_key, 1, conversation_id, event_type, md5(id::text), occurred_at, processed_at, processed_at,
    message_id
FROM processed_events WHERE source = 'reconcile';

INSERT INTO reconciliations (started_by, compared_from, compared_to, started_at, finished_at,
    held_by, held_until)
SELECT 'timer', t, t + interval '15 minutes', t, t + interval '1 minute', 'constructed', t
FROM generate_series(now() - interval '30 days', now(), interval '15 minutes') AS t;

INSERT INTO unstored_events SELECT date_trunc('day', now()), 'openmessaging:typing', 100;
