BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE canaries (
	sender TEXT NOT NULL, 
	sent_at_us BIGINT NOT NULL, 
	arrived_at DATETIME NOT NULL, 
	arrivals INTEGER NOT NULL, 
	CONSTRAINT pk_canaries PRIMARY KEY (sender)
);
CREATE TABLE conversation_messages (
	event_id INTEGER NOT NULL, 
	conversation_id TEXT NOT NULL, 
	occurred_at DATETIME NOT NULL, 
	sequence BIGINT NOT NULL, 
	received_at DATETIME NOT NULL, 
	position INTEGER DEFAULT '0' NOT NULL, 
	platform_message_id TEXT, 
	sender TEXT, 
	text TEXT, 
	content TEXT, 
	CONSTRAINT pk_conversation_messages PRIMARY KEY (event_id)
);
CREATE TABLE conversations (
	conversation_id TEXT NOT NULL, 
	status TEXT NOT NULL, 
	social_channel TEXT, 
	started_at DATETIME, 
	routing_status TEXT, 
	routing_queue TEXT, 
	routing_changed_at DATETIME, 
	routing_sequence BIGINT NOT NULL, 
	event_count INTEGER NOT NULL, 
	message_count INTEGER NOT NULL, 
	first_event_at DATETIME NOT NULL, 
	last_event_at DATETIME NOT NULL, 
	window_opened_at DATETIME, 
	window_closes_at DATETIME, 
	window_limit_at DATETIME, 
	window_from_at DATETIME, 
	settled_count INTEGER DEFAULT '0' NOT NULL, 
	settled_through_at DATETIME, 
	settled_through_sequence BIGINT DEFAULT '0' NOT NULL, 
	session_opened_at DATETIME, 
	unsettled_because TEXT, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT pk_conversations PRIMARY KEY (conversation_id)
);
CREATE TABLE dead_letters (
	message_id TEXT NOT NULL, 
	code TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	body_sha256 BLOB NOT NULL, 
	source TEXT NOT NULL, 
	received_at DATETIME NOT NULL, 
	recorded_at DATETIME NOT NULL, 
	attempts INTEGER NOT NULL, 
	intervention_id TEXT, 
	decided_at DATETIME, 
	idempotency_key TEXT, 
	event_type TEXT, 
	conversation_id TEXT, 
	destination TEXT, 
	CONSTRAINT pk_dead_letters PRIMARY KEY (message_id)
);
CREATE TABLE deliveries (
	outbox_id INTEGER NOT NULL, 
	destination TEXT NOT NULL, 
	conversation_id TEXT NOT NULL, 
	due_at DATETIME NOT NULL, 
	attempts INTEGER NOT NULL, 
	first_attempt_at DATETIME, 
	refused_at DATETIME, 
	status INTEGER, 
	reason TEXT, 
	outcome TEXT, 
	finished_at DATETIME, 
	dead_lettered_at DATETIME, 
	CONSTRAINT pk_deliveries PRIMARY KEY (outbox_id, destination)
);
CREATE TABLE destinations (
	name TEXT NOT NULL, 
	registered_at DATETIME NOT NULL, 
	paused_at DATETIME, 
	paused_because TEXT, 
	CONSTRAINT pk_destinations PRIMARY KEY (name)
);
CREATE TABLE discarded_dead_letters (
	id INTEGER NOT NULL, 
	message_id TEXT NOT NULL, 
	intervention_id TEXT NOT NULL, 
	discarded_at DATETIME NOT NULL, 
	body BLOB NOT NULL, 
	CONSTRAINT pk_discarded_dead_letters PRIMARY KEY (id)
);
CREATE TABLE drift (
	kind TEXT NOT NULL, 
	name TEXT NOT NULL, 
	event_type TEXT NOT NULL, 
	first_seen_at DATETIME NOT NULL, 
	last_seen_at DATETIME, 
	count BIGINT DEFAULT '1' NOT NULL, 
	sample TEXT, 
	accepted_at DATETIME, 
	accepted_by TEXT, 
	CONSTRAINT pk_drift PRIMARY KEY (kind, name)
);
CREATE TABLE edge_statistics (
	process TEXT NOT NULL, 
	began_at DATETIME NOT NULL, 
	edge TEXT NOT NULL, 
	duration_us BIGINT NOT NULL, 
	answered INTEGER NOT NULL, 
	within_10_ms INTEGER NOT NULL, 
	within_100_ms INTEGER NOT NULL, 
	within_1_s INTEGER NOT NULL, 
	within_3_s INTEGER NOT NULL, 
	within_10_s INTEGER NOT NULL, 
	longest_us BIGINT NOT NULL, 
	status_401 INTEGER NOT NULL, 
	status_413 INTEGER NOT NULL, 
	status_429 INTEGER NOT NULL, 
	status_503 INTEGER NOT NULL, 
	other_refusals INTEGER NOT NULL, 
	CONSTRAINT pk_edge_statistics PRIMARY KEY (process, began_at)
);
CREATE TABLE event_conflicts (
	event_id INTEGER NOT NULL, 
	body_sha256 BLOB NOT NULL, 
	idempotency_key TEXT NOT NULL, 
	body BLOB NOT NULL, 
	message_id TEXT NOT NULL, 
	source TEXT NOT NULL, 
	times_received INTEGER NOT NULL, 
	first_seen_at DATETIME NOT NULL, 
	last_seen_at DATETIME NOT NULL, 
	CONSTRAINT pk_event_conflicts PRIMARY KEY (event_id, body_sha256)
);
CREATE TABLE event_payloads (
	event_id INTEGER NOT NULL, 
	stored_at DATETIME NOT NULL, 
	body BLOB NOT NULL, 
	CONSTRAINT pk_event_payloads PRIMARY KEY (event_id)
);
CREATE TABLE failed_receipts (
	event_id INTEGER NOT NULL, 
	destination TEXT NOT NULL, 
	status INTEGER, 
	reason TEXT, 
	due_at DATETIME NOT NULL, 
	attempts INTEGER NOT NULL, 
	begun_at DATETIME, 
	outcome TEXT, 
	problem TEXT, 
	finished_at DATETIME, 
	CONSTRAINT pk_failed_receipts PRIMARY KEY (event_id)
);
CREATE TABLE interventions (
	intervention_id TEXT NOT NULL, 
	action TEXT NOT NULL, 
	operator TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	selection TEXT NOT NULL, 
	again BOOLEAN NOT NULL, 
	chosen BIGINT NOT NULL, 
	done BIGINT DEFAULT '0' NOT NULL, 
	through INTEGER, 
	outcome TEXT, 
	started_at DATETIME NOT NULL, 
	ended_at DATETIME, 
	CONSTRAINT pk_interventions PRIMARY KEY (intervention_id)
);
CREATE TABLE message_receipts (
	event_id INTEGER NOT NULL, 
	conversation_id TEXT NOT NULL, 
	platform_message_id TEXT, 
	status TEXT, 
	is_final BOOLEAN, 
	reasons TEXT, 
	occurred_at DATETIME NOT NULL, 
	CONSTRAINT pk_message_receipts PRIMARY KEY (event_id)
);
CREATE TABLE outbox (
	id INTEGER NOT NULL, 
	conversation_id TEXT NOT NULL, 
	event_id INTEGER, 
	event_type TEXT NOT NULL, 
	occurred_at DATETIME NOT NULL, 
	late BOOLEAN NOT NULL, 
	verified BOOLEAN, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_outbox PRIMARY KEY (id)
);
CREATE TABLE platform_conversations (
	conversation_id TEXT NOT NULL, 
	state TEXT NOT NULL, 
	listed_at DATETIME NOT NULL, 
	counted_at DATETIME, 
	differs BOOLEAN DEFAULT 1 NOT NULL, 
	messages INTEGER, 
	read_at DATETIME, 
	fingerprint TEXT, 
	CONSTRAINT pk_platform_conversations PRIMARY KEY (conversation_id)
);
CREATE TABLE processed_events (
	id INTEGER NOT NULL, 
	idempotency_key TEXT NOT NULL, 
	conversation_id TEXT NOT NULL, 
	event_type TEXT NOT NULL, 
	outcome TEXT NOT NULL, 
	reason TEXT, 
	occurred_at DATETIME NOT NULL, 
	received_at DATETIME NOT NULL, 
	processed_at DATETIME NOT NULL, 
	message_id TEXT NOT NULL, 
	source TEXT NOT NULL, 
	dialect TEXT NOT NULL, 
	body_sha256 BLOB NOT NULL, 
	times_received INTEGER DEFAULT '1' NOT NULL, 
	last_repeated_at DATETIME, 
	request_id TEXT, 
	CONSTRAINT pk_processed_events PRIMARY KEY (id), 
	CONSTRAINT uq_processed_events_idempotency_key UNIQUE (idempotency_key)
);
CREATE TABLE reconciliation_gaps (
	idempotency_key TEXT NOT NULL, 
	reconciliation_id INTEGER NOT NULL, 
	conversation_id TEXT NOT NULL, 
	event_type TEXT NOT NULL, 
	platform_message_id TEXT NOT NULL, 
	occurred_at DATETIME NOT NULL, 
	found_at DATETIME NOT NULL, 
	published_at DATETIME NOT NULL, 
	message_id TEXT NOT NULL, 
	CONSTRAINT pk_reconciliation_gaps PRIMARY KEY (idempotency_key)
);
CREATE TABLE reconciliations (
	id INTEGER NOT NULL, 
	started_by TEXT NOT NULL, 
	compared_from DATETIME NOT NULL, 
	compared_to DATETIME NOT NULL, 
	page INTEGER, 
	conversations INTEGER DEFAULT '0' NOT NULL, 
	compared INTEGER DEFAULT '0' NOT NULL, 
	missing INTEGER DEFAULT '0' NOT NULL, 
	published INTEGER DEFAULT '0' NOT NULL, 
	waiting INTEGER DEFAULT '0' NOT NULL, 
	unreadable INTEGER DEFAULT '0' NOT NULL, 
	unread INTEGER DEFAULT '0' NOT NULL, 
	ours INTEGER DEFAULT '0' NOT NULL, 
	unmatched INTEGER DEFAULT '0' NOT NULL, 
	mismatch TEXT, 
	decided_by TEXT, 
	started_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	held_by TEXT NOT NULL, 
	held_until DATETIME NOT NULL, 
	unlisted TEXT, 
	passed_over INTEGER DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_reconciliations PRIMARY KEY (id)
);
CREATE TABLE request_budgets (
	name TEXT NOT NULL, 
	paid_at_us BIGINT NOT NULL, 
	background_paid_at_us BIGINT NOT NULL, 
	CONSTRAINT pk_request_budgets PRIMARY KEY (name)
);
CREATE TABLE routing_updates (
	event_id INTEGER NOT NULL, 
	conversation_id TEXT NOT NULL, 
	occurred_at DATETIME NOT NULL, 
	sequence BIGINT NOT NULL, 
	received_at DATETIME NOT NULL, 
	routing_status TEXT NOT NULL, 
	routing_queue TEXT, 
	decision TEXT, 
	platform_status TEXT, 
	verified BOOLEAN, 
	decided_at DATETIME, 
	waits_since DATETIME NOT NULL, 
	next_attempt_at DATETIME, 
	CONSTRAINT pk_routing_updates PRIMARY KEY (event_id)
);
CREATE TABLE subscriptions (
	event_type TEXT NOT NULL, 
	destination TEXT NOT NULL, 
	CONSTRAINT pk_subscriptions PRIMARY KEY (event_type, destination)
);
CREATE TABLE suspects (
	message_id TEXT NOT NULL, 
	attempts INTEGER NOT NULL, 
	attempted_at DATETIME NOT NULL, 
	CONSTRAINT pk_suspects PRIMARY KEY (message_id)
);
CREATE TABLE unstored_events (
	day DATETIME NOT NULL, 
	event_type TEXT NOT NULL, 
	events BIGINT NOT NULL, 
	CONSTRAINT pk_unstored_events PRIMARY KEY (day, event_type)
);
CREATE TABLE worker_reports (
	role TEXT NOT NULL, 
	worker TEXT NOT NULL, 
	started_at DATETIME NOT NULL, 
	reported_at DATETIME NOT NULL, 
	figures TEXT NOT NULL, 
	CONSTRAINT pk_worker_reports PRIMARY KEY (role, worker)
);
CREATE INDEX ix_processed_events_conversation_id ON processed_events (conversation_id);
CREATE INDEX ix_processed_events_processed_at ON processed_events (processed_at);
CREATE INDEX ix_conversations_window_opened_at ON conversations (window_opened_at) WHERE window_opened_at IS NOT NULL;
CREATE INDEX ix_conversations_unsettled ON conversations (conversation_id) WHERE unsettled_because IS NOT NULL;
CREATE INDEX ix_conversation_messages_conversation_id ON conversation_messages (conversation_id, occurred_at, sequence);
CREATE INDEX ix_message_receipts_platform_message_id ON message_receipts (platform_message_id);
CREATE INDEX ix_routing_updates_conversation_id ON routing_updates (conversation_id);
CREATE INDEX ix_routing_updates_waiting ON routing_updates (waits_since, next_attempt_at) WHERE decision IS NULL;
CREATE INDEX ix_dead_letters_recorded_at ON dead_letters (recorded_at);
CREATE INDEX ix_dead_letters_open ON dead_letters (code, recorded_at) WHERE decided_at IS NULL;
CREATE INDEX ix_dead_letters_oldest ON dead_letters (recorded_at, message_id) WHERE decided_at IS NULL;
CREATE INDEX ix_dead_letters_idempotency_key ON dead_letters (idempotency_key);
CREATE INDEX ix_outbox_conversation_id ON outbox (conversation_id, id);
CREATE INDEX ix_deliveries_due ON deliveries (destination, due_at) WHERE outcome IS NULL;
CREATE INDEX ix_deliveries_order ON deliveries (destination, conversation_id, outbox_id) WHERE outcome IS NULL;
CREATE INDEX ix_deliveries_unpublished ON deliveries (outbox_id) WHERE outcome = 'dead' AND dead_lettered_at IS NULL;
CREATE INDEX ix_failed_receipts_due ON failed_receipts (due_at) WHERE outcome IS NULL;
CREATE UNIQUE INDEX ix_reconciliations_under_way ON reconciliations (started_by) WHERE finished_at IS NULL AND started_by = 'timer';
CREATE INDEX ix_reconciliations_undecided ON reconciliations (id) WHERE mismatch IS NOT NULL AND decided_by IS NULL;
CREATE INDEX ix_platform_conversations_unread ON platform_conversations (differs, read_at, listed_at) WHERE state IN ('open', 'over');
CREATE INDEX ix_edge_statistics_began_at ON edge_statistics (began_at);
CREATE TRIGGER outbox_plans_deliveries AFTER INSERT ON outbox
        BEGIN
            INSERT INTO deliveries (outbox_id, destination, conversation_id, due_at, attempts)
            SELECT NEW.id, s.destination, NEW.conversation_id, NEW.created_at, 0
            FROM subscriptions s WHERE s.event_type = NEW.event_type;
        END;
