-- The audit log. The engine may insert and select, nothing else; what may go (salts, expired replies) goes by the
-- owner or by a function of the owner's. No foreign keys: their row locks would write to the referenced rows, and
-- verification finds what they would prevent.

-- What engines append. `n` orders the records; it has gaps where a transaction failed.
CREATE TABLE audit_record (
    n          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         uuid NOT NULL UNIQUE,
    request_id uuid UNIQUE,
    leaf_hash  bytea NOT NULL CHECK (octet_length(leaf_hash) = 32),
    body       bytea NOT NULL CHECK (octet_length(body) <= 65535)
);

-- Appenders hold this lock, shared, from before they take their `n` until they are committed. Who holds it alone
-- therefore sees every record up to the largest `n` there is, and none can appear among them later.
CREATE FUNCTION audit_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7021967001);
    RETURN NULL;
END $$;
CREATE TRIGGER audit_gate BEFORE INSERT ON audit_record FOR EACH STATEMENT EXECUTE FUNCTION audit_gate();

-- The place of each record in the tenant's log, from 1, without gaps.
CREATE TABLE audit_entry (
    sequence  bigint PRIMARY KEY CHECK (sequence > 0),
    n         bigint NOT NULL UNIQUE,
    record_id uuid NOT NULL UNIQUE,
    leaf_hash bytea NOT NULL CHECK (octet_length(leaf_hash) = 32)
);

-- Signed states of the log, with the right edge of the tree to resume from.
CREATE TABLE audit_checkpoint (
    size      bigint PRIMARY KEY CHECK (size > 0),
    note      text NOT NULL,
    frontier  bytea NOT NULL,
    signed_at timestamptz NOT NULL
);

-- What makes the commitments of a record to its people verifiable; erasing a salt makes one unlinkable for ever.
CREATE TABLE audit_salt (
    record_id uuid NOT NULL,
    field     text NOT NULL CHECK (field IN ('actor', 'subject')),
    salt      bytea NOT NULL CHECK (octet_length(salt) = 16),
    PRIMARY KEY (record_id, field)
);

-- Answers that may be asked for again, encrypted: they carry text.
CREATE TABLE audit_reply (
    request_id uuid PRIMARY KEY,
    body_mac   bytea NOT NULL CHECK (octet_length(body_mac) = 32),
    sealed     bytea NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX audit_reply_expiry ON audit_reply (expires_at);

-- The engine may not delete. This lets it drop what has expired, and nothing else.
CREATE FUNCTION audit_drop_expired_replies() RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH gone AS (DELETE FROM audit_reply WHERE expires_at < now() RETURNING 1) SELECT count(*) FROM gone
$$;
