-- Erasing a person: the salts of the commitments to them are deleted, and with the salts the only way to show that a
-- record concerns them. Records, entries and checkpoints stay as they are, so the log still verifies.
--
-- The engine may not delete. This function deletes the subject's salt of each record that is named, and the answer that
-- is kept for the record's request, and nothing else. PostgreSQL lets everybody execute a new function; whoever may not
-- append to the log, such as a role that only reads, is refused here.
CREATE FUNCTION audit_erase_subjects(record_ids uuid[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    erased bigint;
BEGIN
    IF NOT has_table_privilege(session_user, 'audit_record', 'INSERT') THEN
        RAISE insufficient_privilege USING MESSAGE = 'only a role that may append to the log may erase subjects';
    END IF;
    DELETE FROM audit_reply reply USING audit_record record
        WHERE record.id = ANY (record_ids) AND reply.request_id = record.request_id;
    DELETE FROM audit_salt salt WHERE salt.record_id = ANY (record_ids) AND salt.field = 'subject';
    GET DIAGNOSTICS erased = ROW_COUNT;
    RETURN erased;
END
$$;