CREATE VIEW events_v1 AS 
        SELECT id, idempotency_key, conversation_id, event_type, outcome, reason, occurred_at, received_at,
            processed_at, message_id, source, dialect, lower(hex(body_sha256)) AS body_sha256, times_received,
            last_repeated_at, request_id, substr(processed_at, 1, 13) || ':00:00.000000' AS hour
        FROM processed_events;
CREATE VIEW events AS 
        SELECT * FROM events_v1;
CREATE VIEW dead_letters_v1 AS 
        SELECT l.message_id, l.code, l.reason, l.source, l.received_at, l.recorded_at, l.attempts,
            lower(hex(l.body_sha256)) AS body_sha256, i.action, i.operator, l.decided_at, l.intervention_id,
            l.event_type, l.conversation_id, l.destination, substr(recorded_at, 1, 10) AS day
        FROM dead_letters l LEFT JOIN interventions i ON i.intervention_id = l.intervention_id;
CREATE VIEW conversations_v1 AS 
        SELECT conversation_id, status, social_channel, started_at, routing_status, routing_queue,
            routing_changed_at, event_count, message_count, first_event_at, last_event_at, settled_count,
            settled_through_at, session_opened_at, window_closes_at
        FROM conversations;
CREATE VIEW event_conflicts_v1 AS 
        SELECT event_id, idempotency_key, lower(hex(body_sha256)) AS body_sha256, message_id, source, times_received,
            first_seen_at, last_seen_at
        FROM event_conflicts;
