-- The CRM of one tenant. Identifiers are UUIDv7 made by the server; versions grow by one with every change and are
-- what entity tags are made of. `search` and `sort` columns hold folded text (no accents, lower case), so they
-- compare by code point. Deleted records keep their row until they are restored.

CREATE TABLE users (
    id            uuid PRIMARY KEY,
    email         text NOT NULL,
    email_key     text NOT NULL UNIQUE,
    display_name  text NOT NULL,
    sort          text COLLATE "C" NOT NULL,
    password_hash text NOT NULL,
    role          text NOT NULL CHECK (role IN ('sales', 'ops', 'compliance', 'direction')),
    locale        text NOT NULL CHECK (locale IN ('fr', 'en')),
    active        boolean NOT NULL,
    version       bigint NOT NULL,
    created_at    timestamptz NOT NULL,
    created_by    uuid NOT NULL,
    updated_at    timestamptz NOT NULL,
    updated_by    uuid NOT NULL
);
CREATE INDEX users_sort ON users (sort, id);

CREATE TABLE sessions (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL REFERENCES users (id),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at   timestamptz
);
CREATE INDEX sessions_user ON sessions (user_id) WHERE ended_at IS NULL;
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- Refresh tokens are random; only their SHA-256 is kept. A used one stays, so that using it again is noticed.
CREATE TABLE refresh_tokens (
    hash       bytea PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    used_at    timestamptz
);
CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id);

CREATE TABLE organisations (
    id         uuid PRIMARY KEY,
    name       text NOT NULL,
    sort       text COLLATE "C" NOT NULL,
    domain     text,
    siren      text,
    vat_number text,
    owner_id   uuid NOT NULL REFERENCES users (id),
    version    bigint NOT NULL,
    created_at timestamptz NOT NULL,
    created_by uuid NOT NULL REFERENCES users (id),
    updated_at timestamptz NOT NULL,
    updated_by uuid NOT NULL REFERENCES users (id),
    deleted_at timestamptz
);
CREATE UNIQUE INDEX organisations_domain ON organisations (domain) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX organisations_siren ON organisations (siren) WHERE deleted_at IS NULL;
CREATE INDEX organisations_updated ON organisations (updated_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX organisations_owner ON organisations (owner_id, updated_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX organisations_sort ON organisations (sort, id) WHERE deleted_at IS NULL;

CREATE TABLE contacts (
    id              uuid PRIMARY KEY,
    first_name      text NOT NULL,
    last_name       text NOT NULL,
    -- "first last" folded, for searches; "last first" folded, for sorting.
    search          text COLLATE "C" NOT NULL,
    sort            text COLLATE "C" NOT NULL,
    email           text,
    email_key       text,
    phone           text,
    job_title       text,
    locale          text NOT NULL CHECK (locale IN ('fr', 'en')),
    organisation_id uuid REFERENCES organisations (id),
    do_not_contact  boolean NOT NULL,
    owner_id        uuid NOT NULL REFERENCES users (id),
    version         bigint NOT NULL,
    created_at      timestamptz NOT NULL,
    created_by      uuid NOT NULL REFERENCES users (id),
    updated_at      timestamptz NOT NULL,
    updated_by      uuid NOT NULL REFERENCES users (id),
    deleted_at      timestamptz
);
CREATE UNIQUE INDEX contacts_email ON contacts (email_key) WHERE deleted_at IS NULL;
CREATE INDEX contacts_updated ON contacts (updated_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX contacts_owner ON contacts (owner_id, updated_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX contacts_sort ON contacts (sort, id) WHERE deleted_at IS NULL;
CREATE INDEX contacts_organisation ON contacts (organisation_id, updated_at DESC, id DESC) WHERE deleted_at IS NULL;

CREATE TABLE interactions (
    id          uuid PRIMARY KEY,
    contact_id  uuid NOT NULL REFERENCES contacts (id),
    kind        text NOT NULL CHECK (kind IN ('call', 'email', 'meeting', 'chat', 'note')),
    direction   text NOT NULL CHECK (direction IN ('inbound', 'outbound', 'internal')),
    occurred_at timestamptz NOT NULL,
    subject     text NOT NULL,
    search      text COLLATE "C" NOT NULL,
    body        text,
    owner_id    uuid NOT NULL REFERENCES users (id),
    version     bigint NOT NULL,
    created_at  timestamptz NOT NULL,
    created_by  uuid NOT NULL REFERENCES users (id),
    updated_at  timestamptz NOT NULL,
    updated_by  uuid NOT NULL REFERENCES users (id),
    deleted_at  timestamptz
);
CREATE INDEX interactions_contact ON interactions (contact_id, occurred_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX interactions_occurred ON interactions (occurred_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX interactions_owner ON interactions (owner_id, occurred_at DESC, id DESC) WHERE deleted_at IS NULL;

-- The engine's verdicts: neither the prompt nor the text that may leave.
CREATE TABLE assessments (
    id         uuid PRIMARY KEY,
    contact_id uuid REFERENCES contacts (id),
    owner_id   uuid NOT NULL REFERENCES users (id),
    created_at timestamptz NOT NULL,
    verdict    jsonb NOT NULL
);
CREATE INDEX assessments_contact ON assessments (contact_id, created_at DESC, id DESC);

-- What was answered to a request that carried an Idempotency-Key. `id` is a hash of who asked what under which
-- key, `request` a keyed hash of the body. `reply` is encrypted; it is absent while the request runs.
CREATE TABLE idempotency (
    id         bytea PRIMARY KEY,
    request    bytea NOT NULL,
    run_id     uuid NOT NULL,
    started_at timestamptz,
    expires_at timestamptz NOT NULL,
    reply      bytea
);
CREATE INDEX idempotency_expiry ON idempotency (expires_at);

-- Searches are faster with trigrams. The extension is trusted, so no superuser is needed, but some
-- installations lack it; searches work without.
DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX contacts_search ON contacts USING gin (search gin_trgm_ops) WHERE deleted_at IS NULL;
    CREATE INDEX organisations_search ON organisations USING gin (sort gin_trgm_ops) WHERE deleted_at IS NULL;
    CREATE INDEX interactions_search ON interactions USING gin (search gin_trgm_ops) WHERE deleted_at IS NULL;
EXCEPTION
    WHEN undefined_file OR insufficient_privilege OR feature_not_supported OR undefined_object THEN
        RAISE NOTICE 'pg_trgm is not available; searches scan';
END
$$;
