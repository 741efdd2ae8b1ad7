-- Deletion becomes erasure: what was deleted is removed for good after a while, or at once on demand, with everything
-- that names it. See docs/compliance/erasure.md.

-- The records that a kept reply shows, so that erasing one of them removes the reply too. NULL: unknown, as in replies
-- of an earlier release, which are removed with the first erasure; none is kept for longer than a day in any case.
ALTER TABLE idempotency ADD COLUMN subjects uuid[];

-- People whose salts the engine has yet to erase. The row is removed after a last pass behind `settled_at`: until then a
-- request that began before the erasure may still be recorded.
CREATE TABLE subject_erasures (
    subject    uuid PRIMARY KEY,
    due_at     timestamptz NOT NULL,
    settled_at timestamptz NOT NULL
);
CREATE INDEX subject_erasures_due ON subject_erasures (due_at);

-- What is due.
CREATE INDEX organisations_deleted ON organisations (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX contacts_deleted ON contacts (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX interactions_deleted ON interactions (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX assessments_created ON assessments (created_at);

-- What belongs to it, deleted or not: the indexes of the lists hold live records alone.
CREATE INDEX contacts_of_organisation ON contacts (organisation_id);
CREATE INDEX interactions_of_contact ON interactions (contact_id);