CREATE VIEW interventions_v1 AS 
        SELECT intervention_id, action, operator, reason, selection, again, chosen, done, outcome, started_at,
            ended_at
        FROM interventions;
CREATE VIEW outbox_v1 AS 
        SELECT id, conversation_id, event_id, event_type, occurred_at, late, verified, created_at,
            substr(created_at, 1, 10) AS day
        FROM outbox;
CREATE VIEW routing_updates_v1 AS 
        SELECT event_id, conversation_id, occurred_at, sequence, received_at, routing_status, routing_queue,
            decision, platform_status, verified, decided_at, waits_since, next_attempt_at
        FROM routing_updates;
CREATE VIEW deliveries_v1 AS 
        SELECT d.outbox_id, d.destination, o.event_id, d.conversation_id, o.event_type, o.occurred_at,
            o.created_at, d.due_at, d.attempts, d.first_attempt_at, d.status, d.reason, d.outcome,
            d.finished_at, (julianday(d.finished_at) - julianday(o.created_at)) * 86400.0 AS finished_after_seconds
        FROM deliveries d JOIN outbox o ON o.id = d.outbox_id;
CREATE VIEW destinations_v1 AS 
        SELECT s.name AS destination, s.registered_at, s.paused_at, s.paused_because,
            (SELECT count(*) FROM deliveries d WHERE d.destination = s.name AND d.outcome IS NULL) AS waiting,
            (SELECT min(o.created_at) FROM deliveries d JOIN outbox o ON o.id = d.outbox_id
             WHERE d.destination = s.name AND d.outcome IS NULL) AS oldest_waiting_at
        FROM destinations s;
