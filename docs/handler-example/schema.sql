CREATE TABLE order_mentions (
    event_id bigint NOT NULL,
    conversation_id text NOT NULL,
    order_number text NOT NULL,
    said_at timestamp with time zone NOT NULL,
    PRIMARY KEY (event_id, order_number)
);