CREATE VIEW interactions_v1 AS 
        SELECT *, (julianday(routed_at) - julianday(queued_at)) * 86400.0 AS queued_seconds, substr(began_at, 1, 10) AS day
        FROM (
            SELECT c.conversation_id, c.social_channel, COALESCE(c.started_at, c.first_event_at) AS began_at,
                c.last_event_at, c.message_count AS messages, c.routing_status, c.routing_queue,
                (SELECT min(u.occurred_at) FROM routing_updates u WHERE u.conversation_id = c.conversation_id
                    AND u.decision IN ('applied', 'late') AND u.routing_status = 'CONTACT-QUEUED'
                ) AS queued_at,
                (SELECT min(u.occurred_at) FROM routing_updates u WHERE u.conversation_id = c.conversation_id
                    AND u.decision IN ('applied', 'late') AND u.routing_status = 'CONTACT-ROUTED'
                ) AS routed_at
            FROM conversations c
        ) interactions;
CREATE VIEW reconciliations_v1 AS 
        SELECT id, started_by, compared_from, compared_to, conversations, compared, missing, published,
            waiting, unreadable, unread, ours, unmatched, started_at, finished_at, unlisted, passed_over,
            mismatch, decided_by
        FROM reconciliations;
CREATE VIEW reconciliation_gaps_v1 AS 
        SELECT g.idempotency_key, g.reconciliation_id, g.conversation_id, g.event_type,
            g.platform_message_id, g.occurred_at, g.found_at, g.published_at, g.message_id,
            CASE WHEN e.source = 'reconcile' THEN 'recovered' WHEN e.id IS NOT NULL THEN 'came late'
                WHEN d.message_id IS NOT NULL THEN 'dead letter' ELSE 'waiting' END AS became,
            e.processed_at, substr(found_at, 1, 10) AS day
        FROM reconciliation_gaps g
            LEFT JOIN processed_events e ON e.idempotency_key = g.idempotency_key
            LEFT JOIN dead_letters d ON d.message_id = g.message_id;
CREATE VIEW notification_statistics_v1 AS 
        SELECT day, sum(notified) AS notified, sum(repeated) AS repeated, sum(recovered) AS recovered,
            sum(dead_letters) AS dead_letters,
            100.0 * (sum(notified) + sum(dead_letters)) / (sum(notified) + sum(dead_letters) + sum(recovered))
                AS success_percent
        FROM (
            SELECT substr(received_at, 1, 10) AS day, CASE WHEN source = 'webhook' THEN 1 ELSE 0 END AS notified,
                CASE WHEN source = 'webhook' THEN times_received - 1 ELSE 0 END AS repeated,
                CASE WHEN source = 'reconcile' THEN 1 ELSE 0 END AS recovered, 0 AS dead_letters
            FROM processed_events WHERE source IN ('webhook', 'reconcile')
            UNION ALL
            SELECT substr(received_at, 1, 10), 0, 0, 0, 1
            FROM dead_letters WHERE source = 'webhook' AND destination IS NULL
        ) counted
        GROUP BY day;
CREATE VIEW acknowledgement_statistics_v1 AS 
        SELECT hour, sum(answered) AS answered, sum(within_10_ms) AS within_10_ms,
            sum(within_100_ms) AS within_100_ms, sum(within_1_s) AS within_1_s, sum(within_3_s) AS within_3_s,
            sum(within_10_s) AS within_10_s, max(longest_us) / 1000000.0 AS longest_s,
            sum(status_429) AS shed, sum(status_503) AS unavailable, sum(status_401) AS unauthorized,
            sum(status_413) AS too_large, sum(other_refusals) AS otherwise_refused
        FROM (SELECT substr(began_at, 1, 13) || ':00:00.000000' AS hour, edge_statistics.* FROM edge_statistics) minutes
        GROUP BY hour;
CREATE VIEW messages_v1 AS 
        SELECT event_id, conversation_id, occurred_at, sequence, received_at, position, platform_message_id,
            sender, length(text) AS characters, content IS NOT NULL AS has_content
        FROM conversation_messages;
CREATE VIEW receipts_v1 AS 
        SELECT event_id, conversation_id, platform_message_id, status, is_final, reasons, occurred_at
        FROM message_receipts;
CREATE VIEW drift_v1 AS 
        SELECT kind, name, event_type, sample, count, first_seen_at, last_seen_at, accepted_at, accepted_by
        FROM drift;
CREATE VIEW latency_v1 AS 
        SELECT id, conversation_id, event_type, source, occurred_at, received_at, processed_at,
            (julianday(received_at) - julianday(occurred_at)) * 86400.0 AS arrived_after_seconds, (julianday(processed_at) - julianday(received_at)) * 86400.0 AS processed_after_seconds,
            substr(processed_at, 1, 13) || ':00:00.000000' AS hour
        FROM processed_events;
CREATE VIEW throughput_v1 AS 
        SELECT substr(processed_at, 1, 16) || ':00.000000' AS minute, substr(processed_at, 1, 13) || ':00:00.000000' AS hour, event_type, outcome, source,
            count(*) AS events, sum(times_received) AS times_received
        FROM processed_events GROUP BY substr(processed_at, 1, 16) || ':00.000000', substr(processed_at, 1, 13) || ':00:00.000000', event_type, outcome, source;
COMMIT;
